"""`--budget auto`: expected seconds from a curve and one short run, and what the saved figures are known by."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from math import exp
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from helpers.tiny import tiny_pipeline
from spatialspec import budget
from spatialspec.budget import REFERENCE, SECONDS, Cost, choose, costs_here, expectation, measure, price, tuned
from spatialspec.core.grid import Grid
from spatialspec.core.step import Step
from spatialspec.io.measured import machine, processor
from spatialspec.methods.method import Method
from spatialspec.methods.spatial.drafter import SpatialOptions
from spatialspec.pass_time import WIDTHS, PassTime
from spatialspec.pipeline import SpatialPipeline
from spatialspec.request import Request

Patch = pytest.MonkeyPatch
STEEP = PassTime({width: 4.0 + 0.2 * width for width in WIDTHS})  # as on a processor
FLAT = PassTime({width: 30.0 + 0.01 * width for width in WIDTHS})  # as on a GPU


@pytest.fixture
def pipeline(tmp_path: Path) -> SpatialPipeline:
    return tiny_pipeline(tmp_path / "model")


def request_of(pipeline: SpatialPipeline, images: int = 1) -> Request:
    return Request.of(("a cat",), pipeline.target.default, pipeline.target.grid, images=images)


def nothing(task: str, cells: int) -> None: ...


def measured(
    pipeline: SpatialPipeline, patch: Patch, name: str, curve: PassTime = STEEP, own: float = 0.0, images: int = 1
) -> tuple[list[Cost], list[Step]]:
    """Costs where a pass takes what the curve says and so many seconds for drafting, and the steps of the run."""
    now, seen, plain = [0.0], list[Step](), budget.steps

    def clocked(*given: Any) -> Iterator[Step]:
        for step in plain(*given):
            seen.append(step)
            if step.image == 0:
                now[0] += curve(len(step.p)) + own
            yield step

    patch.setattr(budget, "steps", clocked)
    patch.setattr(budget, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    request = request_of(pipeline, images)
    return measure(pipeline.target, pipeline.drafts, Method.parse(name), request, curve, nothing), seen


@pytest.mark.parametrize("images", [1, 3])
def test_spatial_from_one_short_run(images: int, pipeline: SpatialPipeline, monkeypatch: Patch) -> None:
    """The run draws with 31 nodes; every other budget follows from its gain, and drafting grows with the nodes."""
    fast = PassTime({slots: seconds * 1e-3 for slots, seconds in STEEP.seconds.items()})
    costs, seen = measured(pipeline, monkeypatch, "spatial", fast, 0.031, images)
    assert [cost.budget for cost in costs] == [width - 1 for width in WIDTHS]
    assert max(len(step.proposal) for step in seen) == REFERENCE
    assert all(image.complete for image in {step.image: step.after for step in seen}.values())
    passes, horizon = max(step.after.passes for step in seen), SpatialOptions.horizon
    gain = (36 / passes - 1) / (1 - exp(-REFERENCE / horizon))
    for cost in costs:
        assert cost.cells == pytest.approx(1 + gain * (1 - exp(-cost.budget / horizon)))
        assert cost.seconds == pytest.approx(fast(cost.budget + 1) + 1e-3 * cost.budget)
    assert costs[0] == Cost(0, fast(1), 1.0), "budget 0 is AR"


def test_a_slow_run_is_short(pipeline: SpatialPipeline, monkeypatch: Patch) -> None:
    assert STEEP(1) > SECONDS
    monkeypatch.setattr(budget, "PASSES", 5)
    _, seen = measured(pipeline, monkeypatch, "hawk")
    assert len(seen) == 6


@pytest.mark.parametrize("name", ["hawk", "hawk:depth=1"])
def test_a_method_of_unknown_gain_keeps_its_budget_or_is_ar(
    name: str, pipeline: SpatialPipeline, monkeypatch: Patch
) -> None:
    """Its passes cost what their own slots cost, not what the budget would."""
    fast = PassTime({slots: seconds * 1e-3 for slots, seconds in STEEP.seconds.items()})
    costs, seen = measured(pipeline, monkeypatch, name, fast, 0.002)
    ar, ours = costs
    assert (ar.budget, ours.budget) == (0, 64)
    assert ours.cells == pytest.approx(36 / len(seen))
    slots = sum(len(step.p) for step in seen) / len(seen)
    assert ours.seconds == pytest.approx(fast(slots) + 0.002)
    assert slots < 8


@pytest.mark.parametrize(("curve", "low", "high"), [(STEEP, 11, 31), (FLAT, 95, 255)])
def test_a_steep_curve_wants_few_nodes_and_a_flat_one_many(
    curve: PassTime, low: int, high: int, pipeline: SpatialPipeline, monkeypatch: Patch
) -> None:
    monkeypatch.setattr(budget, "_run", lambda *given: (6.5, 0.0, 0.0))
    costs = measure(pipeline.target, [], Method.parse("spatial"), request_of(pipeline), curve, nothing)
    best = choose(costs)
    assert low <= best <= high
    assert expectation(costs, best).startswith(f"auto: {best} nodes, about ")
    here = next(cost for cost in costs if cost.budget == best)
    assert f"{costs[0].seconds_of_a_cell / here.seconds_of_a_cell:.1f} times as fast as AR" in expectation(costs, best)
    slope = (curve(65) - curve(33)) / 32
    assert price(costs, best) == pytest.approx(slope / here.seconds * here.cells, abs=1e-3)


def test_never_slower_than_ar(pipeline: SpatialPipeline, monkeypatch: Patch) -> None:
    """Where slots cost as much as passes, as in large batches on a processor, and where drafting costs too much."""
    linear = PassTime({width: float(width) for width in WIDTHS})
    for curve, own in ((linear, 0.0), (FLAT, 300.0)):
        monkeypatch.setattr(budget, "_run", lambda *given, own=own: (6.5, 0.0, own))
        costs = measure(pipeline.target, [], Method.parse("spatial"), request_of(pipeline), curve, nothing)
        assert choose(costs) == 0 and expectation(costs, 0) == "auto: plain AR, no budget is faster here"


@pytest.mark.parametrize(
    ("name", "images", "expected"),
    [
        ("spatial", 1, "spatial:budget=7:price=0.286"),
        ("spatial:price=0", 1, "spatial:price=0.0:budget=7"),
        ("spatial", 2, "spatial:budget=7"),  # a pass is as wide as its widest image: fewer nodes of one save nothing
        ("hawk", 1, "hawk:budget=7"),
        ("spatial:budget=9", 1, "spatial:budget=9"),
        ("jacobi", 1, "jacobi"),
    ],
)
def test_what_a_method_gets(
    name: str, images: int, expected: str, pipeline: SpatialPipeline, tmp_path: Path, monkeypatch: Patch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    costs = [Cost(0, 1.0, 1.0), Cost(4, 1 + 4 / 7, 2.0), Cost(7, 2.0, 4.0), Cost(14, 3.0, 5.0)]
    monkeypatch.setattr(budget, "measure_passes", lambda *_: STEEP)
    monkeypatch.setattr(budget, "measure", lambda *_: costs)
    method, words = tuned(pipeline.target, [], Method.parse(name), request_of(pipeline, images), nothing)
    assert str(method) == expected
    undecided = "budget=7" in expected
    assert words == ("auto: 7 nodes, about 2.0 times as fast as AR" if undecided else "")


def other_drafts(pipeline: SpatialPipeline, request: Request, patch: Patch) -> Request:
    with torch.no_grad():
        next(pipeline.drafts[0].parameters()).view(-1)[0].add_(1)
    return request


def sampled(**values: float) -> Callable[[SpatialPipeline, Request, Patch], Request]:
    return lambda _, request, patch: replace(request, sampling=replace(request.sampling, **values))


def elsewhere(name: str, value: str) -> Callable[[SpatialPipeline, Request, Patch], Request]:
    def change(pipeline: SpatialPipeline, request: Request, patch: Patch) -> Request:
        patch.setattr(name, lambda *_: value)
        return request

    return change


CHANGES: dict[str, Callable[[SpatialPipeline, Request, Patch], Request]] = {
    "draft weights": other_drafts,
    "temperature": sampled(temperature=0.5),
    "guidance": sampled(guidance=3.0),
    "top-k": sampled(top_k=7),
    "one stream": sampled(guidance=1.0),
    "processor": elsewhere("spatialspec.io.measured.processor", "another"),
    "computer": elsewhere("platform.node", "another"),
    "threads": elsewhere("torch.get_num_threads", "77"),
    "grid": lambda _, request, patch: replace(request, grid=Grid(3, 6)),
    "images": lambda pipeline, request, patch: request_of(pipeline, 2),
    "verifier": lambda _, request, patch: replace(request, verifier="rejection"),
}


OF_RUNS = {"draft weights", "temperature", "guidance", "top-k", "verifier"}  # and not of the passes


@pytest.mark.parametrize("name", CHANGES)
def test_what_figures_depend_on(name: str, pipeline: SpatialPipeline, tmp_path: Path, monkeypatch: Patch) -> None:
    """Measured once for the same, again for another; the curve is shared by all that have the same passes."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    runs, curves = [], []
    monkeypatch.setattr(budget, "measure", lambda *_: runs.append(name) or [])
    monkeypatch.setattr(budget, "measure_passes", lambda *_: curves.append(name) or STEEP)
    method, request = Method.parse("hawk"), request_of(pipeline)
    for _ in range(2):
        costs_here(pipeline.target, pipeline.drafts, method, request, nothing)
    assert len(runs) == len(curves) == 1
    costs_here(pipeline.target, pipeline.drafts, method, CHANGES[name](pipeline, request, monkeypatch), nothing)
    assert (len(runs), len(curves)) == (2, 1 if name in OF_RUNS else 2)


def test_the_accelerator_has_a_name(monkeypatch: Patch) -> None:
    named = []
    for name in ("fast", "slow"):
        monkeypatch.setattr("torch.cuda.get_device_name", lambda device, name=name: name)
        named.append(machine(torch.device("cuda", 0)))
    assert named[0] != named[1] and named[0].endswith("fast")


def test_the_processor_has_a_name(tmp_path: Path, monkeypatch: Patch) -> None:
    """From the system where it tells, else from Python, which often knows the kind alone."""
    info = tmp_path / "cpuinfo"
    info.write_text("processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\nprocessor\t: 1\nmodel name\t: Some CPU @ 2 GHz\n")
    assert processor(info) == "Some CPU @ 2 GHz"
    monkeypatch.setattr("platform.processor", lambda: "")
    monkeypatch.setattr("platform.machine", lambda: "arm64")
    info.write_text("processor\t: 0\nFeatures\t: fp\n")
    assert processor(info) == processor(tmp_path / "none") == "arm64"
