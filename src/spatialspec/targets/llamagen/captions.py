"""Caption prompts of LlamaGen: T5 features of at most 120 tokens, computed beforehand or on the spot.

| file in the model's folder | content |
|---|---|
| `captions.safetensors` | features computed beforehand: one (n, 2048) tensor for each caption, named by the caption |
| `t5/` | flan-t5-xl as transformers saves it (or a link to it), for all other captions |

As in the published sampler, features stand at the end of the prefix, the positions before them are hidden from both
streams of guidance, and the unconditional stream has the learned features of the same positions.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from safetensors import safe_open
from torch import Tensor

from spatialspec.core.errors import BadInput, shown
from spatialspec.core.sizes import Size, read_sizes
from spatialspec.io.files import read_config
from spatialspec.io.tensors import read_shapes, write_tensors
from spatialspec.targets.llamagen.text import clean_caption
from spatialspec.targets.llamagen.transformer import CaptionEmbedding

LENGTH = 120
LONGEST = 4000  # characters of a caption; cleaning takes time in proportion to their square


@dataclass(frozen=True)
class T5Sizes:
    """Width and vocabulary, by the names of T5's config.json."""

    d_model: Size
    vocab_size: Size = 32128


class T5Captions:
    """T5's encoder from a folder that transformers can read; loaded at the first caption.

    Args:
        folder: with `config.json`, tokenizer and safetensors; nothing is downloaded.
        length: most tokens of a caption, its end token counted; what is behind them is cut off, as published.
        device: of the encoder.
        dtype: of the encoder; features come out in it. In fp16 T5 overflows.

    Raises:
        BadInput: the folder holds no T5.
    """

    def __init__(
        self,
        folder: Path,
        length: int = LENGTH,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.bfloat16,
    ) -> None:
        where = folder / "config.json"
        config = read_config(where, ("d_model", "model_type"))
        if config["model_type"] != "t5":
            raise BadInput(f"a model of type {shown(config['model_type'])}", "t5", "use flan-t5-xl", where=folder)
        known = {field.name: config[field.name] for field in fields(T5Sizes) if field.name in config}
        self.sizes = read_sizes(T5Sizes, known, where)
        self.folder, self.length, self.device = folder, length, torch.device(device)
        self.dtype = torch.bfloat16 if dtype == torch.float16 else dtype

    @cached_property
    def _parts(self) -> tuple[Any, Any]:
        from transformers import PreTrainedTokenizerFast, T5EncoderModel

        from spatialspec.targets.pretrained import load_model, whole

        again = "fetch it again"
        with whole("T5's encoder and tokenizer", self.folder, again):
            encoder = load_model(T5EncoderModel, self.folder, str(self.device), self.dtype)
            tokenizer = PreTrainedTokenizerFast.from_pretrained(
                self.folder, local_files_only=True, trust_remote_code=False
            )
            largest = max(tokenizer.get_vocab().values(), default=0)
        if largest >= self.sizes.vocab_size:
            raise BadInput(f"the token id {largest}", f"ids below {self.sizes.vocab_size}", again, self.folder)
        return tokenizer, encoder

    @torch.inference_mode()
    def __call__(self, captions: Sequence[str]) -> list[Float[Tensor, "n c"]]:
        """Features of cleaned captions, one vector per token."""
        tokenizer, encoder = self._parts
        features = []
        for caption in captions:
            ids = tokenizer(
                caption, truncation=True, max_length=self.length, return_tensors="pt", split_special_tokens=True
            ).input_ids
            features.append(encoder(input_ids=ids.to(self.device)).last_hidden_state[0])
            if not features[-1].isfinite().all():
                advice = "fetch it again, or give --dtype bf16"
                raise BadInput("features that are not finite", "finite ones", advice, self.folder)
        return features


def save_captions(path: Path, captions: Sequence[str], encoder: T5Captions) -> None:
    """Compute features of captions and write them as `captions.safetensors`, atomically.

    Raises:
        BadInput: a caption is empty once it is cleaned.
    """
    cleaned = [_cleaned(caption) for caption in captions]
    features = {c: f.cpu().contiguous() for c, f in zip(cleaned, encoder(cleaned), strict=True)}
    write_tensors(path, features)


def _cleaned(caption: str) -> str:
    if len(caption) > LONGEST:
        raise BadInput(f"a caption of {len(caption):,} characters", f"at most {LONGEST:,}", "shorten it")
    text = clean_caption(caption)
    if not text:
        raise BadInput(f"prompt {shown(caption)}, of which cleaning leaves nothing", "words", "say what to draw")
    return text


class CaptionCondition:
    """Prefix states from captions.

    Args:
        embedding: of the transformer.
        known: features computed beforehand, by cleaned caption.
        encoder: for other captions, or None.
    """

    def __init__(
        self, embedding: CaptionEmbedding, known: Mapping[str, Tensor], encoder: T5Captions | None = None
    ) -> None:
        self.embedding, self.known, self.encoder = embedding, known, encoder
        self.length, width = embedding.uncond_embedding.shape
        if encoder is not None and encoder.sizes.d_model != width:
            raise BadInput(f"features of {encoder.sizes.d_model}", f"{width}", "use flan-t5-xl", where=encoder.folder)
        for caption, features in known.items():
            if features.dim() != 2 or features.shape[1] != width or not 1 <= len(features) <= self.length:
                shape = f"(n, {width}) with n from 1 to {self.length}"
                got = f"features of {tuple(features.shape)} for {shown(caption)}"
                raise BadInput(got, shape, "compute them again")
            if not features.is_floating_point() or not features.isfinite().all():
                raise BadInput(f"odd features for {shown(caption)}", "finite numbers", "compute them again")

    @classmethod
    def from_folder(cls, embedding: CaptionEmbedding, folder: Path) -> CaptionCondition:
        """Use those that exist of `captions.safetensors` and `t5/`.

        Raises:
            BadInput: one of them is damaged or for another model.
        """
        none, known, path = embedding.uncond_embedding, {}, folder / "captions.safetensors"
        if path.is_file():
            names = {_cleaned(name): name for name in read_shapes(path)}
            with safe_open(path, "pt") as file:
                known = {caption: file.get_tensor(name) for caption, name in names.items()}
        t5 = folder / "t5"
        encoder = T5Captions(t5, len(none), none.device, none.dtype) if t5.is_dir() else None
        return cls(embedding, known, encoder)

    def save(self, folder: Path) -> None:
        """Write what `from_folder` reads."""
        if self.known:
            write_tensors(folder / "captions.safetensors", {c: f.contiguous() for c, f in self.known.items()})
        if self.encoder is not None:
            shutil.copytree(self.encoder.folder, folder / "t5")

    def check(self, prompts: Sequence[str]) -> None:
        """Refuse captions without features.

        Raises:
            BadInput: a caption has none, and no encoder is loaded.
        """
        missing = [prompt for prompt in prompts if _cleaned(prompt) not in self.known]
        if missing and self.encoder is None:
            raise BadInput(
                f"prompt {shown(missing[0])} and no text encoder",
                "flan-t5-xl as t5 in the model's folder, or the features of this prompt in captions.safetensors there",
                "see docs/targets/llamagen.md",
            )

    def __call__(self, images: Sequence[Sequence[str]]) -> list[list[Float[Tensor, "P d"]]]:
        """States of the prompts of every image, "" being no caption."""
        return [[self.embedding(features) for features in self._features(image)] for image in images]

    def _features(self, image: Sequence[str]) -> list[Float[Tensor, "n c"]]:
        captions = [_cleaned(prompt) for prompt in image if prompt]
        new = [caption for caption in dict.fromkeys(captions) if caption not in self.known]
        features = {**self.known, **dict(zip(new, self.encoder(new) if self.encoder and new else [], strict=True))}
        none = self.embedding.uncond_embedding[self.length - len(features[captions[0]]) :]
        return [(features[_cleaned(prompt)] if prompt else none).to(none) for prompt in image]
