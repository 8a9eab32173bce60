"""The interface of a transformer over a grid for sessions and drafters."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import torch
from jaxtyping import Float, Int
from safetensors import safe_open
from torch import Tensor, nn

from spatialspec.core.grid import Grid, Layout
from spatialspec.io.identity import fingerprint
from spatialspec.targets.cache import Cache
from spatialspec.targets.engine import Hidden, PassInputs
from spatialspec.targets.grid_model import AttentionInputs, GridModel
from spatialspec.targets.runners import Runs


class GridEngine(Runs):
    """Runs passes; a subclass adds a codebook and `session`.

    Attributes:
        model: the transformer.
    """

    model: GridModel
    causal_alone = True

    @property
    def networks(self) -> tuple[nn.Module, ...]:
        """The transformer, unless a subclass adds others."""
        return (self.model,)

    @property
    def transformer(self) -> nn.Module:
        """The whole model."""
        return self.model

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return self.model.output.weight.device

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of the weights."""
        return self.model.output.weight.dtype

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the weights that drafters depend on: embedding, norm and output layer."""
        return fingerprint(self._shared_weights)

    @property
    def _shared_weights(self) -> tuple[Tensor, ...]:
        return self.model.code_embedding.weight, *self.model.norm.parameters(), self.model.output.weight

    def read_fingerprint(self, path: Path) -> None:
        """Take the fingerprint from the file of the weights: it does not depend on the dtype of the loaded weights."""
        names = {id(weight): name for name, weight in self.model.named_parameters()}
        with safe_open(path, "pt") as file:
            self.fingerprint = fingerprint(file.get_tensor(names[id(weight)]) for weight in self._shared_weights)

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
        """Number of hidden layers, whose states a pass can return."""
        return self.model.config.layers

    @property
    def output_rows(self) -> Float[Tensor, "V d"]:
        """Weights of the output layer, one vector for each image token."""
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

    @property
    def forced(self) -> Float[Tensor, "0 d"]:
        """None: the first cell of a row follows the last of the row before."""
        return self.model.output.weight.new_zeros(0, self.width)

    between = forced

    def layout(self, grid: Grid) -> Layout:
        """The grid alone."""
        return grid

    def cache(self, slots: int) -> Cache:
        """An empty cache."""
        return Cache([self.device] * self.depth, slots, slot_bytes=2 * self.width * self.dtype.itemsize)

    def run(self, inputs: PassInputs) -> Hidden:
        """See :class:`Engine`. Cells are rotated by row and column; prompts are not."""
        cos, sin = self._rotations(*inputs.layout.grids)
        cells = (inputs.positions - inputs.prompt_lengths[:, None] + 1).clamp(min=0)  # 0 is the prompt, cell t is t + 1
        mask = inputs.mask
        if mask is not None:  # converted once to the additive form; each layer would convert booleans again
            mask = inputs.x.new_zeros(mask.shape).masked_fill_(~mask, -torch.inf)
        states: list[Tensor] | None = [] if inputs.layers else None
        rotation = cos[cells][:, None], sin[cells][:, None]
        hidden = self.model(inputs.x, AttentionInputs(rotation, mask, inputs.cache), states)
        return hidden, {layer: states[layer - 1] for layer in inputs.layers} if states else {}

    def _rotations(self, grid: Grid) -> tuple[Float[Tensor, "slots pairs"], Float[Tensor, "slots pairs"]]:
        """Cosines and sines of the prompt (see `GridModel.prefix_cosine`), then of every cell.

        They stay in their place when another grid is drawn: captured passes read them there.
        """
        key = grid, self.device, self.dtype
        if key not in self._tables:
            cos, sin = self.model.rotations(grid.rows, grid.columns)
            zero = torch.zeros_like(cos[:1])
            self._tables[key] = torch.cat((zero + self.model.prefix_cosine, cos)), torch.cat((zero, sin))
        return self._tables[key]

    @cached_property
    def _tables(self) -> dict[tuple[Grid, torch.device, torch.dtype], tuple[Tensor, Tensor]]:
        return {}
