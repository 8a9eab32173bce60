"""The judge: does a picture show what its prompt says? It never trains the generator.

A dual encoder (CLIP: Radford et al., https://arxiv.org/abs/2103.00020) on two frozen networks: EfficientNet-Lite0 for
pictures, MiniLM for text, and a trained two-layer head each. Its figure is R-precision (AttnGAN: Xu et al.,
https://arxiv.org/abs/1711.10485): how often a picture is closer to its own caption than to 99 of other concepts.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor, nn

from spatialspec.core.errors import BadInput
from spatialspec.files import read_config, write_text
from spatialspec.lab.icons.sources import SOURCES, concept_of
from spatialspec.quality.efficientnet import picture_features
from spatialspec.quality.sentence import load_sentence_encoder
from spatialspec.tensors import read_weights, write_weights

SHIPPED = Path(__file__).resolve().parents[1] / "weights" / "judge"
LARGEST = 8192  # of any size in config.json; a foreign file must not ask for all the memory


@dataclass(frozen=True)
class JudgeConfig:
    """Sizes of the judge.

    Attributes:
        picture: features of the picture encoder.
        text: features of the text encoder.
        hidden: units between the two layers of a head.
        width: dimensions of the common space.
        side: pixels a side at which the picture encoder sees pictures.
    """

    picture: int = 1280
    text: int = 384
    hidden: int = 512
    width: int = 256
    side: int = 128

    def __post_init__(self) -> None:
        """Refuse sizes out of range.

        Raises:
            BadInput: a size is no integer in 1..8192.
        """
        for name, value in asdict(self).items():
            if type(value) is not int or not 1 <= value <= LARGEST:
                raise BadInput(f"{value!r}", f"an integer from 1 to {LARGEST}", where=f"judge: {name}")


class Head(nn.Sequential):
    """Features of a frozen encoder -> a direction in the common space."""

    def __init__(self, inside: int, hidden: int, width: int, dropout: float) -> None:
        super().__init__(
            nn.LayerNorm(inside),
            nn.Dropout(dropout),
            nn.Linear(inside, hidden),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, width),
        )

    def forward(self, features: Float[Tensor, "B F"]) -> Float[Tensor, "B width"]:
        """Vectors of length 1."""
        return F.normalize(super().forward(features), dim=-1)


class Judge(nn.Module):
    """Two heads and a temperature.

    Attributes:
        config: sizes.
        log_scale: logarithm of the inverse temperature; only the training loss uses it.
    """

    def __init__(self, config: JudgeConfig, dropout: float = 0.0) -> None:
        super().__init__()
        self.config = config
        self.pictures = Head(config.picture, config.hidden, config.width, dropout)
        self.texts = Head(config.text, config.hidden, config.width, dropout)
        self.log_scale = nn.Parameter(torch.tensor(2.5))

    def forward(self, pictures: Float[Tensor, "P picture"], texts: Float[Tensor, "C text"]) -> Float[Tensor, "P C"]:
        """Cosine similarity, -1..1, of every picture with every caption, from features of the frozen encoders."""
        return self.pictures(pictures) @ self.texts(texts).T

    def save(self, folder: Path) -> None:
        """Write `judge.safetensors` (bfloat16) and `config.json`, each atomically."""
        folder.mkdir(parents=True, exist_ok=True)
        write_weights(self, folder / "judge.safetensors")
        write_text(folder / "config.json", json.dumps(asdict(self.config), indent=2) + "\n")

    @classmethod
    def load(cls, folder: Path) -> Judge:
        """Read a judge, frozen and in evaluation mode.

        Raises:
            BadInput: a file is missing, damaged or foreign; one line.
        """
        config = read_config(folder / "config.json", [field.name for field in fields(JudgeConfig)])
        judge = cls(JudgeConfig(**{field.name: config[field.name] for field in fields(JudgeConfig)}))
        read_weights(judge, folder / "judge.safetensors")
        return judge.eval().requires_grad_(False)


@dataclass(frozen=True)
class Precision:
    """R@1 of the right caption.

    Attributes:
        hits: for each picture, whether its own caption came first; compare two methods picture by picture with it.
        low: lower end of the 95 % bootstrap interval over pictures.
        high: upper end.
        among: captions that each picture chose from.
    """

    hits: Bool[np.ndarray, "P"]
    low: float
    high: float
    among: int

    @property
    def value(self) -> float:
        """Share of pictures whose own caption came first, 0..1."""
        return float(self.hits.mean())

    def __str__(self) -> str:
        """Percent, interval and count: "56.8 % [52.4, 61.2], 500 pictures"."""
        interval = f"[{100 * self.low:.1f}, {100 * self.high:.1f}]"
        return f"{100 * self.value:.1f} % {interval}, {len(self.hits)} pictures"

    def as_json(self) -> dict[str, Any]:
        """The figures without the single hits."""
        return {"value": self.value, "low": self.low, "high": self.high, "pictures": len(self.hits)}


def r_precision(
    similarities: Float[Tensor, "P C"],
    own: Int[np.ndarray, "P"] | Sequence[int],
    concepts: Sequence[str],
    among: int = 100,
    seed: int = 0,
    resamples: int = 2000,
) -> Precision:
    """R@1 of each picture's own caption among `among` captions; a tie is a miss.

    The distractors of a picture are drawn without replacement: captions of `among - 1` different concepts, none of them
    the picture's. The draw depends on the seed and the picture's place only: two sets of pictures of the same prompts
    meet the same distractors.

    Args:
        similarities: larger is closer; finite.
        own: column of each picture's own caption.
        concepts: what each caption (column) is about.
        among: captions to choose from, the own one included, at least 2.
        seed: of the draw and the bootstrap.
        resamples: of the bootstrap.

    Raises:
        BadInput: shapes do not fit, a value is not finite, there is no picture, or there are too few concepts.
    """
    columns, values = np.asarray(own, dtype=np.int64), similarities.detach().cpu().numpy()
    if values.ndim != 2 or not len(values) or values.shape != (len(columns), len(concepts)):
        raise BadInput(
            f"similarities {values.shape} for {len(columns)} pictures and {len(concepts)} captions",
            "(pictures, captions) with at least one picture",
        )
    if columns.min() < 0 or columns.max() >= len(concepts):
        raise BadInput(f"own captions {columns.min()}..{columns.max()}", f"columns below {len(concepts)}")
    if not np.isfinite(values).all():
        raise BadInput("similarities that are not finite", "numbers", "check the pictures' features")
    names, concept_ids = np.unique(np.asarray(concepts), return_inverse=True)
    if among < 2 or len(names) < among:
        raise BadInput(f"captions of {len(names)} concepts", f"at least {max(among, 2)}", "add distractors")
    hits = np.zeros(len(columns), dtype=bool)
    for picture, column in enumerate(columns):
        order = np.random.default_rng((seed, picture)).permutation(len(concepts))
        order = order[concept_ids[order] != concept_ids[column]]
        first_of_each = np.sort(np.unique(concept_ids[order], return_index=True)[1])
        drawn = order[first_of_each[: among - 1]]
        hits[picture] = values[picture, column] > values[picture, drawn].max()
    # resampling hits with replacement is a binomial draw
    means = np.random.default_rng((seed, len(hits))).binomial(len(hits), hits.mean(), resamples) / len(hits)
    low, high = np.quantile(means, (0.025, 0.975))
    return Precision(hits, float(low), float(high), among)


def concept_in(caption: str) -> str:
    """What a caption "label, style" is about: the label without the style words, as `concept_of` writes it."""
    label, comma, last = caption.rpartition(", ")
    return concept_of(label if comma and last in {source.style for source in SOURCES} else caption)


def alignment(
    pictures: UInt8[np.ndarray, "B H W 3"],
    captions: Sequence[str],
    distractors: Sequence[str],
    judge_folder: Path = SHIPPED,
    seed: int = 0,
) -> Precision:
    """R@1 among 100 captions of generated (or real) pictures.

    Args:
        pictures: one per caption, any size.
        captions: the prompts, "label, style" as in the training data.
        distractors: captions to draw 99 wrong ones from, "label, style"; those that show a prompt's own concept in
            another style are never drawn against it. Captions of the other pictures are drawn too.
        judge_folder: holds `judge.safetensors` and `config.json`.
        seed: of the draw; the same for all sets that are compared.

    Raises:
        NotInstalled: a package with a frozen encoder is missing.
        BadInput: counts differ, too few distractors, or the folder holds no sound judge.
    """
    if len(pictures) != len(captions) or not len(captions):
        raise BadInput(f"{len(pictures)} pictures and {len(captions)} captions", "as many of each, not 0")
    judge = Judge.load(judge_folder)
    texts = list(dict.fromkeys([*captions, *distractors]))
    place = {text: column for column, text in enumerate(texts)}
    with torch.no_grad():
        similarities = judge(picture_features(pictures, judge.config.side), load_sentence_encoder()(texts))
    return r_precision(similarities, [place[c] for c in captions], [concept_in(t) for t in texts], seed=seed)
