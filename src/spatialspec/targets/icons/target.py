"""The embedded text-to-image model `icons`, and any model of the same recipe, from a folder.

Folder: `config.json`, `transformer.safetensors`, `vq.safetensors`, `tokenizer.json`, `README.md` (the card).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from jaxtyping import Int, UInt8
from torch import Tensor

from spatialspec.core.errors import BadInput
from spatialspec.core.grid import Grid
from spatialspec.io.files import write_text
from spatialspec.io.tensors import write_weights
from spatialspec.targets.engine import Prompt
from spatialspec.targets.grid_target import GridTarget
from spatialspec.targets.icons.text import PromptTokenizer
from spatialspec.targets.icons.transformer import GridTransformer, GridTransformerConfig
from spatialspec.targets.icons.vq import VQConfig, VQTokenizer
from spatialspec.targets.images import signed


class IconsTarget(GridTarget):
    """Frozen transformer, VQ tokenizer and prompt tokenizer."""

    key = "transformer"
    classes = GridTransformerConfig, GridTransformer, VQConfig, VQTokenizer
    prompt_kind = "words"
    model: GridTransformer
    vq: VQTokenizer
    prompts: PromptTokenizer

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

    def encode(self, images: Sequence[Sequence[str]], grid: Grid) -> list[Prompt]:
        """Prefix states from BPE tokens, and what the caption's sketch adds to every cell."""
        tokens = self.prompts([prompt for image in images for prompt in image]).to(self.device)
        prefixes, added = self.model.encode_text(tokens), self.model.conditioning(tokens, grid.rows, grid.columns)
        streams = len(images[0])
        pairs = zip(prefixes.split(streams), added.split(streams), strict=True)
        return [Prompt(list(prefix), grid, conditioning) for prefix, conditioning in pairs]
