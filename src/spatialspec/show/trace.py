"""The trace of one image: source and pass of each token, the entropy of the target, the distance of the draft.

| writer | the token of the cell is |
|---|---|
| target | sampled from the target: nothing was drafted there, or the drafts were rejected |
| vertical, horizontal | an accepted draft from the row above, or from the cells to the left |
| refined | an accepted draft that an earlier pass had put in place of the first draft |
| other | an accepted first draft from neither direction (SJD's uniform start) |
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from spatialspec.core.errors import BadInput
from spatialspec.core.grid import Grid
from spatialspec.core.proposal import ROOT, Proposal
from spatialspec.core.state import State
from spatialspec.core.step import Step, Verdict
from spatialspec.generation import assemble, steps
from spatialspec.methods.method import Method
from spatialspec.pipeline import SpatialPipeline
from spatialspec.request import Request

WRITERS = ("target", "vertical", "horizontal", "refined", "other")
FATES = ("accepted", "refused", "none")  # of the draft of a cell, in the pass that wrote it


@dataclass(frozen=True)
class Cell:
    """How a cell was written.

    Attributes:
        written_in: number of the pass that wrote it, from 1.
        writer: one of WRITERS.
        fate: of its draft in that pass, one of FATES.
        entropy: of the target's distribution that decided it, in nats.
        distance: total variation, 0 to 1, between that distribution and that of the draft: the drafter's q, else p of
            the previous pass that scored the cell; None without either, as for copies.
        scored: number of passes that scored the cell, including the last.
    """

    written_in: int
    writer: str
    fate: str
    entropy: float
    distance: float | None
    scored: int


@dataclass(frozen=True)
class Pass:
    """One pass of the target.

    Attributes:
        slots: cells scored.
        guesses: first drafted token of every drafted cell.
        frontier: cells written in raster order after the pass.
    """

    slots: int
    guesses: dict[int, int]
    frontier: int

    def behind(self, first: int) -> Pass:
        """The same pass, with cells counted from the cell `first`."""
        guesses = {cell - first: token for cell, token in self.guesses.items() if cell >= first}
        return Pass(self.slots, guesses, max(self.frontier - first, 0))


@dataclass(frozen=True)
class Trace:
    """A whole image.

    Attributes:
        method: that drew it.
        grid: its cells.
        tokens: in raster order.
        cells: one for each token.
        passes: in order.
    """

    method: str
    grid: Grid
    tokens: tuple[int, ...]
    cells: list[Cell]
    passes: list[Pass]


@dataclass
class _Open:
    """A cell not written yet: its first draft, q of its last draft, p and number of the passes that scored it."""

    first: int | None = None
    q: Float[Tensor, "V"] | None = None
    p: Float[Tensor, "V"] | None = None
    scored: int = 0


@dataclass
class TraceRecorder:
    """Records the trace of one image, pass by pass.

    Attributes:
        first_source: source of the first draft of a cell, see `Drafter`.
        cells: written so far.
        passes: made so far.
    """

    first_source: str
    cells: dict[int, Cell] = field(default_factory=dict)
    passes: list[Pass] = field(default_factory=list)
    _open: dict[int, _Open] = field(default_factory=dict)

    def note(self, step: Step) -> None:
        """Add a pass."""
        state, proposal, verdict, p = step.before, step.proposal, step.verdict, step.p
        guesses: dict[int, int] = {}
        for cell, token in zip(proposal.cells, proposal.tokens, strict=True):
            guesses.setdefault(cell, token)
        after = [cell + 1 for cell in (*(state.pending or (-1,)), *proposal.cells)]
        for cell, token in guesses.items():
            known = self._open.setdefault(cell, _Open())
            known.first = token if known.first is None else known.first
        if proposal.q is not None:
            for tests in proposal.tests.values():
                for node, q_index in reversed(tests):
                    self._open[proposal.cells[node]].q = proposal.q[q_index]
        for cell in set(after):
            self._open.setdefault(cell, _Open()).scored += 1
        for cell, written, accepted, index in _written(state, proposal, verdict, after):
            self._note(cell, written, accepted, p[index], state, proposal, cell in guesses)
        for index, cell in reversed(list(enumerate(after))):  # the first node of a cell is the main one
            if cell in self._open:
                self._open[cell].p = p[index]
        frontier = state.frontier + len(verdict.tokens(proposal))
        self.passes.append(Pass(len(p), guesses, frontier))

    def _note(
        self, cell: int, token: int, node: int | None, p: Tensor, state: State, proposal: Proposal, drafted: bool
    ) -> None:
        known = self._open.pop(cell, _Open())
        guess = known.p if known.q is None else known.q
        far = None if guess is None else float((p - guess).abs().sum()) / 2
        entropy = float(torch.special.entr(p).sum())
        fate = "accepted" if node is not None else "refused" if drafted else "none"
        writer = "target" if node is None else self._writer(cell, token, node, known, state, proposal)
        self.cells[cell] = Cell(state.passes + 1, writer, fate, entropy, far, known.scored)

    def _writer(self, cell: int, token: int, node: int, known: _Open, state: State, proposal: Proposal) -> str:
        if proposal.sources:
            tests = [test for tests in proposal.tests.values() for test in tests]
            return next(proposal.sources[q_row][0] for tested, q_row in tests if tested == node)
        if token != known.first:
            return "refined"
        if self.first_source != "neighbour":
            return self.first_source
        return "horizontal" if state.layout.above(cell) is None else "vertical"


def _written(
    state: State, proposal: Proposal, verdict: Verdict, after: list[int]
) -> list[tuple[int, int, int | None, int]]:
    """(cell, token, accepted node or None, index of p) for everything that a pass wrote."""
    pending = len(after) - len(proposal)
    cells: list[tuple[int, int, int | None, int]] = []
    index = 0
    for node in verdict.path:
        cells.append((proposal.cells[node], proposal.tokens[node], node, index))
        index = pending + node
    if verdict.token is not None:
        cells.append((state.frontier + len(verdict.path), verdict.token, None, index))
    for cell, token in verdict.ahead:
        cells.append((cell, token, None, after.index(cell)))
    for node in verdict.elsewhere:
        up = proposal.parents[node]
        index = after.index(proposal.cells[node]) if up == ROOT else pending + up
        cells.append((proposal.cells[node], proposal.tokens[node], node, index))
    return cells


def trace(
    pipeline: SpatialPipeline, method: Method, request: Request, on_step: Callable[[Step], object] = lambda step: None
) -> Trace:
    """Draw the image of a request and record its trace.

    Args:
        pipeline: target and drafts.
        method: how to decode.
        request: of one prompt and one seed.
        on_step: called after every pass.

    Raises:
        BadInput: more than one image, or a request that `generate` refuses.
    """
    if len(request.prompts) != 1 or len(request.seeds) != 1:
        raise BadInput(f"{len(request.prompts)} prompts and {len(request.seeds)} seeds", "one of each")
    (image,) = assemble(pipeline.target, pipeline.parts, method, request)
    recorder = TraceRecorder(image.drafter.first_source)
    session = request.session(pipeline.target)
    for step in steps(pipeline.target, pipeline.parts, session, [image]):
        recorder.note(step)
        on_step(step)
    tokens, grid = image.state.tokens, request.grid
    first = len(tokens) - grid.cells  # of the image; grids that are drawn before it are not shown
    cells = [recorder.cells[cell] for cell in range(first, len(tokens))]
    passes = [one.behind(first) for one in recorder.passes]
    return Trace(str(method), grid, tokens[first:], cells, passes)
