"""What targets around a grid transformer have in common: `Head` but for the codebook, place, type and fingerprint."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import cached_property
from pathlib import Path
from typing import Protocol, cast

import torch
from jaxtyping import Bool, Float, Int
from PIL import Image as PILImage
from safetensors import safe_open
from torch import Tensor, nn

from spatialspec.core.errors import BadInput
from spatialspec.core.grid import Grid
from spatialspec.identity import fingerprint
from spatialspec.targets.cache import Cache
from spatialspec.targets.icons.grid_model import GridModel
from spatialspec.targets.pictures import as_picture


class Codec(Protocol):
    """What turns codes into pixels."""

    @property
    def codebook(self) -> Float[Tensor, "V c"]:
        """One vector for each code."""
        ...

    def decode(self, codes: Int[Tensor, "B h w"]) -> Float[Tensor, "B 3 H W"]:
        """Codes -> pixels in [-1, 1]."""
        ...


class GridHead:
    """Base of targets around a transformer over a grid.

    Attributes:
        model: the transformer.
        vq: its picture decoder.
    """

    model: GridModel
    vq: Codec
    causal_alone = True
    pass_width: int | None = None

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.model.output.weight.device

    @property
    def dtype(self) -> torch.dtype:
        """Of the weights."""
        return self.model.output.weight.dtype

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the weights that drafters depend on: embedding, norm and output layer."""
        return fingerprint(self._heads)

    @property
    def _heads(self) -> tuple[Tensor, ...]:
        return self.model.code_embedding.weight, *self.model.norm.parameters(), self.model.output.weight

    def read_fingerprint(self, path: Path) -> None:
        """Take the fingerprint from the file of the weights: it is the same in whatever type they are loaded."""
        names = {id(weight): name for name, weight in cast("nn.Module", self.model).named_parameters()}
        with safe_open(path, "pt") as file:
            self.fingerprint = fingerprint(file.get_tensor(names[id(weight)]) for weight in self._heads)

    @property
    def width(self) -> int:
        """Model width d."""
        return self.model.config.width

    @property
    def vocabulary(self) -> int:
        """Number of image tokens V."""
        return self.model.config.codes

    @property
    def depth(self) -> int:
        """Number of blocks, whose states a pass can hand out."""
        return self.model.config.layers

    @property
    def output_rows(self) -> Float[Tensor, "V d"]:
        """Row of the output layer for each image token."""
        return self.model.output.weight

    def norm(self, hidden: Float[Tensor, "*N d"]) -> Float[Tensor, "*N d"]:
        """Final norm of pre-norm states."""
        return self.model.norm(hidden)

    def output(self, states: Float[Tensor, "*N d"]) -> Float[Tensor, "*N V"]:
        """Normed states -> logits of image tokens."""
        return self.model.output(states)

    def embed(self, tokens: Int[Tensor, "*N"]) -> Float[Tensor, "*N d"]:
        """Embedding of image tokens, without positions."""
        return self.model.code_embedding(tokens)

    def check_codes(self, where: object) -> None:
        """Refuse a picture decoder of other codes than those that are drawn.

        Raises:
            BadInput: it has more or fewer.
        """
        there = len(self.vq.codebook)
        if there != self.vocabulary:
            got = f"a picture decoder of {there} codes"
            raise BadInput(got, f"one of the {self.vocabulary} that are drawn", "fetch both again", where)

    @torch.inference_mode()
    def pixels(self, tokens: Sequence[int], grid: Grid) -> PILImage.Image:
        """Picture of a complete grid of tokens.

        Raises:
            BadInput: pixels that are not finite.
        """
        codes = torch.tensor(tokens, device=self.vq.codebook.device).view(1, grid.rows, grid.columns)
        return as_picture(self.vq.decode(codes)[0].permute(1, 2, 0))

    @property
    def forced(self) -> Float[Tensor, "0 d"]:
        """None: rows follow each other."""
        return self.model.output.weight.new_zeros(0, self.width)

    def cache(self, slots: int) -> Cache:
        """An empty cache."""
        return Cache([self.device] * self.depth, slots)

    def run(
        self,
        x: Float[Tensor, "B N d"],
        positions: Int[Tensor, "B N"],
        lengths: Int[Tensor, "B"],
        grid: Grid,
        mask: Bool[Tensor, "B 1 N S"] | None,
        cache: Cache,
        first: bool,
        layers: Collection[int],
    ) -> tuple[Float[Tensor, "B N d"], dict[int, Float[Tensor, "B N d"]]]:
        """See :class:`Engine`. Cells are rotated by row and column, prompts by nothing."""
        cos, sin = self._rotations(grid)
        cells = (positions - lengths[:, None] + 1).clamp(min=0)  # 0 is the prompt, cell t is t + 1
        rotation = cos[cells][:, None], sin[cells][:, None]
        # 0 where a slot is seen and -inf elsewhere, as attention adds it: of booleans every layer would make that again
        bias = None if mask is None else x.new_zeros(mask.shape).masked_fill_(~mask, -torch.inf)
        states: list[Tensor] | None = [] if layers else None
        hidden = self.model(x, rotation, bias, cache, states)
        return hidden, {layer: states[layer - 1] for layer in layers} if states else {}

    def _rotations(self, grid: Grid) -> tuple[Float[Tensor, "slots pairs"], Float[Tensor, "slots pairs"]]:
        """Cosines and sines of the prompt, which is not rotated or blanked, and of every cell."""
        key = grid, self.device, self.dtype
        if key not in self._tables:
            self._tables.clear()
            cos, sin = self.model.rotations(grid.rows, grid.columns)
            still = torch.zeros_like(cos[:1])
            self._tables[key] = torch.cat((still + self.model.prefix_cosine, cos)), torch.cat((still, sin))
        return self._tables[key]

    @cached_property
    def _tables(self) -> dict[tuple[Grid, torch.device, torch.dtype], tuple[Tensor, Tensor]]:
        return {}
