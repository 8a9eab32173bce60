"""What to expect of each method here: the curve of `--budget auto`, and the first rows drawn by each in turn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

import torch

from spatialspec.core.grid import Grid
from spatialspec.doctor.report import Expectation
from spatialspec.doctor.rows import Rows
from spatialspec.drafts.weights import KINDS
from spatialspec.measure.budget import GAIN, Cost, choose, costs_here, measured_cells
from spatialspec.measure.budget import effort as effort_of_budgets
from spatialspec.measure.runs import Workload
from spatialspec.methods.ar import METHOD as AR_METHOD
from spatialspec.methods.hawk import HawkHeads, HawkOptions
from spatialspec.methods.method import Method
from spatialspec.methods.registry import methods
from spatialspec.methods.spatial.drafter import METHOD as SPATIAL_METHOD
from spatialspec.methods.spatial.drafter import SpatialOptions
from spatialspec.pipeline import SpatialPipeline
from spatialspec.progress import Progress

AR, SPATIAL = AR_METHOD, SPATIAL_METHOD
ROWS = 4  # of the picture, for a short run
TIMED = 3  # turns of it


@dataclass(frozen=True)
class Run:
    """A method's short run.

    Attributes:
        rows: of its last turn.
        seconds: of a pass, median over turns.
    """

    rows: Rows
    seconds: float


def short(grid: Grid) -> int:
    """Cells of a short run."""
    return min(grid.rows, ROWS) * grid.columns


def effort(workload: Workload, device: torch.device) -> int:
    """Cells that are drawn here at most."""
    return effort_of_budgets(workload, device) + (3 + len(KINDS)) * TIMED * short(workload.grid)


def curve(pipeline: SpatialPipeline, workload: Workload, report: Progress) -> list[Cost]:
    """What a pass of `spatial` costs against its width: the figures of `--budget auto`."""
    return costs_here(pipeline, SPATIAL, workload, report)


def run_in_turns(pipeline: SpatialPipeline, costs: Sequence[Cost], draw: Callable[[Method], Rows]) -> list[Run]:
    """AR, `spatial` at its own budget and at the best one, and methods with drafts, `hawk` first; all taking turns."""
    methods = list(dict.fromkeys([AR, SPATIAL, *_at_best(costs), *_drafted(pipeline)]))
    drawn: dict[Method, list[Rows]] = {method: [] for method in methods}
    for turn in range(TIMED):
        first = turn % len(methods)
        for method in methods[first:] + methods[:first]:
            drawn[method].append(draw(method))
    return [Run(turns[-1], median(rows.seconds_of_a_pass for rows in turns)) for turns in drawn.values()]


def _at_best(costs: Sequence[Cost]) -> list[Method]:
    """`spatial` at the fastest budget, where that is neither AR's nor its own."""
    best = choose(costs)
    return [] if best in (0, SpatialOptions().budget) else [SPATIAL.with_default("budget", best)]


def _drafted(pipeline: SpatialPipeline) -> list[Method]:
    """Exact methods that bear the name of drafts that are there, with no more heads than these have."""
    table, drafted = methods(), []
    for name, (kind, _) in KINDS.items():
        for drafts in pipeline.drafts:
            method = table.get(name)
            if isinstance(drafts, kind) and method is not None and method.exact:
                if isinstance(drafts, HawkHeads) and isinstance(method.options, HawkOptions):
                    for heads in ("horizontal", "vertical"):
                        few = min(getattr(drafts.config, heads), getattr(method.options, heads))
                        method = method.with_default(heads, few)
                drafted.append(method)
    return drafted


def expectations(costs: Sequence[Cost], runs: Sequence[Run], workload: Workload) -> list[Expectation]:
    """A whole picture by each method, in the order of the runs; AR is the first.

    Where the curve has a method, it counts: it was measured on more of the picture, and begins with AR. The others are
    set against AR of their own run.
    """
    cells, curve_of_ar, found = workload.grid.cells, costs[0], []
    for run in runs:
        point = _on_curve(run.rows.method, costs)
        if point is not None:
            kept, seconds, measured = point.cells, point.seconds, measured_cells(workload)
        else:
            kept, measured = run.rows.cells_of_a_pass, len(run.rows.tokens)
            seconds = run.seconds / runs[0].seconds * curve_of_ar.seconds
        found.append(
            Expectation(
                method=str(run.rows.method),
                passes=cells / kept,
                seconds=cells / kept * seconds,
                times_as_fast=curve_of_ar.seconds_of_a_cell * kept / seconds,
                accepted_length=run.rows.accepted_length,
                measured_cells=measured,
            )
        )
    return found


def _on_curve(method: Method, costs: Sequence[Cost]) -> Cost | None:
    """What was measured of a method's budget; None where it is not on the curve."""
    if method == AR:
        return next(cost for cost in costs if not cost.budget)
    budget = method.options.budget if isinstance(method.options, SpatialOptions) else None
    return next((cost for cost in costs if cost.budget == budget), None)


def advise(expected: Sequence[Expectation], grid: Grid, options: str = "") -> str:
    """Which method and budget to use, with further options that it needs, and what to expect of it."""
    ar, *others = expected
    best, fewest = min(others, key=lambda e: e.seconds), min(others, key=lambda e: e.passes)
    if best.times_as_fast < GAIN:
        said = (
            f"use --method ar: nothing draws faster here ({ar.passes:.0f} passes, about {ar.seconds:.3g} s for {grid} "
            f"cells); passes over many cells cost too much on this machine"
        )
    else:
        said = (
            f"use {_options(best.method)}{options}: about {best.passes:.0f} passes and {best.seconds:.3g} s for {grid} "
            f"cells, {best.times_as_fast:.2f} times as fast as ar ({ar.passes:.0f} passes, {ar.seconds:.3g} s), "
            f"and the same image"
        )
    if fewest.method != best.method or best.times_as_fast < GAIN:
        said += f"; fewest passes: {_options(fewest.method)}{options}, about {fewest.passes:.0f}"
    return said


def _options(method: str) -> str:
    """A method as one types it."""
    name, _, budget = method.partition(":budget=")
    return f"--method {name} --budget {budget}" if budget else f"--method {method}"
