"""`--budget auto`: the fastest budget here, from what a pass costs by its width and what it commits.

    seconds of a cell with n nodes = (T(n + 1) + D n) / E(n)      E(n) = 1 + A (1 - exp(-n / s))

T is the curve of `pass_time.py`. One short run with `REFERENCE` nodes gives A from its passes, and D from their time
beyond the curve. s is a constant of the method, `Budget.horizon`; for a method without one the run has its own budget,
and the choice is between that and AR. Budget 0 drafts nothing and is AR. The figures are saved in the user's cache
folder: T for each target, machine, device, type, grid and number of images, the others for each method, its drafts,
verifier and sampling too.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from math import expm1
from statistics import fmean, linear_regression, median
from typing import Any

import torch
from torch import nn

from spatialspec import __version__
from spatialspec.core.interfaces import Target
from spatialspec.core.progress import Progress
from spatialspec.generation import assemble, steps
from spatialspec.io.identity import drafts_digest, identity
from spatialspec.io.measured import machine, saved
from spatialspec.methods.method import Method
from spatialspec.methods.options import Budget
from spatialspec.pass_time import PassTime, measure_passes
from spatialspec.request import Request

Drafts = Sequence[nn.Module]  # draft weights of any kind
REFERENCE = 31  # nodes of the short run of a method whose gain by nodes is known
CELLS = 600  # of each image in a short run at most, in whole rows
SECONDS, PASSES = 3.0, 24  # a short run ends after these seconds, but not before these passes
GAIN = 1.1  # times as fast as AR that a budget must be: cells of a pass vary by as much from image to image


@dataclass(frozen=True)
class Cost:
    """What a pass of a budget costs and commits.

    Attributes:
        budget: drafted nodes of a pass.
        seconds: of a pass, drafting and verifying included.
        cells: committed by a pass, for the slowest image of a batch.
    """

    budget: int
    seconds: float
    cells: float

    @property
    def seconds_of_a_cell(self) -> float:
        """Expected seconds per committed cell."""
        return self.seconds / self.cells


def measured_cells(request: Request) -> int:
    """Cells of each image after which a short run ends."""
    return min(request.grid.rows, max(1, CELLS // request.grid.columns)) * request.grid.columns


def effort(method: Method, request: Request) -> int:
    """Cells that a measurement draws; 0 where the method needs none."""
    return measured_cells(request) * request.images if _undecided(method) else 0


def _undecided(method: Method) -> bool:
    """Whether a method has the option `budget`, and nothing that was set decides it."""
    return isinstance(method.options, Budget) and not method.options.settles("budget")


def measure(
    target: Target, drafts: Drafts, method: Method, request: Request, curve: PassTime, report: Progress
) -> list[Cost]:
    """Cost of AR and of every budget that the curve reaches, from one short run.

    Args:
        target: frozen AR model.
        drafts: draft weights made for it.
        method: one with a budget.
        request: the batch, of which the first cells are drawn.
        curve: seconds of a pass by its slots, for that many images.
        report: called after every pass of every image, as `report(method, cells just committed)`.
    """
    horizon = method.options.horizon if isinstance(method.options, Budget) else None
    if horizon is not None:
        method = method.with_default("budget", REFERENCE)
    budget = method.options.model_dump()["budget"]
    cells, seconds, drafting = _run(target, drafts, method, request, curve, report)
    costs = [Cost(0, curve(1), 1.0)]
    if horizon is None:
        return [*costs, Cost(budget, seconds, cells)]
    gain = (cells - 1) / -expm1(-budget / horizon)
    for nodes in (slots - 1 for slots in curve.seconds if slots > 1):
        expected = curve(nodes + 1) + drafting * nodes / budget
        costs.append(Cost(nodes, expected, 1 - gain * expm1(-nodes / horizon)))
    return costs


def _run(
    target: Target, drafts: Drafts, method: Method, request: Request, curve: PassTime, report: Progress
) -> tuple[float, float, float]:
    """Cells that a pass commits for the slowest image, seconds of a pass, and those beyond the curve: the drafter's."""
    images = assemble(target, drafts, method, replace(request, written=()))
    stop, start = measured_cells(request), time.perf_counter()
    ends, widths = list[float](), list[int]()
    for step in steps(target, drafts, request.session(target), images):
        if step.before.passes == len(ends):
            ends.append(0.0)
            widths.append(0)
        ends[-1], widths[-1] = time.perf_counter() - start, max(widths[-1], len(step.p))
        report(f"measuring {method}", len(step.written))
        late = ends[-1] > SECONDS and len(ends) > PASSES
        if late or min(image.state.frontier for image in images) >= stop:
            break
    after = zip(ends[1:], ends, widths[1:], strict=False)  # the first pass reads the prompt
    drafting = max(0.0, median([now - before - curve(slots) for now, before, slots in after] or [0.0]))
    slowest = min(image.state.frontier / image.state.passes for image in images)  # the batch ends with it
    return slowest, fmean(map(curve, widths)) + drafting, drafting


def choose(costs: Sequence[Cost]) -> int:
    """The budget with the least expected time; 0, AR's, where none is clearly faster."""
    ar = next(cost for cost in costs if cost.budget == 0)
    best = min(costs, key=lambda cost: (cost.seconds_of_a_cell, cost.budget))
    return best.budget if best.seconds_of_a_cell * GAIN <= ar.seconds_of_a_cell else 0


def costs_here(target: Target, drafts: Drafts, method: Method, request: Request, report: Progress) -> list[Cost]:
    """Cost of each budget on this machine; measured if it is not cached."""
    batch = request.by_prompt()[0]
    where = _where(target, batch)
    facts = {
        **where,
        "drafts": [(type(part).__name__, drafts_digest([part])) for part in drafts],
        "method": str(method),
        "verifier": batch.verifier,
        "sampling": batch.sampling.facts(),
    }

    def passes() -> dict[str, float]:
        return {str(slots): seconds for slots, seconds in measure_passes(target, batch, report).seconds.items()}

    def costs() -> list[dict[str, float]]:
        curve = {int(slots): seconds for slots, seconds in saved("passes", where, passes).items()}
        return [asdict(cost) for cost in measure(target, drafts, method, batch, PassTime(curve), report)]

    return [Cost(**cost) for cost in saved("budgets", facts, costs)]


class _Interrupted(Exception):
    """The measurement was ended."""


def tuned(
    target: Target,
    drafts: Drafts,
    method: Method,
    request: Request,
    report: Progress,
    interrupted: Callable[[], bool] = lambda: False,
) -> tuple[Method, str]:
    """The method with the budget that is fastest here, and what to expect of it.

    As it is, and "", where it has a budget or the measurement is interrupted.
    """

    def follow(name: str, cells: int) -> None:
        report(name, cells)
        if interrupted():
            raise _Interrupted

    if not _undecided(method):
        return method, ""
    try:
        costs = costs_here(target, drafts, method, request, follow)
    except _Interrupted:
        return method, ""
    budget = choose(costs)
    values: dict[str, float] = {"budget": budget}
    if budget and request.images == 1 and method.has("price"):
        values["price"] = price(costs, budget)
    for name, value in values.items():
        method = method.with_default(name, value)
    return method, expectation(costs, budget)


def price(costs: Sequence[Cost], budget: int) -> float:
    """Cells that the time of one more node would bring elsewhere: T'(n) / T(n) times the cells of a pass, 0 to 1.

    T' is the slope from half the budget to twice as many nodes.
    """
    (here,) = (cost for cost in costs if cost.budget == budget)
    near = [cost for cost in costs if budget / 2 <= cost.budget <= 2 * budget]
    nodes, seconds = [cost.budget for cost in near], [cost.seconds for cost in near]
    slope = linear_regression(nodes, seconds).slope if len(near) > 1 else 0.0
    return round(min(max(slope / here.seconds * here.cells, 0.0), 1.0), 3)


def expectation(costs: Sequence[Cost], budget: int) -> str:
    """What to expect of a budget, in words."""
    by_budget = {cost.budget: cost.seconds_of_a_cell for cost in costs}
    if not budget:
        return "auto: plain AR, no budget is faster here"
    return f"auto: {budget} nodes, about {by_budget[0] / by_budget[budget]:.1f} times as fast as AR"


def _where(target: Target, batch: Request) -> dict[str, Any]:
    """What the time of a pass depends on."""
    weight = target.embed(torch.zeros(1, dtype=torch.long, device=target.device))
    return {
        "target": identity(target),
        "machine": machine(weight.device),
        "dtype": str(weight.dtype),
        "engine": getattr(target, "engine", "eager"),
        "images": batch.images,
        "streams": batch.sampling.streams,
        "grid": str(batch.grid),
        "versions": (torch.__version__, __version__),
    }
