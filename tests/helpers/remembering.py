"""Shipped Hawk beside a naive one that keeps every output of its heads."""

from __future__ import annotations

import torch
from torch import Tensor

from spatialspec.core.interfaces import Verifier
from spatialspec.core.proposal import ROOT, Proposal
from spatialspec.core.sampling import Sampling
from spatialspec.core.state import State
from spatialspec.core.step import Step
from spatialspec.methods.ar import AR
from spatialspec.methods.hawk import Hawk, HawkHeads

SAMPLING = Sampling(guidance=2.0, temperature=0.9)


class Remembering(AR):
    """Runs shipped Hawk beside a naive one, which keeps every output of every head at every cell for ever."""

    def __init__(self, hawk: Hawk, heads: HawkHeads, verifier: Verifier) -> None:
        self.hawk, self.heads, self.verifier = hawk, heads, verifier
        self.down: dict[tuple[int, int], Tensor] = {}  # (source cell, k)
        self.right: dict[tuple[int, int], Tensor] = {}
        self.sources_seen: set[int] = set()

    def observe(self, step: Step) -> None:
        for i, slot in enumerate(step.verdict.slots()):
            h = self.hawk.target.norm(step.scores.hidden[:, slot])
            for table, heads in ((self.down, self.heads.vertical), (self.right, self.heads.horizontal)):
                for k, weight in enumerate(heads, start=1):
                    table[step.before.frontier + i, k] = h + torch.nn.functional.silu(h @ weight.T)
        self.hawk.observe(step)

    def propose(self, state: State) -> Proposal:
        shipped = self.hawk.propose(state)
        s, levels = self.hawk.options, []
        for ahead in range(min(s.depth, state.layout.cells - state.frontier)):
            cell = state.frontier + ahead
            sources = [(state.layout.above(cell, k), k) for k in range(1, s.vertical + 1)]
            over = [self.down[source] for source in sources if source in self.down]
            beside = self.right.get((state.frontier - 1, ahead + 1))
            self.sources_seen.add(len(over))
            samples = [over[i % len(over)] for i in range(s.vertical_samples)] if over else []
            if beside is not None and s.horizontal:
                samples += [beside] * (s.horizontal_samples + (0 if over or not s.vertical else s.vertical_samples))
            levels += [(cell, x) for x in samples]
        q = [self.hawk.sampling.distribution(self.hawk.target.output(x)) for _, x in levels]
        tested = [[shipped.q[index] for _, index in shipped.tests[slot]] for slot in sorted(shipped.tests)]
        self.compare(state, shipped, [cell for cell, _ in levels], q, tested)
        return shipped

    def compare(
        self, state: State, shipped: Proposal, cells: list[int], q: list[Tensor], tested: list[list[Tensor]]
    ) -> None:
        """The same distributions, in the same order, at every node of every level."""
        depth = {ROOT: 0}
        for node, parent in enumerate(shipped.parents):
            depth[node] = depth[parent] + 1
        assert all(cell == state.frontier + depth[node] - 1 for node, cell in enumerate(shipped.cells))
        for slot, tests in zip(sorted(shipped.tests), tested, strict=True):
            expected = [x for cell, x in zip(cells, q, strict=True) if cell == state.frontier + depth[slot - 1]]
            torch.testing.assert_close(torch.stack(tests), torch.stack(expected), atol=1e-6, rtol=0)
        leaves = {slot - 1 for slot in range(len(shipped) + 1)} - {slot - 1 for slot in shipped.tests}
        for leaf in leaves:
            assert state.frontier + depth[leaf] not in cells, "a node without the children it should have"
