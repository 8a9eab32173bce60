"""The spatial draft model as a drafter: a chain of cells guessed in one pass, with further candidates at each cell.

    q_f .. q_{f+n-1} = network(c_t, t < f)                   one pass of the draft model (`network.py`)
    cell f + j: `samples` candidates drawn from q_{f+j}; the chain continues after the first of them

All candidates of a cell are drawn from one q, which depends on known cells alone, and the shape of the tree depends on
no drawn token: exact under rejection, and under coupled noise as any tree is. Guidance: the network runs on both
streams, and q is computed from their logits as p is.

Several grids: each starts without known cells, and nothing is drafted before its first token; no window crosses from
one into the next.

| variable | symbol |
|---|---|
| `state.frontier` | f |
| `options.length` | n, cut where n times `samples` would exceed the budget |
| `_slots` | ring buffer of keys and values of the last known cells of the grid; cell t has index t modulo its length |
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor

from spatialspec.core.context import DecodeContext
from spatialspec.core.grid import Grid
from spatialspec.core.interfaces import Drafter, Verifier
from spatialspec.core.proposal import Proposal
from spatialspec.core.rotary import Rotation
from spatialspec.core.state import State
from spatialspec.core.step import Step
from spatialspec.methods import trees
from spatialspec.methods.method import Method
from spatialspec.methods.options import LARGEST, Budget, Tolerance
from spatialspec.methods.spatial_model.config import NOWHERE, SpatialModelConfig, depth
from spatialspec.methods.spatial_model.network import SpatialNetwork


class SpatialModelOptions(Budget, Tolerance):
    """Shape of the tree: a chain with further candidates at each cell; slots take the likeliest nodes of a tree."""

    lifted = "length", "samples"
    length: int = Field(
        default=8, ge=1, le=LARGEST, description="cells drafted ahead, along the row and behind its end"
    )
    samples: int = Field(default=3, ge=1, le=64, description="candidates per cell")


class SpatialModel(Drafter):
    """The drafter of one image.

    Raises:
        BadInput: there are no draft weights, or they read more layers than the target returns.
    """

    def __init__(self, context: DecodeContext, options: SpatialModelOptions, verifier: Verifier) -> None:
        self.network, self.target = context.find(SpatialNetwork, "spatial-model"), context.target
        self.sampling, self.verifier, self.options, self.layout = context.sampling, verifier, options, context.layout
        self.layers = self.network.config.layers_read(depth(self.target))
        self.network.vocabulary.bind(self.target)
        self._begin(self.layout.grids[0], 0)

    def _begin(self, grid: Grid, first: int) -> None:
        """Start a grid; `first` is the index of its first cell in the layout."""
        c, self.grid, self.first = self.network.config, grid, first
        slots = c.memory(grid.columns, grid.cells)
        self._slots: Float[Tensor, "L 2 G H S D"] = self.network.open.new_zeros(
            c.layers, 2, self.sampling.streams, c.heads, slots, c.width // c.heads
        )
        self._rotation = _rotation(c, grid, self._slots.device)

    def observe(self, step: Step) -> None:
        """Read the cells just committed, those in the grid of the last one."""
        last, scores = step.before.frontier + len(step.written) - 1, step.scores
        grid, index = self.layout.locate(last)
        if last - index != self.first:
            self._begin(grid, last - index)
        size = self._slots.shape[-2]
        count = min(len(step.written), size, index + 1)
        slots, tokens, cells = step.verdict.slots()[-count:], step.written[-count:], range(index + 1 - count, index + 1)
        states = [*(scores.layers[layer] for layer in self.layers), scores.hidden]
        hidden = torch.cat([part[:, slots] for part in states], dim=-1)
        embedding = self.target.embed(torch.tensor(tokens, device=hidden.device)).expand(len(hidden), -1, -1)
        indices = [cell % size for cell in cells]
        self._slots[..., indices, :] = self.network.read(hidden, embedding, self._rotations(cells))

    def propose(self, state: State) -> Proposal:
        """The chain, and further candidates at each cell."""
        s = self.options
        count = min(s.length, self.reach(state.frontier))
        if s.slots:
            shape = trees.likeliest((min(s.samples, self.target.vocabulary),) * count, s.budget)
        else:
            shape = trees.comb((s.samples,) * min(count, s.budget // s.samples))
        if not shape:
            return Proposal()
        plan = [[index] * candidates for index, candidates in enumerate(trees.used(shape))]
        q = self.distributions(state.frontier, len(plan))
        return trees.proposal(shape, plan, q, self.verifier, state)

    def reach(self, frontier: int) -> int:
        """Number of next cells that have a q: those left in the grid, 0 before its first token."""
        grid, index = self.layout.locate(frontier)
        return grid.cells - index if index else 0

    def distributions(self, frontier: int, count: int, skip: int = 0) -> Float[Tensor, "N V"]:
        """q of each of the next cells, given the committed ones, in one pass of the network.

        Args:
            frontier: first open cell; all before it were observed.
            count: cells of the window, at most its `reach`.
            skip: number of first cells to leave out of the result.
        """
        index = frontier - self.first
        mask = _mask(self.network.config, self.grid, index, count, self._slots.device)
        rotation = self._rotations(range(index, index + count))
        states = self.network(self._slots, rotation, mask)[:, skip:]
        return self.network.vocabulary.distributions(self.target, self.sampling, states)

    def _rotations(self, cells: Sequence[int]) -> Rotation:
        cos, sin = self._rotation
        return cos[cells[0] : cells[-1] + 1], sin[cells[0] : cells[-1] + 1]


@lru_cache(maxsize=16)
def _rotation(config: SpatialModelConfig, grid: Grid, device: torch.device) -> Rotation:
    return config.rotation(torch.arange(grid.cells, device=device), grid.columns)


@lru_cache(maxsize=1024)
def _mask(
    config: SpatialModelConfig, grid: Grid, frontier: int, count: int, device: torch.device
) -> Bool[Tensor, "1 1 M seen"]:
    """Attention mask of the window at `frontier`: the same for every image of a grid."""
    size = config.memory(grid.columns, grid.cells)
    slot = torch.arange(size)
    last = frontier - 1 - (frontier - 1 - slot) % size  # the last known cell with this index in the ring buffer
    known = torch.where(last >= 0, last, NOWHERE)
    cells = torch.arange(frontier, frontier + count)
    mask = config.visible(grid.columns, known, cells, torch.full_like(cells, frontier))
    return mask[None, None].to(device)


METHOD = Method(
    "spatial-model", "ours: a draft model with local attention in two dimensions guesses a window at once",
    SpatialModelOptions(), SpatialModel, drafts="spatial-model", variants=("slots=6",),
)  # fmt: skip
