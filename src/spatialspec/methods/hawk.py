"""Hawk (arXiv 2510.25739): horizontal and vertical heads, a cache of vertical predictions, a spatial pool, a tree.

| variable | symbol in the paper |
|---|---|
| `horizontal` | n, heads that draft cell t + k from h_t |
| `vertical` | VSD, heads that draft cell t + k * IW from h_t |
| `grid.columns` | IW |
| `_cache` | cache of vertical predictions, IW * VSD (VSD + 1) / 2 entries |
| `vertical_samples`, `horizontal_samples` | a, b: candidates per depth from each direction |

h_t is the state from which the target's own head draws cell t. A head is x + SiLU(W x) on the normed state (Medusa's
residual block; section 3.1), followed by the frozen output layer. The pool at cell P is VertSpec(P) = {head k at
P - k * IW} and HorizSpec(P) = {head j at P - j}; candidates are drawn vertical first, round robin over the heads, then
horizontal; where row 0 has no vertical source the horizontal one takes its places. The tree is the Cartesian product.
`medusa` is horizontal heads alone, `hawk-vertical` vertical heads alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from spatialspec.core.errors import BadInput
from spatialspec.core.interfaces import Head, Verifier
from spatialspec.core.proposal import ROOT, Proposal, Scores, Verdict
from spatialspec.core.sampling import Sampling
from spatialspec.core.setting import Setting
from spatialspec.core.sizes import CountOrNone, Size
from spatialspec.core.state import State
from spatialspec.methods.options import parameter


@dataclass(frozen=True)
class HawkConfig:
    """Sizes of the heads.

    Attributes:
        width: of the target.
        horizontal: number of horizontal heads n.
        vertical: number of vertical heads VSD.
    """

    width: Size
    horizontal: CountOrNone = 2
    vertical: CountOrNone = 2


class HawkHeads(nn.Module):
    """All heads; zero at the start, so that every head begins as the target's own."""

    def __init__(self, config: HawkConfig) -> None:
        super().__init__()
        self.config = config
        self.horizontal = nn.Parameter(torch.zeros(config.horizontal, config.width, config.width))
        self.vertical = nn.Parameter(torch.zeros(config.vertical, config.width, config.width))

    @staticmethod
    def apply_heads(weight: Float[Tensor, "K d d"], states: Float[Tensor, "*N d"]) -> Float[Tensor, "K *N d"]:
        """x + SiLU(W_k x) for every head k."""
        flat = states.flatten(0, -2)
        moved = (flat @ weight.flatten(0, 1).T).view(len(flat), *weight.shape[:2]).transpose(0, 1)
        return (flat + F.silu(moved)).view(len(weight), *states.shape)


@dataclass(frozen=True)
class HawkShape:
    """What to draft in every pass.

    Depth is cut where the full product would exceed the budget.
    """

    horizontal: int = parameter(2, "horizontal heads n in use", high=16)
    vertical: int = parameter(2, "vertical heads VSD in use", high=16)
    depth: int = parameter(2, "cells drafted ahead", 1, 16)
    vertical_samples: int = parameter(1, "candidates per depth from vertical heads, a", high=64)
    horizontal_samples: int = parameter(1, "candidates per depth from horizontal heads, b", high=64)
    budget: int = parameter(64, "most nodes of the tree; 0 is AR", 0, 128)


class Hawk:
    """The drafter: heads, vertical cache, pool and tree for one image."""

    Settings = HawkShape

    @classmethod
    def make(cls, setting: Setting, settings: HawkShape, verifier: Verifier) -> Hawk:
        """The drafter of one image.

        Raises:
            BadInput: there are no draft weights, or they have too few heads.
        """
        heads = setting.find(HawkHeads, "hawk")
        there = heads.config
        if settings.horizontal > there.horizontal or settings.vertical > there.vertical:
            raise BadInput(
                f"horizontal={settings.horizontal}, vertical={settings.vertical}",
                f"at most the {there.horizontal} and {there.vertical} heads of the draft weights",
            )
        return cls(heads, setting.target, setting.sampling, verifier, settings, setting.grid.columns)

    def __init__(
        self, heads: HawkHeads, target: Head, sampling: Sampling, verifier: Verifier, shape: HawkShape, columns: int
    ) -> None:
        self.target, self.sampling, self.verifier, self.shape = target, sampling, verifier, shape
        self.right = heads.horizontal[: shape.horizontal]
        self.down = heads.vertical[: shape.vertical]
        self.columns = columns
        # depth k is needed for k rows: entry of cell t lies at t modulo k * IW
        self._cache = [
            heads.vertical.new_empty(k * columns, sampling.streams, target.width) for k in range(1, shape.vertical + 1)
        ]
        self._right_states: Float[Tensor, "n G d"] | None = None

    def observe(
        self, state: State, proposal: Proposal, verdict: Verdict, p: Float[Tensor, "R V"], scores: Scores
    ) -> None:
        """Run the heads at the cells just committed; store vertical outputs."""
        rows = verdict.rows()
        states = self.target.norm(scores.hidden[:, rows] if len(rows) > 1 else scores.hidden[:, rows[0] : rows[0] + 1])
        if self.shape.vertical:
            below = HawkHeads.apply_heads(self.down, states)
            for k, store in enumerate(self._cache):
                cells = range(state.frontier, state.frontier + len(rows))[-len(store) :]  # each place once
                store[[cell % len(store) for cell in cells]] = below[k][:, -len(cells) :].transpose(0, 1)
        if self.shape.horizontal:
            self._right_states = HawkHeads.apply_heads(self.right, states[:, -1])

    def propose(self, state: State) -> Proposal:
        """Pool and tree for the cells behind the frontier; nothing before the first token."""
        if not state.frontier:
            return Proposal()
        sources: list[Float[Tensor, "G d"]] = []
        origins: list[tuple[str, int]] = []
        plan = [self.pool(state.frontier + j, j, sources, origins) for j in range(self._depth(state))]
        if not sources:
            return Proposal()
        q = self.sampling.distribution(self.target.output(torch.stack(sources, dim=1)))
        rows = [row for level in plan for row in level]
        cells = [state.frontier + j for j, level in enumerate(plan) for _ in level]
        tokens = iter(self.verifier.draw(q, rows, cells, state.passes))
        proposal = Proposal(q=q, sources=origins)
        parents = [ROOT]
        for j, level in enumerate(plan):
            drawn = [(next(tokens), row) for row in level]
            parents = [proposal.add(state.frontier + j, token, up, row) for up in parents for token, row in drawn]
            parents = list(dict.fromkeys(parents))
        return proposal

    def pool(
        self, cell: int, ahead: int, sources: list[Float[Tensor, "G d"]], origins: list[tuple[str, int]]
    ) -> list[int]:
        """Append a cell's sources and their origins; return a row of q for each of its candidates, vertical first."""
        s = self.shape
        vertical = []
        for k, store in enumerate(self._cache, start=1):
            if cell >= k * self.columns > ahead:  # there is such a row, and its cell is committed
                vertical.append(len(sources))
                sources.append(store[cell % len(store)])  # written at cell - k * IW
                origins.append(("vertical", k))
        chosen = [vertical[i % len(vertical)] for i in range(s.vertical_samples)] if vertical else []
        if self._right_states is not None and ahead < s.horizontal:
            free = s.vertical_samples if s.vertical and not vertical else 0
            chosen += [len(sources)] * (s.horizontal_samples + free)
            sources.append(self._right_states[ahead])
            origins.append(("horizontal", ahead + 1))
        return chosen

    def _depth(self, state: State) -> int:
        """Levels of the tree: known before anything is drawn, as rejection needs it."""
        s = self.shape
        per_level = s.vertical_samples * bool(s.vertical) + s.horizontal_samples * bool(s.horizontal)
        depth, nodes = 0, 0
        while depth < s.depth and nodes + per_level ** (depth + 1) <= s.budget:
            depth += 1
            nodes += per_level**depth
        return min(depth, state.grid.cells - state.frontier)
