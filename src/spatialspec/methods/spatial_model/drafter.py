"""The spatial draft model as a drafter: a chain along the row, guessed in one pass, with other candidates beside it.

    q_f .. q_{f+n-1} = network(c_t, t < f)                   one pass of the draft model (`network.py`)
    cell f + j: `samples` candidates drawn from q_{f+j}; the chain goes on behind the first of them

All candidates of a cell come from one q, which depends on known cells alone, and the shape of the tree is settled
before anything is drawn: exact under rejection, and under coupled noise like any tree. Guidance: the network runs on
both streams, and q is made from their logits as p is.

Several grids: each starts like the first, with no known cells and nothing drafted before its first token; no window
reaches from one into the next.

| variable | symbol |
|---|---|
| `state.frontier` | f |
| `options.length` | n, cut where n times `samples` would exceed the budget |
| `_slots` | keys and values of the last known cells of the grid; cell t of it lies at t modulo their number |
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor

from spatialspec.core.context import DecodeContext
from spatialspec.core.grid import Grid
from spatialspec.core.interfaces import Drafter, Head, Verifier
from spatialspec.core.proposal import ROOT, Proposal
from spatialspec.core.rotary import Rotation
from spatialspec.core.state import State
from spatialspec.core.step import Step
from spatialspec.methods.method import Method
from spatialspec.methods.options import Budget, Tolerance
from spatialspec.methods.spatial_model.config import NOWHERE, SpatialModelConfig
from spatialspec.methods.spatial_model.network import SpatialNetwork


@runtime_checkable
class Deep(Protocol):
    """A target whose passes hand out the states after any block that a proposal asks for."""

    @property
    def depth(self) -> int:
        """Number of blocks."""
        ...


def depth(target: Head) -> int:
    """Blocks whose states a target hands out: 1, the last, where it does not say how many."""
    return target.depth if isinstance(target, Deep) else 1


class SpatialModelOptions(Budget, Tolerance):
    """What to draft in every pass."""

    length: int = Field(default=8, ge=1, le=128, description="cells drafted ahead, along the row and behind its end")
    samples: int = Field(default=3, ge=1, le=64, description="candidates per cell")


class SpatialModel(Drafter):
    """The drafter of one image.

    Raises:
        BadInput: there are no draft weights, or they need what the target does not give.
    """

    def __init__(self, context: DecodeContext, options: SpatialModelOptions, verifier: Verifier) -> None:
        self.network, self.target = context.find(SpatialNetwork, "spatial-model"), context.target
        self.sampling, self.verifier, self.options, self.layout = context.sampling, verifier, options, context.layout
        self.layers = self.network.config.layers_read(depth(self.target))
        self.network.vocabulary.bind(self.target)
        self._begin(self.layout.grids[0], 0)

    def _begin(self, grid: Grid, first: int) -> None:
        """Start a grid, whose first cell is numbered `first` in the layout."""
        c, self.grid, self.first = self.network.config, grid, first
        slots = c.memory(grid.columns, grid.cells)
        self._slots: Float[Tensor, "L 2 G H S D"] = self.network.open.new_zeros(
            c.layers, 2, self.sampling.streams, c.heads, slots, c.width // c.heads
        )
        self._rotation = _rotation(c, grid, self._slots.device)

    def observe(self, step: Step) -> None:
        """Read the cells just committed, as far as they are in the grid of the last one."""
        last, scores = step.before.frontier + len(step.written) - 1, step.scores
        grid, index = self.layout.locate(last)
        if last - index != self.first:
            self._begin(grid, last - index)
        room = self._slots.shape[-2]
        count = min(len(step.written), room, index + 1)
        slots, tokens, cells = step.verdict.slots()[-count:], step.written[-count:], range(index + 1 - count, index + 1)
        states = [*(scores.layers[layer] for layer in self.layers), scores.hidden]
        hidden = torch.cat([part[:, slots] for part in states], dim=-1)
        embedding = self.target.embed(torch.tensor(tokens, device=hidden.device)).expand(len(hidden), -1, -1)
        where = [cell % room for cell in cells]
        self._slots[..., where, :] = self.network.read(hidden, embedding, self._rotations(cells))

    def propose(self, state: State) -> Proposal:
        """The chain, and other candidates beside it."""
        s = self.options
        count = min(s.length, s.budget // s.samples, self.reach(state.frontier))
        if not count:
            return Proposal()
        q = self.distributions(state.frontier, count)
        indices = [index for index in range(count) for _ in range(s.samples)]
        cells = [state.frontier + index for index in indices]
        drawn = iter(self.verifier.draw(q, indices, cells, state.passes))
        proposal, parent = Proposal(q=q), ROOT
        for index in range(count):
            nodes = [proposal.add(state.frontier + index, next(drawn), parent, index) for _ in range(s.samples)]
            parent = nodes[0]
        return proposal

    def reach(self, frontier: int) -> int:
        """How many of the next cells have a q: those left in the grid, none before its first token."""
        grid, index = self.layout.locate(frontier)
        return grid.cells - index if index else 0

    def distributions(self, frontier: int, count: int, skip: int = 0) -> Float[Tensor, "wanted V"]:
        """q of each of the next cells, given what is written, in one pass of the network.

        Args:
            frontier: first open cell; all before it were observed.
            count: cells of the window, at most its `reach`.
            skip: of these, first ones whose q is not wanted.
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
    """What the window at `frontier` sees of slots and of itself: the same for every image of a grid."""
    room = config.memory(grid.columns, grid.cells)
    slot = torch.arange(room)
    last = frontier - 1 - (frontier - 1 - slot) % room  # the latest known cell that lies there
    known = torch.where(last >= 0, last, NOWHERE)
    cells = torch.arange(frontier, frontier + count)
    mask = config.visible(grid.columns, known, cells, torch.full_like(cells, frontier))
    return mask[None, None].to(device)


METHOD = Method(
    "spatial-model", "ours: a draft model with local attention in two dimensions guesses a window at once",
    SpatialModelOptions(), SpatialModel, drafts="spatial-model",
)  # fmt: skip
