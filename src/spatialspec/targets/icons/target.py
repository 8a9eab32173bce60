"""The embedded text-to-image model `icons`, and any model of the same recipe, from a folder.

Folder: `config.json`, `transformer.safetensors`, `vq.safetensors`, `tokenizer.json`, `README.md` (the card), and, where
the model learned prompts as people type them, `concepts.csv`: what it can draw.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from shlex import quote
from typing import Any, Self

import torch
from jaxtyping import Int, UInt8
from torch import Tensor

from spatialspec.core.errors import BadInput, shown
from spatialspec.core.grid import Grid
from spatialspec.io.files import write_text
from spatialspec.io.tensors import write_weights
from spatialspec.targets.engine import Prompt
from spatialspec.targets.grid_target import GridTarget
from spatialspec.targets.icons.concepts import FILE, Concepts, PromptReading
from spatialspec.targets.icons.emoji import spelled
from spatialspec.targets.icons.meaning import stems
from spatialspec.targets.icons.text import PromptTokenizer
from spatialspec.targets.icons.transformer import GridTransformer, GridTransformerConfig
from spatialspec.targets.icons.vq import VQConfig, VQTokenizer
from spatialspec.targets.images import signed

PACKAGE = Path(__file__).parents[2]


class IconsTarget(GridTarget):
    """Frozen transformer, VQ tokenizer and prompt tokenizer.

    Attributes:
        concepts: what it can draw, by which a style is added to a prompt that names none; None reads prompts as typed.
        place: name or folder that `spatialspec models` lists the concepts of; None for a model that no folder holds.
    """

    key = "transformer"
    classes = GridTransformerConfig, GridTransformer, VQConfig, VQTokenizer
    prompt_kind = "words"
    model: GridTransformer
    vq: VQTokenizer
    prompts: PromptTokenizer
    concepts: Concepts | None = None
    place: str | None = None

    @classmethod
    def from_folder(
        cls, folder: Path, device: str = "cpu", dtype: torch.dtype = torch.float32, device_map: Any = None
    ) -> Self:
        """As in the base, with `concepts.csv` if there is one."""
        target = super().from_folder(folder, device, dtype, device_map)
        if (folder / FILE).is_file():
            target.concepts = Concepts.from_file(folder / FILE)
            target.place = folder.name if folder.is_relative_to(PACKAGE) else str(folder)
        return target

    @classmethod
    def read_prompts(cls, folder: Path, model: GridTransformer) -> PromptTokenizer:
        """Load the tokenizer."""
        sizes = model.config
        return PromptTokenizer.from_file(folder / "tokenizer.json", sizes.prefix, sizes.text_vocabulary)

    def save(self, folder: Path) -> None:
        """Write the folder, weights in bfloat16, every file atomically."""
        folder.mkdir(parents=True, exist_ok=True)
        write_weights(self.model, folder / "transformer.safetensors")
        write_weights(self.vq, folder / "vq.safetensors")
        write_text(folder / "tokenizer.json", self.prompts.tokenizer.to_str(pretty=True))
        if self.concepts:
            self.concepts.write(folder / FILE)
        config = {
            "name": self.name,
            "transformer": asdict(self.model.config),
            "vq": asdict(self.vq.config),
            "sampling": self.default.facts(),
        }
        write_text(folder / "config.json", json.dumps(config, indent=2) + "\n")

    @torch.inference_mode()
    def codes(self, pixels: UInt8[Tensor, "B H W 3"]) -> Int[Tensor, "B cells"]:
        """Image tokens of images."""
        return self.vq.encode(signed(pixels).to(self.codebook)).flatten(1)

    def check_grid(self, grid: Grid) -> None:
        """Refuse a grid that is too large.

        Raises:
            BadInput: more than 64 rows or columns.
        """
        if max(grid.rows, grid.columns) > 64:
            raise BadInput(f"size {grid}", "at most 64x64", "make it smaller")

    def completed(self, prompt: str) -> PromptReading:
        """What is drawn for a prompt; as typed where the model has no concepts or the prompt is blank."""
        if self.concepts is None or not prompt.strip():
            return PromptReading(prompt, None, None)
        return self.concepts.reading(prompt, self.prompts.fits)

    def check_prompts(self, prompts: Sequence[str], negatives: Sequence[str], grid: Grid) -> None:
        """As in the base, for prompts as they are read."""
        super().check_prompts([self.completed(prompt).text for prompt in prompts], negatives, grid)

    def remarks(self, prompts: Sequence[str]) -> list[str]:
        """Words that the model has not seen, the concept that a prompt is read as, and styles that were chosen."""
        found = []
        for prompt in dict.fromkeys(prompts):
            if self.concepts and (hint := self.concepts.hint(spelled(prompt))):
                listed = f"; `spatialspec models {quote(self.place)}` lists what it knows" if self.place else ""
                found.append(f"{shown(prompt)} has {hint}{listed}")
            reading = self.completed(prompt)
            if reading.name and not stems(reading.name) <= stems(spelled(prompt)):
                found.append(f"{shown(prompt)} is read as {reading.name}")
            if reading.style:
                found.append(f"{shown(prompt)} names no drawing style: drawn as {reading.style}")
        return found

    def encode(self, images: Sequence[Sequence[str]], grid: Grid) -> list[Prompt]:
        """Prefix states from BPE tokens, and what the caption's sketch adds to every cell."""
        texts = [text for image in images for text in (self.completed(image[0]).text, *image[1:])]
        tokens = self.prompts(texts).to(self.device)
        prefixes, added = self.model.encode_text(tokens), self.model.conditioning(tokens, grid.rows, grid.columns)
        streams = len(images[0])
        pairs = zip(prefixes.split(streams), added.split(streams), strict=True)
        return [Prompt(list(prefix), grid, conditioning) for prefix, conditioning in pairs]
