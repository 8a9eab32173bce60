"""The spatial draft model as a drafter: a chain along the row, guessed in one pass, with other candidates beside it.

    q_f .. q_{f+n-1} = network(c_t, t < f)                   one pass of the draft model (`spatial_model_network.py`)
    cell f + j: `samples` candidates drawn from q_{f+j}; the chain goes on behind the first of them

All candidates of a cell come from one law, which depends on known cells alone, and the shape of the tree is settled
before anything is drawn: exact under rejection, and under coupled noise like any tree. Guidance: the network runs on
both streams, and q is made from their logits as p is.

| variable | symbol |
|---|---|
| `state.frontier` | f |
| `settings.length` | n, cut where n times `samples` would exceed the budget |
| `_slots` | keys and values of the last known cells; cell t lies at t modulo their number |
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from spatialspec.core.grid import Grid
from spatialspec.core.interfaces import Head, Verifier
from spatialspec.core.proposal import ROOT, Proposal, Scores, Verdict
from spatialspec.core.rotary import Rotation
from spatialspec.core.sampling import Sampling
from spatialspec.core.setting import Setting
from spatialspec.core.state import State
from spatialspec.methods.options import parameter
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


@dataclass(frozen=True)
class SpatialModelSettings:
    """What to draft in every pass."""

    length: int = parameter(8, "cells drafted ahead, along the row and behind its end", 1, 128)
    samples: int = parameter(3, "candidates per cell", 1, 64)
    budget: int = parameter(64, "most nodes of the tree; 0 is AR", 0, 128)


class SpatialModel:
    """The drafter of one image.

    Attributes:
        blocks: of the target, whose states every proposal asks for.
    """

    Settings = SpatialModelSettings

    @classmethod
    def make(cls, setting: Setting, settings: SpatialModelSettings, verifier: Verifier) -> SpatialModel:
        """The drafter of one image.

        Raises:
            BadInput: there are no draft weights, or they need what the target does not give.
        """
        network = setting.find(SpatialNetwork, "spatial-model")
        return cls(network, setting.target, setting.sampling, verifier, settings, setting.grid)

    def __init__(
        self,
        network: SpatialNetwork,
        target: Head,
        sampling: Sampling,
        verifier: Verifier,
        settings: SpatialModelSettings,
        grid: Grid,
    ) -> None:
        self.network, self.target, self.sampling, self.verifier = network, target, sampling, verifier
        self.settings, self.grid = settings, grid
        c = network.config
        self.blocks = c.blocks(depth(target))
        network.vocabulary.bind(target)
        slots = c.memory(grid.columns, grid.cells)
        self._slots: Float[Tensor, "L 2 G H S D"] = network.open.new_zeros(
            c.layers, 2, sampling.streams, c.heads, slots, c.width // c.heads
        )
        self._rotation = _rotation(c, grid, network.open.device)

    def observe(
        self, state: State, proposal: Proposal, verdict: Verdict, p: Float[Tensor, "R V"], scores: Scores
    ) -> None:
        """Read the cells just committed."""
        room = self._slots.shape[-2]
        rows, tokens = verdict.rows()[-room:], verdict.tokens(proposal)
        cells = range(state.frontier, state.frontier + len(tokens))[-room:]
        states = [*(scores.blocks[block] for block in self.blocks), scores.hidden]
        hidden = torch.cat([part[:, rows] for part in states], dim=-1)
        embedding = self.target.embed(torch.tensor(tokens[-room:], device=hidden.device)).expand(len(hidden), -1, -1)
        where = [cell % room for cell in cells]
        self._slots[..., where, :] = self.network.read(hidden, embedding, self._turned(cells))

    def propose(self, state: State) -> Proposal:
        """The chain and what stands beside it; nothing before the first token."""
        s = self.settings
        count = min(s.length, s.budget // s.samples, state.grid.cells - state.frontier)
        if not state.frontier or not count:
            return Proposal(blocks=self.blocks)
        q = self.laws(state.frontier, count)
        rows = [row for row in range(count) for _ in range(s.samples)]
        drawn = iter(self.verifier.draw(q, rows, [state.frontier + row for row in rows], state.passes))
        proposal, parent = Proposal(q=q, blocks=self.blocks), ROOT
        for row in range(count):
            nodes = [proposal.add(state.frontier + row, next(drawn), parent, row) for _ in range(s.samples)]
            parent = nodes[0]
        return proposal

    def laws(self, frontier: int, count: int, skip: int = 0) -> Float[Tensor, "count-skip V"]:
        """Law of each of the next cells, given what is written, in one pass of the network.

        Args:
            frontier: first open cell, at least 1; all before it were observed.
            count: cells of the window.
            skip: of these, first ones whose laws are not wanted.
        """
        mask = _mask(self.network.config, self.grid, frontier, count, self._slots.device)
        rotation = self._turned(range(frontier, frontier + count))
        states = self.network(self._slots, rotation, mask)[:, skip:]
        return self.network.vocabulary.laws(self.target, self.sampling, states)

    def _turned(self, cells: Sequence[int]) -> Rotation:
        cos, sin = self._rotation
        return cos[cells[0] : cells[-1] + 1], sin[cells[0] : cells[-1] + 1]


@lru_cache(maxsize=16)
def _rotation(config: SpatialModelConfig, grid: Grid, device: torch.device) -> Rotation:
    return config.rotation(torch.arange(grid.cells, device=device), grid.columns)


@lru_cache(maxsize=1024)
def _mask(
    config: SpatialModelConfig, grid: Grid, frontier: int, count: int, device: torch.device
) -> Bool[Tensor, "1 1 M S+M"]:
    """What the window at `frontier` sees of slots and of itself: the same for every image of a grid."""
    room = config.memory(grid.columns, grid.cells)
    slot = torch.arange(room)
    last = frontier - 1 - (frontier - 1 - slot) % room  # the latest known cell that lies there
    known = torch.where(last >= 0, last, NOWHERE)
    cells = torch.arange(frontier, frontier + count)
    mask = config.visible(grid.columns, known, cells, torch.full_like(cells, frontier))
    return mask[None, None].to(device)
