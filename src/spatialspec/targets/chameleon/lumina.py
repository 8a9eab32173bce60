"""Lumina-mGPT (arXiv 2408.02657): Chameleon trained to draw images of any ratio, in its published checkpoints.

A prompt has the size in words, and again in two tokens behind the one that begins an image: height and width in
patches of 32 pixels, 2 x 2 cells. A row ends in a token; the one that closes an image needs no model. The
unconditional prompt begins with the image. The checkpoints hold no VQ tokenizer: they draw with Chameleon's.

Names and the prompt are those of the published code (Alpha-VLLM/Lumina-mGPT: data/item_processor.py,
data/convertsation.py, generate_examples/generate.py); the checkpoint has their ids in vocabulary_map.
"""

from __future__ import annotations

import re
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from transformers import ChameleonConfig, ChameleonForConditionalGeneration, PreTrainedModel

from spatialspec.core.errors import BadInput
from spatialspec.core.grid import Grid
from spatialspec.core.sampling import Sampling
from spatialspec.targets.chameleon.target import ChameleonTarget
from spatialspec.targets.chameleon.vq import ChameleonVQ

ROW_END = "<reserved08799>"
SIZE = "<reserved{:05d}>"  # of 8800 + number of patches
PROMPT = "Generate an image of {width}x{height} according to the following prompt:\n{prompt}"
USUAL = 768  # pixels a side, of the checkpoint that both papers measure


class ShardNorm(nn.Module):
    """Norm of queries or keys over each head, with one weight for the heads of each of the shards it was trained in.

    transformers repeats the weight for every head and refuses published checkpoints, whose shape is that of here.
    """

    def __init__(self, shards: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(shards, width))
        self.bias = nn.Parameter(torch.zeros(shards, width))

    def forward(self, x: Float[Tensor, "N H D"]) -> Float[Tensor, "N H D"]:
        """Same shape out as in."""
        grouped = F.layer_norm(x, x.shape[-1:], eps=1e-5).unflatten(1, (len(self.weight), -1))
        return (grouped * self.weight[:, None] + self.bias[:, None]).flatten(1, 2)


class ChameleonXLLMXForConditionalGeneration(ChameleonForConditionalGeneration):
    """Chameleon in the layout of published Lumina-mGPT checkpoints: norms of shards, no VQ tokenizer."""

    _keys_to_ignore_on_load_unexpected = [r"^model\.vqmodel\."]  # noqa: RUF012

    def __init__(self, config: ChameleonConfig) -> None:
        super().__init__(config)
        parts: Any = self.model
        del parts.vqmodel
        for layer in parts.layers:
            for name in ("q_norm", "k_norm"):
                setattr(layer.self_attn, name, ShardNorm(config.model_parallel_size or 1, layer.self_attn.head_dim))


class LuminaTarget(ChameleonTarget):
    """A Lumina-mGPT model with its tokenizer and Chameleon's image decoder; arguments as for its base."""

    kind: ClassVar[type[PreTrainedModel]] = ChameleonXLLMXForConditionalGeneration
    authors: ClassVar[Sampling] = Sampling(guidance=4.0, top_k=2000)  # README of Alpha-VLLM/Lumina-mGPT
    patch_cells: ClassVar[int] = 2  # a side of a patch of 32 pixels

    def __init__(self, model: PreTrainedModel, processor: Any, name: str, vq: ChameleonVQ | None = None) -> None:
        super().__init__(model, processor, name, vq)
        side = _side(f"{model.config.name_or_path}/{name}") // self.vq.patch
        self.grid = Grid(side, side)
        self._row_end = (self.id_of(ROW_END),)

    @property
    def row_end(self) -> tuple[int, ...]:
        """The token that ends a row."""
        return self._row_end

    def check_grid(self, grid: Grid) -> None:
        """Refuse a grid without size tokens, or one that is longer than the model's sequence.

        Raises:
            BadInput: it is one of these.
        """
        for count in (grid.rows, grid.columns):
            if count % (n := self.patch_cells) or self._size(count) not in self._names:
                multiples = "even numbers" if n == 2 else f"multiples of {n}"
                advice = f"sizes are in patches of {n}x{n} cells"
                raise BadInput(f"size {grid}", f"{multiples} that have a size token", advice)
        self.check_length(grid)

    def _size(self, cells: int) -> str:
        return SIZE.format(8800 + cells // self.patch_cells)

    def _message(self, prompt: str, grid: Grid) -> list[int]:
        width, height = grid.columns * self.vq.patch, grid.rows * self.vq.patch
        return super()._message(PROMPT.format(width=width, height=height, prompt=prompt), grid)

    def _opening(self, grid: Grid) -> list[int]:
        return [*super()._opening(grid), self.id_of(self._size(grid.rows)), self.id_of(self._size(grid.columns))]

    def _unconditional(self, grid: Grid) -> list[int]:
        return self._opening(grid)


def _side(path: str) -> int:
    """Pixels a side of the images that a checkpoint was trained on: its name has them, no file does."""
    sides = re.findall(r"(?<![^\W_])(512|768|1024)(?![^\W_])", path)
    return int(sides[-1]) if sides else USUAL
