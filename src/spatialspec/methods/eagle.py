"""EAGLE (arXiv 2401.15077): one transformer layer drafts the target's next states, one after the other.

    z_t = W [h_t; RMSNorm(e(c_t))]              the state that output cell t, and the token drawn from it
    h_{t+1} = layer(z_t; keys of z_s, s <= t)   drafted; q_{t+1} = softmax(Output(h_{t+1}))

h_t is the normed state. The paper pairs a feature with the token one step ahead of it; here both have the index of the
cell. For committed cells h is the target's. Behind them it is the layer's own and c is drafted, so the layer runs level
after level of the tree, once for every node with children; a node attends to all committed cells and to its ancestors.
q of a node depends on the tokens of its path alone: exact under both rules.

Positions are two-dimensional, the layer is that of the spatial draft model (`spatial_model/network.py`). The paper's
tree is fixed; so is ours, that of Hawk. `vertical` adds Hawk's vertical source to the pool, from Hawk's draft weights.

Several grids: each starts without known cells, and the layer drafts nothing before its first token, nor across its end.

| variable | symbol |
|---|---|
| `_slots` | keys and values of z of the committed cells of the grid |
| `_tree`, `_ancestors` | the same of the nodes with children so far, and which of them the last level attends to |
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from spatialspec.core.context import DecodeContext
from spatialspec.core.grid import Grid
from spatialspec.core.rotary import Rotation
from spatialspec.core.sizes import Size
from spatialspec.core.step import Step
from spatialspec.methods.hawk import HawkHeads
from spatialspec.methods.hydra import Hydra, SequentialOptions
from spatialspec.methods.method import Method
from spatialspec.methods.network import DraftNetwork
from spatialspec.methods.spatial_model.config import SpatialModelConfig
from spatialspec.methods.spatial_model.network import SpatialLayer


@dataclass(frozen=True)
class EagleConfig:
    """Sizes of the layer.

    Attributes:
        width: of the target.
        head_width: of an attention head, for a target that is at least so wide.
        expansion: inner width of SwiGLU over d, 1 to 8.
    """

    width: Size
    head_width: Size = 64
    expansion: int = 2

    def __post_init__(self) -> None:
        _ = self.layer

    @property
    def layer(self) -> SpatialModelConfig:
        """Sizes and positions of the layer.

        Raises:
            BadInput: they do not fit each other.
        """
        return SpatialModelConfig(
            width=self.width, layers=1, head_width=self.head_width, expansion=self.expansion, attention="global"
        )


class EagleNetwork(DraftNetwork):
    """The layer; it begins as the identity: a state is drafted to be the one before it."""

    config_type = EagleConfig
    config: EagleConfig

    def __init__(self, config: EagleConfig) -> None:
        super().__init__(config)
        d = config.width
        self.token_norm = nn.RMSNorm(d, eps=1e-6)
        self.read_in = nn.Linear(2 * d, d, bias=False)
        self.layer = SpatialLayer(config.layer)
        with torch.no_grad():
            self.read_in.weight.copy_(torch.eye(d, 2 * d))

    def read(self, states: Float[Tensor, "*N d"], embedding: Float[Tensor, "*#N d"]) -> Float[Tensor, "*N d"]:
        """z of cells, from the normed states that output them and the embeddings of their tokens."""
        return self.read_in(torch.cat((states, self.token_norm(embedding).expand_as(states)), dim=-1))


class Eagle(Hydra):
    """The drafter of one image.

    Raises:
        BadInput: there are no draft weights.
    """

    network: EagleNetwork
    _states: Float[Tensor, "G P d"]
    _tree: Float[Tensor, "2 G H T D"]
    _ancestors: Bool[Tensor, "P T"]

    def heads(self, context: DecodeContext) -> HawkHeads:
        """Take EAGLE's draft weights; return those of Hawk's vertical source, none if it is not in the pool."""
        self.network = context.find(EagleNetwork, "eagle")
        self._begin(self.layout.grids[0], 0)
        return self.hawk(context, self.options.vertical)

    def _begin(self, grid: Grid, first: int) -> None:
        """Start a grid; `first` is the index of its first cell in the layout."""
        c, self.grid, self.first = self.network.config.layer, grid, first
        weight = self.network.read_in.weight
        self._slots: Float[Tensor, "2 G H cells D"] = weight.new_empty(
            2, self.sampling.streams, c.heads, grid.cells, c.width // c.heads
        )
        self._rotation = c.rotation(torch.arange(grid.cells, device=weight.device), grid.columns)

    def observe(self, step: Step) -> None:
        """Read the cells just committed, those in the grid of the last one."""
        states = self.observe_above(step)
        last = step.before.frontier + len(step.written) - 1
        grid, index = self.layout.locate(last)
        if last - index != self.first:
            self._begin(grid, last - index)
        count = min(len(step.written), index + 1)
        tokens = torch.tensor(step.written[-count:], device=states.device)
        z = self.network.read(states[:, -count:], self.target.embed(tokens))
        cells = slice(index + 1 - count, index + 1)
        self._slots[..., cells, :] = self.network.layer.keys_values(z, self._rotations(cells))
        self._read = states[:, -1:], tokens[-1:]

    def reaches(self, cell: int, ahead: int) -> bool:
        """See :class:`Hawk`: up to the end of the grid of the last committed cell."""
        return super().reaches(cell, ahead) and cell < self.first + self.grid.cells

    def begin(self, last: Float[Tensor, "G 1 d"]) -> None:
        """See :class:`Hydra`."""
        self._states, self._tree = last, self._slots[..., :0, :]
        self._ancestors = torch.ones(1, 0, dtype=torch.bool, device=self._slots.device)

    def right_of(self, cell: int, ahead: int, up: list[int], embedding: Float[Tensor, "P d"]) -> Float[Tensor, "G P d"]:
        """See :class:`Hydra`; the root takes part in the tree, so that its keys are not read twice."""
        index, nodes, seen = cell - 1 - self.first, len(up), self._ancestors[up]
        rotation, layer = self._rotations(slice(index, index + 1)), self.network.layer
        z = self.network.read(self._states[:, up], embedding)
        self._tree = torch.cat((self._tree, layer.keys_values(z, rotation)), dim=-2)
        self._ancestors = torch.cat((seen, torch.eye(nodes, dtype=torch.bool, device=seen.device)), dim=1)
        committed = self._slots[..., : index - ahead, :]
        mask = torch.cat((seen.new_ones(nodes, index - ahead), self._ancestors), dim=1)
        self._states = layer.attend(z, rotation, torch.cat((committed, self._tree), dim=-2), mask[None, None])
        return self._states

    def _rotations(self, cells: slice) -> Rotation:
        cos, sin = self._rotation
        return cos[cells], sin[cells]


METHOD = Method(
    "eagle", "one transformer layer drafts the target's next states, one after the other", SequentialOptions(), Eagle,
    drafts="eagle", variants=("slots=6:vertical=2",),
)  # fmt: skip
