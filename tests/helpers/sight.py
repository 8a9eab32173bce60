"""Sessions in which a row's law depends on all that the row sees, for decoders that leave the raster order."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from spatialspec.audit.toys import parse
from spatialspec.core.clock import Clock
from spatialspec.core.context import DecodeContext
from spatialspec.core.noise import Noise
from spatialspec.core.proposal import ROOT, Proposal
from spatialspec.core.sampler import Sampler, drawn
from spatialspec.core.sampling import Sampling
from spatialspec.core.state import State
from spatialspec.core.step import Scores, Step
from spatialspec.decode import Image, decode
from spatialspec.methods.method import Method


class Sight:
    """A session whose every row has a law drawn from all (cell, token) that the row sees. It is its own target."""

    width = 1

    def __init__(self, vocabulary: int = 4) -> None:
        self.vocabulary = vocabulary
        self.table = torch.randn(997, vocabulary, generator=torch.Generator().manual_seed(0))

    def score(
        self,
        states: Sequence[State],
        proposals: Sequence[Proposal],
        layers: Collection[int],
        samplers: Sequence[Sampler],
        clock: Clock,
    ) -> list[Scores]:
        scored = [self._one(*pair) for pair in zip(states, proposals, strict=True)]
        return [drawn(*each) for each in zip(scored, samplers, states, proposals, strict=True)]

    def _one(self, state: State, proposal: Proposal) -> Scores:
        written = {**dict(enumerate(state.tokens)), **state.ahead}
        seen = [self._before(written, cell) for cell in state.pending or (-1,)]
        first = len(seen)
        for cell, token, parent in zip(proposal.cells, proposal.tokens, proposal.parents, strict=True):
            above = self._before(written, cell) if parent == ROOT else seen[first + parent]
            seen.append(above | {(cell, token)})
        self.last = self.table[None, [self.row(s) for s in seen]]
        return Scores(self.last, self.last[..., :1])

    @staticmethod
    def _before(written: dict[int, int], cell: int) -> frozenset[tuple[int, int]]:
        return frozenset((c, token) for c, token in written.items() if c <= cell)

    def row(self, seen: frozenset[tuple[int, int]]) -> int:
        return hash(seen) % len(self.table)

    def keep(self, index: int, step: Step) -> None:
        pass

    def drop(self, images: Sequence[int]) -> None:
        pass


class Settled(Sight):
    """One law for all."""

    def row(self, seen: frozenset[tuple[int, int]]) -> int:
        return 0


class Fickle(Sight):
    """All mass on a token that changes with every token more that is seen."""

    def __init__(self, vocabulary: int = 4) -> None:
        super().__init__(vocabulary)
        self.table = 1e4 * torch.eye(vocabulary)

    def row(self, seen: frozenset[tuple[int, int]]) -> int:
        return len(seen) % self.vocabulary


@dataclass(frozen=True)
class Seen:
    """One pass of one image: the state before it, the step, the law of every row."""

    before: State
    step: Step
    p: Tensor


def run(
    method: str, rule: str, grid: str, session: Sight, seed: int = 0, written: Sequence[int] = ()
) -> tuple[list[Seen], list[int]]:
    """Decode an image; all passes, and for each cell the pass that wrote it, counted from 1."""
    shape = parse(grid)
    context = DecodeContext(session, [], Sampling(), shape, Noise(seed, shape.cells, session.vocabulary))  # type: ignore
    image = Image(State(shape), *Method.parse(method).make(context, rule), Sampling(), written)
    before, passes, when = image.state, [], [0] * shape.cells
    for step in decode(session, [image]):
        for cell in range(shape.cells):
            then, now = before.token(cell), step.after.token(cell)
            assert then is None or then == now, "written once"
            if then is None and now is not None:
                when[cell] = step.after.passes
        passes.append(Seen(before, step, Sampling().distribution(session.last)))
        before = step.after
    assert before.complete and not before.ahead and min(when) > 0 and max(when) == before.passes
    return passes, when
