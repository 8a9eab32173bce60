"""`--budget auto`: which budgets are tried where, and what the kept figures are known by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from helpers.tiny import tiny_pipeline
from spatialspec import budget
from spatialspec.budget import BUDGETS, budgets, choose, costs_here, processor
from spatialspec.core.grid import Grid
from spatialspec.core.interfaces import Target
from spatialspec.drafts.weights import Drafts
from spatialspec.methods.method import Method
from spatialspec.pipeline import SpatialPipeline
from spatialspec.request import Request

Patch = pytest.MonkeyPatch


@pytest.fixture
def pipeline(tmp_path: Path) -> SpatialPipeline:
    return tiny_pipeline(tmp_path / "model")


def request_of(pipeline: SpatialPipeline) -> Request:
    return Request.of(("a cat",), pipeline.target.default, pipeline.target.grid)


def parts(pipeline: SpatialPipeline) -> tuple[Target, list[Drafts]]:
    return pipeline.target, pipeline.drafts


def test_wide_budgets_are_for_cuda() -> None:
    assert budgets(torch.device("cpu")) == BUDGETS == (0, 3, 7, 15, 23, 31, 47, 64)
    assert budgets(torch.device("cuda")) == budgets(torch.device("cuda", 1)) == (0, 3, 7, 15, 23, 31, 47, 64, 95, 127)
    for text in ("spatial", "hawk", "spatial-model"):
        for value in budgets(torch.device("cuda")):
            Method.parse(text).with_default("budget", str(value))


def test_all_that_are_to_be_tried_are_measured(pipeline: SpatialPipeline, monkeypatch: Patch) -> None:
    monkeypatch.setattr(budget, "budgets", lambda device: (0, 128))
    measured = budget.measure(
        *parts(pipeline), Method.parse("spatial"), request_of(pipeline), lambda method, cells: None
    )
    assert [cost.budget for cost in measured] == [0, 128]


def test_slow_budgets_drop_out_and_do_not_compete(pipeline: SpatialPipeline, monkeypatch: Patch) -> None:
    """Two of three are slower on the first picture, an easy one: they are not drawn again, and do not win by it."""
    drawn: list[tuple[int, int]] = []
    passes = {0: 18, 4: 10, 8: 9}

    def decode(*given: object) -> tuple[float, int]:
        budget, picture = given[4:6]
        assert isinstance(budget, int) and isinstance(picture, int)
        drawn.append((budget, picture))
        count = passes[budget] * (2 if picture and budget else 1)  # later pictures take more passes, but of AR
        return count * {0: 1.0, 4: 0.5, 8: 1.0}[budget], count

    monkeypatch.setattr(budget, "_decode", decode)
    monkeypatch.setattr(budget, "budgets", lambda device: (0, 4, 8))
    reported: list[int] = []
    costs = budget.measure(
        *parts(pipeline), Method.parse("spatial"), request_of(pipeline), lambda name, cells: reported.append(cells)
    )
    assert [b for b, _ in drawn[1:]] == [0, 4, 8, *[4] * (budget.RUNS - 1)]  # the first one warms up
    assert [picture for b, picture in drawn if b == 4] == list(range(budget.RUNS))
    assert sum(reported) == 2 * (budget.RUNS - 1) * budget.measured_cells(request_of(pipeline))
    assert choose(costs) == 4
    passes_of_four = 10 * (1 + 2 * (budget.RUNS - 1)) / budget.RUNS
    cells = budget.measured_cells(request_of(pipeline))
    expected = [18, passes_of_four, 0.9 * passes_of_four]  # AR fares on every picture alike
    assert [cells / cost.cells for cost in costs] == pytest.approx(expected)


def test_pictures_of_a_measurement_differ(pipeline: SpatialPipeline, monkeypatch: Patch) -> None:
    """Several prompts in turn, other seeds every time, the request's own first."""
    asked = []
    plain = budget.assemble
    monkeypatch.setattr(budget, "budgets", lambda device: (0, 4))
    monkeypatch.setattr(
        budget, "assemble", lambda *given: asked.append((given[3].prompts, list(given[3].seeds))) or plain(*given)
    )
    request = Request.of(("a cat", "a dog"), pipeline.target.default, pipeline.target.grid, seed=5, images=2)
    budget.measure(*parts(pipeline), Method.parse("spatial"), request, lambda name, cells: None)
    assert asked[1] == (["a cat"] * 2, [5, 6])
    seen = [seeds for _, seeds in asked[1:]]
    assert {prompts[0] for prompts, _ in asked} == {"a cat", "a dog"}
    assert len({seed for seeds in seen for seed in seeds}) == 2 * budget.RUNS


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
    "processor": elsewhere("spatialspec.budget.processor", "another"),
    "computer": elsewhere("platform.node", "another"),
    "threads": elsewhere("torch.get_num_threads", "77"),
    "grid": lambda _, request, patch: replace(request, grid=Grid(3, 6)),
    "images": lambda _, request, patch: replace(request, images=2),
    "verifier": lambda _, request, patch: replace(request, verifier="rejection"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_figures_depend_on(name: str, pipeline: SpatialPipeline, tmp_path: Path, monkeypatch: Patch) -> None:
    """Measured once for the same, again for another."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    measured = []
    monkeypatch.setattr(budget, "measure", lambda *_: measured.append(name) or [])
    method, request = Method.parse("hawk"), request_of(pipeline)
    for _ in range(2):
        costs_here(*parts(pipeline), method, request, lambda *_: None)
    assert len(measured) == 1
    costs_here(*parts(pipeline), method, CHANGES[name](pipeline, request, monkeypatch), lambda *_: None)
    assert len(measured) == 2


def test_the_accelerator_has_a_name(monkeypatch: Patch) -> None:
    named = []
    for name in ("fast", "slow"):
        monkeypatch.setattr("torch.cuda.get_device_name", lambda device, name=name: name)
        named.append(budget.machine(torch.device("cuda", 0)))
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
