"""Draws the first rows of one image with one method, and records passes, commits and seconds."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from spatialspec.core.clock import Clock
from spatialspec.core.grid import Layout
from spatialspec.core.progress import Progress
from spatialspec.core.proposal import Proposal
from spatialspec.devices import wait
from spatialspec.generation import assemble, steps
from spatialspec.methods.method import Method
from spatialspec.pipeline import SpatialPipeline
from spatialspec.request import Request


@dataclass(frozen=True)
class Rows:
    """Record of the first rows, drawn by one method.

    Attributes:
        method: with options.
        tokens: of the first cells, at least as many as requested.
        cells: of the whole image, and of grids before it.
        passes: number of target passes.
        commits: number of passes that committed something.
        seconds: prefill, passes and drafting.
        seconds_in_passes: of them, from the inputs of every pass to the arrival of its output.
        below: number of drafted cells behind the first row.
        uncovered: number of these without a candidate from above.
        logits: of the last slot of every pass: with AR, of every cell.
    """

    method: Method
    tokens: tuple[int, ...]
    cells: int
    passes: int
    commits: int
    seconds: float
    seconds_in_passes: float
    below: int
    uncovered: int
    logits: Sequence[Float[Tensor, "G V"]]

    @property
    def cells_of_a_pass(self) -> float:
        """Cells committed by a pass, mean."""
        return len(self.tokens) / self.passes

    @property
    def accepted_length(self) -> float:
        """Cells committed by a pass that commits any, mean."""
        return len(self.tokens) / self.commits

    @property
    def seconds_of_a_pass(self) -> float:
        """Mean, the prefill counted as one."""
        return self.seconds / self.passes


def draw_rows(pipeline: SpatialPipeline, method: Method, request: Request, stop: int, report: Progress) -> Rows:
    """Draw the first `stop` cells of the request's image."""
    (image,) = assemble(pipeline.target, pipeline.drafts, method, request)
    session, logits = request.session(pipeline.target), list[Float[Tensor, "G V"]]()
    commits = below = uncovered = 0
    start, clock = time.perf_counter(), Clock()
    for step in steps(pipeline.target, pipeline.drafts, session, [image], clock):
        logits.append(step.scores.logits[:, -1])
        commits += step.verdict.commits
        drafted, covered = _from_above(step.proposal, step.before.layout)
        below, uncovered = below + len(drafted), uncovered + len(drafted - covered)
        report(f"drawing with {method}", len(step.written))
        if step.after.frontier >= stop:
            break
    wait(pipeline.target.device)
    seconds = time.perf_counter() - start
    state, inside = image.state, clock.seconds["pass"]
    cells, passes = state.layout.cells, len(logits)
    return Rows(method, state.tokens, cells, passes, commits, seconds, inside, below, uncovered, logits)


def _from_above(proposal: Proposal, layout: Layout) -> tuple[set[int], set[int]]:
    """Drafted cells behind the first row of a grid, and those of them that have a candidate from above."""
    drafted = {cell for cell in proposal.cells if layout.above(cell) is not None}
    tested = [pair for pairs in proposal.tests.values() for pair in pairs]
    origins = proposal.sources
    above = {proposal.cells[node] for node, i in tested if i < len(origins) and origins[i][0] == "vertical"}
    return drafted, above & drafted
