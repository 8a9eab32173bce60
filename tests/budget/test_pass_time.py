"""Seconds of a pass by its width: which passes are timed, and what a noisy curve becomes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from helpers.tiny import tiny_pipeline
from spatialspec import pass_time
from spatialspec.core.step import Step
from spatialspec.pass_time import DEAREST, ROUNDS, WIDTHS, PassTime, measure_passes, rising
from spatialspec.pipeline import SpatialPipeline
from spatialspec.request import Request

Patch = pytest.MonkeyPatch


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> SpatialPipeline:
    return tiny_pipeline(tmp_path_factory.mktemp("model"))


def timed(
    pipeline: SpatialPipeline, patch: Patch, seconds: Callable[[int], float], images: int = 1
) -> tuple[PassTime, list[Step]]:
    """The curve where a pass of so many slots takes so many seconds, and all steps."""
    now, seen, plain = [0.0], list[Step](), pass_time.steps

    def clocked(*given: Any) -> Iterator[Step]:
        for step in plain(*given):
            now[0] += seconds(len(step.p)) / images
            seen.append(step)
            yield step

    patch.setattr(pass_time, "steps", clocked)
    patch.setattr(pass_time, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    request = Request.of(("a cat",), pipeline.target.default, pipeline.target.grid, images=images)
    return measure_passes(pipeline.target, request, lambda task, cells: None), seen


@pytest.mark.parametrize("images", [1, 3])
def test_every_width_is_timed_in_turn(images: int, pipeline: SpatialPipeline, monkeypatch: Patch) -> None:
    """The pass commits nothing, so that all passes read a half drawn image; the first one reads its cells."""
    curve, seen = timed(pipeline, monkeypatch, lambda slots: 1e-3 + 1e-6 * slots, images)
    assert curve.seconds == pytest.approx({width: 1e-3 + 1e-6 * width for width in WIDTHS})
    assert all(step.written == [0] * 18 for step in seen[:images])
    later = seen[images:]
    assert all(step.before.frontier == step.after.frontier == 18 and not step.written for step in later)
    assert [len(step.p) for step in later[::images]] == [1, *WIDTHS * ROUNDS[1]]
    assert all(len({len(step.p) for step in later[i : i + images]}) == 1 for i in range(0, len(later), images))


def test_a_slow_machine_is_timed_briefly(pipeline: SpatialPipeline, monkeypatch: Patch) -> None:
    """Wide passes that are too dear are left out, and there are no more rounds than needed."""
    curve, seen = timed(pipeline, monkeypatch, float)
    first = next(width for width in WIDTHS if width > DEAREST)
    assert [*curve.seconds] == [width for width in WIDTHS if width <= first]
    assert len(seen) == 2 + ROUNDS[0] * len(curve.seconds) + 1  # the width that is too dear is timed again


def test_a_first_pass_that_captures(pipeline: SpatialPipeline, monkeypatch: Patch) -> None:
    """It takes far longer than all that follow, and says nothing of its width."""
    captured = set[int]()

    def seconds(slots: int) -> float:
        first = slots not in captured
        captured.add(slots)
        return 1.0 if first else 1e-3

    curve, _ = timed(pipeline, monkeypatch, seconds)
    assert [*curve.seconds] == [*WIDTHS] and [*curve.seconds.values()] == pytest.approx([1e-3] * len(WIDTHS))


def test_the_median_counts(pipeline: SpatialPipeline, monkeypatch: Patch) -> None:
    calls = iter(range(10**6))
    curve, _ = timed(pipeline, monkeypatch, lambda slots: 1.0 if next(calls) % 50 == 49 else 1e-3)
    assert [*curve.seconds.values()] == pytest.approx([1e-3] * len(WIDTHS))


def test_it_can_be_interrupted(pipeline: SpatialPipeline) -> None:
    request, asked = Request.of(("a cat",), pipeline.target.default, pipeline.target.grid), list[int]()

    def stop(task: str, cells: int) -> None:
        asked.append(cells)
        if len(asked) == 5:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        measure_passes(pipeline.target, request, stop)
    assert asked == [0] * 5


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, 2, 4], [1, 2, 4]),
        ([1, 3, 2, 5], [1, 2.5, 2.5, 5]),
        ([3, 2, 1], [2, 2, 2]),
        ([2, 2, 1, 9, 8], [5 / 3, 5 / 3, 5 / 3, 8.5, 8.5]),
        ([1, 9, 1, 1, 10], [1, 11 / 3, 11 / 3, 11 / 3, 10]),
    ],
)
def test_a_curve_does_not_fall(values: list[float], expected: list[float]) -> None:
    assert rising(values) == pytest.approx(expected)


def test_no_other_rising_curve_is_closer() -> None:
    """Small changes that keep it rising make the squared distance larger."""
    rng = np.random.default_rng(0)
    for _ in range(50):
        values = rng.normal(size=12) + np.arange(12) / 4
        best = np.array(rising([*values]))
        assert (np.diff(best) >= -1e-12).all()
        for _ in range(50):
            other = np.maximum.accumulate(best + rng.normal(scale=0.05, size=12))
            assert ((other - values) ** 2).sum() > ((best - values) ** 2).sum()


def test_between_and_beyond_points() -> None:
    curve = PassTime({1: 1.0, 3: 2.0, 7: 6.0})
    assert [curve(slots) for slots in (1, 2, 3, 4, 7, 99)] == [1.0, 1.5, 2.0, 3.0, 6.0, 6.0]
