"""Estimates the speed of each method here, from the curve of `--budget auto` and the first rows of an image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from statistics import median

from spatialspec.budget import GAIN, Cost, choose, costs_here, measured_cells
from spatialspec.budget import effort as effort_of_budgets
from spatialspec.core.grid import Grid
from spatialspec.core.progress import Progress
from spatialspec.doctor.bandwidth import copy_bandwidth, weights_read
from spatialspec.doctor.report import Expectation, PassLimit
from spatialspec.doctor.rows import Rows
from spatialspec.drafts.registry import kind_of, kinds
from spatialspec.methods.ar import METHOD as AR
from spatialspec.methods.method import Method
from spatialspec.methods.registry import methods
from spatialspec.methods.spatial.drafter import METHOD as SPATIAL
from spatialspec.pipeline import SpatialPipeline
from spatialspec.request import Request

ROWS = 4  # of the image, for a short run
TIMED = 3  # short runs of each method


@dataclass(frozen=True)
class ShortRun:
    """Short runs of a method.

    Attributes:
        rows: rows of the last run.
        seconds: of a pass, median over the runs.
        inside: of them, from its inputs to the arrival of its output, median.
    """

    rows: Rows
    seconds: float
    inside: float


def short(grid: Grid) -> int:
    """Cells of a short run."""
    return min(grid.rows, ROWS) * grid.columns


def effort(request: Request) -> int:
    """Maximum number of cells that are drawn."""
    return effort_of_budgets(SPATIAL, request) + (3 + len(kinds())) * TIMED * short(request.grid)


def curve(pipeline: SpatialPipeline, request: Request, report: Progress) -> list[Cost]:
    """Cost of a pass of `spatial` by budget: the figures of `--budget auto`."""
    return costs_here(pipeline.target, pipeline.drafts, SPATIAL, request, report)


def run_interleaved(pipeline: SpatialPipeline, costs: Sequence[Cost], draw: Callable[[Method], Rows]) -> list[ShortRun]:
    """Run AR, `spatial` with its default and its best budget, and methods with drafts, interleaved."""
    best = choose(costs)
    fastest = SPATIAL.with_default("budget", best) if best else AR
    methods = list(dict.fromkeys([AR, SPATIAL, fastest, *_drafted(pipeline)]))
    drawn: dict[Method, list[Rows]] = {method: [] for method in methods}
    for run in range(TIMED):
        first = run % len(methods)
        for method in methods[first:] + methods[:first]:
            drawn[method].append(draw(method))
    return [
        ShortRun(
            runs[-1],
            median(rows.seconds_of_a_pass for rows in runs),
            median(rows.seconds_in_passes / rows.passes for rows in runs),
        )
        for runs in drawn.values()
    ]


def limit(pipeline: SpatialPipeline, request: Request, ar: ShortRun) -> PassLimit | None:
    """How far AR's pass is from reading its weights once; None if it reads none."""
    if not (weights := weights_read(request, pipeline.target)):
        return None
    bandwidth = copy_bandwidth(pipeline.target.device)
    return PassLimit(
        weights=weights,
        bandwidth=bandwidth,
        seconds=weights / bandwidth,
        pass_seconds=ar.inside,
        loop_seconds=ar.seconds,
        times=ar.inside * bandwidth / weights,
    )


def _drafted(pipeline: SpatialPipeline) -> list[Method]:
    """The exact method with the name of each kind of drafts, with no more heads than the drafts have."""
    drafted = []
    for drafts in pipeline.drafts:
        method = methods().get(kind_of(drafts).name)
        if method is not None and method.exact:
            options = method.options.model_dump()
            for size, most in asdict(drafts.config).items():
                if size in options:
                    method = method.with_default(size, min(most, options[size]))
            drafted.append(method)
    return drafted


def expectations(costs: Sequence[Cost], runs: Sequence[ShortRun], request: Request) -> list[Expectation]:
    """Estimates for a whole image by each method, in the order of the runs; AR is the first.

    Methods on the curve use the curve, which was measured on more of the image. Seconds of other methods are AR's on
    the curve, times the ratio to AR in the short runs.
    """
    cells, ar, expected = runs[0].rows.cells, costs[0], []
    curve = {SPATIAL.with_default("budget", cost.budget): cost for cost in costs} | {AR: ar}
    for run in runs:
        if (cost := curve.get(run.rows.method)) is not None:
            committed, seconds, measured = cost.cells, cost.seconds, measured_cells(request)
        else:
            committed, measured = run.rows.cells_of_a_pass, len(run.rows.tokens)
            seconds = run.seconds / runs[0].seconds * ar.seconds
        expected.append(
            Expectation(
                method=str(run.rows.method),
                passes=cells / committed,
                seconds=cells / committed * seconds,
                times_as_fast=ar.seconds_of_a_cell * committed / seconds,
                accepted_length=run.rows.accepted_length,
                measured_cells=measured,
            )
        )
    return expected


def advise(expected: Sequence[Expectation], grid: Grid, options: str = "") -> str:
    """Recommended method and budget, with further options that it needs, and its estimate."""
    ar, *others = expected
    best, fewest = min(others, key=lambda e: e.seconds), min(others, key=lambda e: e.passes)
    if best.times_as_fast < GAIN:
        advice = (
            f"use --method ar: nothing draws faster here ({ar.passes:.0f} passes, about {ar.seconds:.3g} s for {grid} "
            f"cells); passes over many cells cost too much on this machine"
        )
    else:
        advice = (
            f"use {_options(best.method)}{options}: about {best.passes:.0f} passes and {best.seconds:.3g} s for {grid} "
            f"cells, {best.times_as_fast:.2f} times as fast as ar ({ar.passes:.0f} passes, {ar.seconds:.3g} s), "
            f"and the same image"
        )
    if fewest.method != best.method or best.times_as_fast < GAIN:
        advice += f"; fewest passes: {_options(fewest.method)}{options}, about {fewest.passes:.0f}"
    return advice


def _options(method: str) -> str:
    """A method as options of the command line."""
    name, _, budget = method.partition(":budget=")
    return f"--method {name} --budget {budget}" if budget else f"--method {method}"
