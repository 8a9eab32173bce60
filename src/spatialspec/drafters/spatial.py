"""Our own exact decoder: spatial drafts, refined in every pass under coupled noise, with a tree at the front.

1. A window of open cells. A new cell copies the token above it (to its left in row 0); from then on every pass of the
   target refines it: x_i <- argmax(log p_i + g_i), as in Jacobi decoding.
2. Front. Right behind the last commit the states are stale: they were made with a token that has just been replaced.
   `Repair` mends them (without its weights they are taken as they are) and gives scores log q + g. A beam over the next
   cells holds the likeliest paths, P(candidate) = softmax((log q + g) / tau), and the most probable nodes are kept:
   with a node its ancestors, so they form a tree.
3. Chain. The likeliest path goes on through the rest of the window, so that far cells are refined while near ones are
   searched. Where another branch wins, its own states take over.

| variable | symbol |
|---|---|
| `budget` | nodes of a pass |
| `front` | of these, nodes of the tree beside the main path |
| `hidden`, `read` | stale state of each open cell, and the token before it that the state was made with |
| `tokens` | x_i |
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate

import torch
from jaxtyping import Float
from torch import Tensor

from spatialspec.core.parameters import parameter
from spatialspec.core.proposal import ROOT, Proposal, Scores, Verdict
from spatialspec.core.protocols import Verifier
from spatialspec.core.setting import Setting
from spatialspec.core.state import State
from spatialspec.drafters.repair import Repair


@dataclass(frozen=True)
class SpatialSettings:
    """How the nodes of a pass are spent."""

    budget: int = parameter(64, "drafted nodes of a pass; 0 is AR", 0, 128)
    front: int = parameter(20, "of these, nodes of the tree beside its main path", 0, 128)
    depth: int = parameter(6, "cells that the tree reaches", 1, 16)
    beam: int = parameter(12, "paths that are followed", 1, 64)


@dataclass
class _Level:
    """One cell of the beam: for each path its parent on the level before, its token and its log-probability."""

    parents: list[int]
    tokens: list[int]
    weights: list[float]


class Spatial:
    """The drafter of one image; the verifier is coupled noise, exact or with a tolerance."""

    Settings = SpatialSettings

    @classmethod
    def make(cls, setting: Setting, settings: SpatialSettings, verifier: Verifier) -> Spatial:
        """The drafter of one image."""
        repair = next((drafts for drafts in setting.drafts if isinstance(drafts, Repair)), None)
        return cls(setting, settings, repair)

    def __init__(self, setting: Setting, settings: SpatialSettings, repair: Repair | None) -> None:
        self.target, self.sampling, self.noise = setting.target, setting.sampling, setting.noise
        self.settings, self.repair, self.columns = settings, repair, setting.grid.columns
        self.tokens: list[int] = []  # of cells frontier, frontier + 1, ...
        self.read: list[int] = []  # of those that a pass has scored
        self.hidden: Float[Tensor, "G N d"] | None = None
        self.main: list[int] = []

    def propose(self, state: State) -> Proposal:
        """Tree and chain; nothing before the first token."""
        if not state.frontier:
            return Proposal()
        s, room = self.settings, state.grid.cells - state.frontier
        levels = self._beam(state, min(s.depth, room, len(self.read)))
        best = self._best(levels)
        kept = self._likeliest(levels, best, s.front)
        length = min(s.budget - len(kept), room)
        path = [level.tokens[place] for level, place in zip(levels, best, strict=True)][:length]
        self._fill(state, path, length)
        proposal = Proposal()
        up, self.main = ROOT, []
        for i, token in enumerate(self.tokens[:length]):
            up = proposal.add(state.frontier + i, token, up)
            self.main.append(up)
        nodes: dict[tuple[int, int], int] = {}
        for i, level in enumerate(levels):
            for j in range(len(level.tokens)):
                up = ROOT if i == 0 else nodes.get((i - 1, level.parents[j]), ROOT - 1)
                if up >= ROOT and ((i, j) in kept or proposal.find(up, level.tokens[j]) is not None):
                    nodes[i, j] = proposal.add(state.frontier + i, level.tokens[j], up)
        return proposal

    def _beam(self, state: State, depth: int) -> list[_Level]:
        """The likeliest paths through the next cells."""
        if not depth:
            return []
        assert self.hidden is not None
        device, width = self.hidden.device, self.settings.beam
        spread = float(self.repair.spread) if self.repair is not None else 1.0
        noise = self.noise.gumbel(list(range(state.frontier, state.frontier + depth)))
        before, weight = torch.tensor([state.tokens[-1]], device=device), torch.zeros(1, device=device)
        delta = torch.zeros_like(self.hidden[:, :1])
        found = []
        for i in range(depth):
            stale = self.hidden[:, i : i + 1].expand_as(delta)
            if self.repair is not None:
                old = self.target.embed(torch.tensor([self.read[i]], device=device)).expand_as(delta)
                delta = self.repair(stale, self.target.embed(before).expand_as(delta), old, delta)
                stale = stale + delta
            q = self.sampling.distribution(self.target.output(self.target.norm(stale)))
            score = (q.log() + noise[i]) / spread
            best = min(width, q.shape[-1])
            value, token = (weight[:, None] + score.log_softmax(-1)).topk(best, dim=-1)
            weight, place = value.flatten().topk(min(width, value.numel()))
            parent, before = place // best, token.flatten()[place]
            delta = delta[:, parent]
            found.append((parent, before, weight))
        sizes = [len(parent) for parent, _, _ in found]
        columns = [torch.cat(column).tolist() for column in zip(*found, strict=True)]  # the only waits for the device
        ends = list(accumulate(sizes))
        return [_Level(*(c[end - size : end] for c in columns)) for size, end in zip(sizes, ends, strict=True)]

    @staticmethod
    def _best(levels: list[_Level]) -> list[int]:
        """The likeliest path, as its place on every level; the first on the last level is its end."""
        places, place = [], 0
        for level in reversed(levels):
            places.append(place)
            place = level.parents[place]
        return places[::-1]

    @staticmethod
    def _likeliest(levels: list[_Level], best: list[int], count: int) -> set[tuple[int, int]]:
        """The most probable nodes beside the likeliest path."""
        main = set(enumerate(best))
        weights = {(i, j): w for i, level in enumerate(levels) for j, w in enumerate(level.weights)}
        others = [node for node, w in weights.items() if node not in main and w > float("-inf")]
        others.sort(key=lambda node: (-weights[node], node))  # a parent is never behind its child
        return set(others[:count])

    def _fill(self, state: State, path: list[int], length: int) -> None:
        """The main path, then refined tokens, then copies."""
        written = [*state.tokens, *path, *self.tokens[len(path) : length]]
        for cell in range(len(written), state.frontier + length):
            written.append(written[cell - self.columns if cell >= self.columns else cell - 1])
        self.tokens = written[state.frontier :]

    def observe(
        self, state: State, proposal: Proposal, verdict: Verdict, p: Float[Tensor, "R V"], scores: Scores
    ) -> None:
        """Take over states and refined tokens: of the branch that won as far as it goes, then of the chain."""
        assert verdict.refined is not None
        branch = [ROOT, *verdict.path]
        first_child: dict[int, int] = {}
        for node, up in enumerate(proposal.parents):
            first_child.setdefault(up, node)
        while branch[-1] in first_child:
            branch.append(first_child[branch[-1]])
        chain = [ROOT, *self.main]
        nodes = branch + chain[len(branch) :]
        done, stop = len(verdict.tokens(proposal)), state.grid.cells - state.frontier
        left = nodes[done:stop]
        self.hidden = scores.hidden[:, [node + 1 for node in left]]
        self.read = [proposal.tokens[node] if node != ROOT else state.tokens[-1] for node in left]
        self.tokens = [verdict.refined[node + 1] for node in left]
