"""R-precision of the judge with its interval: the figure of the judge's training, and of `benchmarks/alignment.py`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from spatialspec.core.errors import BadInput
from spatialspec.quality.encoders import image_features, load_sentence_encoder
from spatialspec.quality.judge import SHIPPED, Judge, own_caption_first
from spatialspec.targets.icons.sources import concept_in

RESAMPLES = 2000


@dataclass(frozen=True)
class Precision:
    """R@1 of the right caption.

    Attributes:
        hits: for each image, whether its own caption came first.
        low, high: ends of the 95 % bootstrap interval over images.
        among: captions that each image chose from.
    """

    hits: Bool[np.ndarray, "N"]
    low: float
    high: float
    among: int

    @classmethod
    def of(cls, hits: Bool[np.ndarray, "N"], among: int = 100, seed: int = 0) -> Precision:
        """With the interval of these hits; to resample them with replacement is a binomial draw."""
        means = np.random.default_rng((seed, len(hits))).binomial(len(hits), hits.mean(), RESAMPLES) / len(hits)
        low, high = np.quantile(means, (0.025, 0.975))
        return cls(hits, float(low), float(high), among)

    @property
    def value(self) -> float:
        """Share of images whose own caption came first, 0..1."""
        return float(self.hits.mean())

    def __str__(self) -> str:
        """Percent, interval and count: "56.8 % [52.4, 61.2], 500 images"."""
        interval = f"[{100 * self.low:.1f}, {100 * self.high:.1f}]"
        return f"{100 * self.value:.1f} % {interval}, {len(self.hits)} images"


def r_precision(
    similarities: Float[Tensor, "N C"],
    own: Int[np.ndarray, "N"] | Sequence[int],
    concepts: Sequence[str],
    among: int = 100,
    seed: int = 0,
) -> Precision:
    """Share of images whose own caption comes first; arguments and errors as of `own_caption_first`."""
    return Precision.of(own_caption_first(similarities, own, concepts, among, seed), among, seed)


def alignment(
    images: UInt8[np.ndarray, "B H W 3"],
    captions: Sequence[str],
    distractors: Sequence[str],
    judge_folder: Path = SHIPPED,
    seed: int = 0,
    meant: Mapping[str, str] | None = None,
) -> Precision:
    """R@1 among 100 captions of generated (or real) images.

    Args:
        images: one per caption, any size.
        captions: the prompts, "label, style" as in the training data.
        distractors: captions to draw 99 wrong ones from, "label, style"; those that show a prompt's own concept in
            another style are never drawn against it. Captions of the other images are drawn too.
        judge_folder: holds `judge.safetensors` and `config.json`.
        seed: of the draw; the same for all sets that are compared.
        meant: concept of each caption that is no "label, style".

    Raises:
        NotInstalled: a package with a frozen encoder is missing.
        BadInput: counts differ, too few distractors, or the folder holds no sound judge.
    """
    if len(images) != len(captions) or not len(captions):
        raise BadInput(f"{len(images)} images and {len(captions)} captions", "as many of each, not 0")
    judge = Judge.load(judge_folder)
    texts = list(dict.fromkeys([*captions, *distractors]))
    column = {text: i for i, text in enumerate(texts)}
    with torch.no_grad():
        similarities = judge(image_features(images, judge.config.side), load_sentence_encoder()(texts))
    concepts = [(meant or {}).get(text) or concept_in(text) for text in texts]
    return r_precision(similarities, [column[c] for c in captions], concepts, seed=seed)
