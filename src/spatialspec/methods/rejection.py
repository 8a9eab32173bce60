"""Rejection with several candidates per cell (Hawk, arXiv 2510.25739, section 3.4 and appendix A).

    p <- p_target(. | accepted prefix)
    for x, q in candidates, vertical first, then horizontal:
        accept x if U < p(x) / q(x), else p <- normalise(max(p - q, 0))
    if none is accepted: sample from the last p

The recursive form of speculative sampling (Leviathan et al., 2023; Chen et al., 2023) with a q of its own for each
candidate. Equations 9 and 11 of the paper print q_vert instead of q_horiz. Exact, not seed-exact.

All tests of a pass are made on the device, whatever their outcome, and the host reads all results at once. `refined` is
for every slot its first candidate if that is accepted, else a sample of the first residual: a sample of p that equals
the candidate as often as possible (maximal coupling).

| variable | symbol |
|---|---|
| `p`, `left` | p, then p'_v, p'_vh, the residuals |
| `proposal.q` | q_v, q_h |
| `u` | U |
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from spatialspec.core.interfaces import Verifier
from spatialspec.core.noise import Noise, Purpose, inverse_cdf, rows
from spatialspec.core.proposal import Proposal
from spatialspec.core.state import State
from spatialspec.core.step import Scores, Verdict

LEAST = 2.0**-40  # part of p that every refusal leaves: p itself if nothing else is left, else far below rounding


def residual(p: Float[Tensor, "*N V"], q: Float[Tensor, "*N V"]) -> Float[Tensor, "*N V"]:
    """max(p - q, 0), up to a factor; p where that is 0 everywhere, which happens only if p = q up to rounding."""
    return torch.maximum(p - q, LEAST * p)  # NaN propagates


def normalise(weights: Float[Tensor, "*N V"]) -> Float[Tensor, "*N V"]:
    """Distributions, from what is left after a refusal."""
    return weights / weights.sum(-1, keepdim=True)


class _Test(NamedTuple):
    """The test of a node with row `source` of q; `number` counts those after the same slot."""

    slot: int
    node: int
    source: int
    number: int


class Rejection(Verifier):
    """Verifier by rejection, for trees whose candidates `draw` sampled from the q that tests them."""

    def __init__(self, noise: Noise) -> None:
        self.noise = noise

    def draw(
        self, q: Float[Tensor, "Q V"], indices: Sequence[int], cells: Sequence[int], pass_index: int
    ) -> Int[Tensor, "N"]:
        """An independent sample for each pair, V where q is NaN; the k-th pair of a cell draws its candidate k."""
        count: Counter[int] = Counter()
        candidates = []
        for cell in cells:
            candidates.append(count[cell])
            count[cell] += 1
        return inverse_cdf(rows(q, indices), self.noise.uniform(Purpose.DRAFT, pass_index, cells, candidates))

    def verify(self, proposal: Proposal, scores: Scores, state: State) -> Verdict:
        """Test candidates depth by depth, from the root."""
        tests, slots = proposal.tests, range(len(scores.p))
        order = sorted(tests, key=lambda slot: (-len(tests[slot]), slot))  # so every round has the first of these
        most = len(tests[order[0]]) if tests else 0
        tested = [_Test(slot, *tests[slot][k], k) for k in range(most) for slot in order if len(tests[slot]) > k]
        order += [slot for slot in slots if slot not in tests]
        order += [test.slot for test in tested if test.number == 1]  # after their first test, for `refined`
        passed, fresh = self._read(proposal, scores, state, tested, order)
        tokens = dict(zip(reversed(order), reversed(fresh), strict=True))
        refined = dict(zip(order, fresh, strict=True))
        accepted: dict[int, int] = {}
        for test, accepts in zip(tested, passed, strict=True):
            if accepts:
                accepted.setdefault(test.slot, test.node)
                if test.number == 0:
                    refined[test.slot] = proposal.tokens[test.node]
        path: list[int] = []
        slot = 0
        while slot in accepted:
            path.append(accepted[slot])
            slot = path[-1] + 1
        complete = bool(path) and proposal.cells[path[-1]] + 1 == state.layout.cells
        return Verdict(tuple(path), None if complete else tokens[slot], tuple(refined[slot] for slot in slots))

    def _read(
        self, proposal: Proposal, scores: Scores, state: State, tested: Sequence[_Test], order: Sequence[int]
    ) -> tuple[list[int], list[int]]:
        """Whether every test is passed, and for slots a sample of what is left.

        Args:
            proposal: as for `verify`, and so are the next two.
            scores: see above.
            state: see above.
            tested: round by round, in each the first slots of the one before.
            order: slots after their last test, those with most tests first; then slots without a test; then those with
                several after their first.
        """
        nodes, count = [test.node for test in tested], len(tested)
        last = state.layout.cells - 1  # nothing comes after it
        after = [state.frontier, *(min(cell + 1, last) for cell in proposal.cells)]
        cells, numbers = [proposal.cells[node] for node in nodes], [test.number for test in tested]
        u = self._uniform(cells, numbers, [after[slot] for slot in order], state.passes)
        p = weights = rows(scores.p, order[: len(scores.p)])
        results = []
        if tested:
            assert proposal.q is not None
            drafts, q = self._drafts(proposal, scores, nodes), rows(proposal.q, [test.source for test in tested])
            rounds = [*Counter(numbers).values()]
            before, residuals = self._refusals(p, q, drafts, rounds)
            p_x, q_x = self.masses(before, q, drafts)
            results.append(u[:count] * q_x < p_x)
            ends = [left[n:] for left, n in zip(residuals, [*rounds[1:], 0], strict=True) if n < len(left)]
            firsts = [residuals[0][: rounds[1]]] if len(rounds) > 1 else []
            weights = torch.cat((*reversed(ends), p[rounds[0] :], *firsts))
        results.append(inverse_cdf(weights, u[count:]))
        if scores.tokens is not None:
            results.append(scores.tokens[1:])
        read = (torch.cat(results) if len(results) > 1 else results[0]).tolist()
        if scores.tokens is not None:
            proposal.settle(read[count + len(order) :])
        return read[:count], read[count : count + len(order)]

    @staticmethod
    def _drafts(proposal: Proposal, scores: Scores, nodes: Sequence[int]) -> Int[Tensor, "N"]:
        """Tokens of nodes on the device."""
        if scores.tokens is not None:
            return rows(scores.tokens[1:], nodes)
        return torch.from_numpy(np.array(proposal.tokens)[list(nodes)]).to(scores.p.device)

    def _refusals(
        self, p: Float[Tensor, "R V"], q: Float[Tensor, "N V"], drafts: Int[Tensor, "N"], counts: Sequence[int]
    ) -> tuple[Float[Tensor, "N V"], list[Float[Tensor, "n V"]]]:
        """p before every test, and what is left of it after those of every round, up to a factor."""
        left, least = p, LEAST * p[: counts[0]]
        before: list[Tensor] = []
        residuals: list[Tensor] = []
        for count, q_k, drafts_k in zip(counts, q.split(list(counts)), drafts.split(list(counts)), strict=True):
            before.append(normalise(left[:count]) if before else left[:count])
            left = torch.maximum(self.refuse(before[-1], q_k, drafts_k), least[:count])  # NaN propagates
            residuals.append(left)
        return torch.cat(before) if len(before) > 1 else before[0], residuals

    def masses(
        self, p: Float[Tensor, "N V"], q: Float[Tensor, "N V"], tokens: Int[Tensor, "N"]
    ) -> tuple[Float[Tensor, "N"], Float[Tensor, "N"]]:
        """p(x) and q(x) of drafts, each accepted if U q(x) < p(x); relaxed rules change them."""
        return p.gather(-1, tokens[:, None])[:, 0], q.gather(-1, tokens[:, None])[:, 0]

    def refuse(
        self, p: Float[Tensor, "N V"], q: Float[Tensor, "N V"], tokens: Int[Tensor, "N"]
    ) -> Float[Tensor, "N V"]:
        """What rejected drafts leave of p, up to a factor; negative where nothing is left."""
        return p - q

    def _uniform(
        self, cells: Sequence[int], numbers: Sequence[int], after: Sequence[int], pass_index: int
    ) -> Float[Tensor, "N"]:
        """U for tests at cells, each with its number among the tests after its slot; then for samples of residuals."""
        purposes = [Purpose.ACCEPT] * len(cells) + [Purpose.RESIDUAL] * len(after)
        return self.noise.uniform(purposes, pass_index, [*cells, *after], [*numbers, *[0] * len(after)])

    def sample(self, scores: Scores, slots: Sequence[int], cells: Sequence[int], pass_index: int) -> list[int]:
        """A sample of the target's distribution after each of some slots, with the uniform numbers of residuals."""
        return inverse_cdf(rows(scores.p, slots), self._uniform((), (), cells, pass_index)).tolist()

    def couple(
        self,
        p: Float[Tensor, "N V"],
        q: Float[Tensor, "N V"],
        tokens: Sequence[int],
        cells: Sequence[int],
        pass_index: int,
    ) -> list[int]:
        """Test each draft by itself: it is accepted, or a sample of the residual replaces it."""
        if not tokens:
            return []
        drawn = torch.tensor(tokens, device=p.device)
        u = self._uniform(cells, [0] * len(cells), cells, pass_index)
        p_x, q_x = self.masses(p, q, drawn)
        fresh = inverse_cdf(residual(p, q), u[len(cells) :])
        return torch.where(u[: len(cells)] * q_x < p_x, drawn, fresh).tolist()
