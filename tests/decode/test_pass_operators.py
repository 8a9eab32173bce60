"""What a method does outside the function of a pass, in operators and reads: on a GPU each is a launch or a wait."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from torch.utils._python_dispatch import _disable_current_modes

from helpers.covering import covering
from helpers.operators import counted
from helpers.real_targets import MAKES, Made, random_drafts
from spatialspec import Grid
from spatialspec.core.interfaces import Target
from spatialspec.core.noise import Noise
from spatialspec.core.sampling import Sampling
from spatialspec.decode import decode
from spatialspec.generation import assemble, generate
from spatialspec.methods.hawk import HawkHeads
from spatialspec.methods.method import Method
from spatialspec.methods.predictors import Predictor, SSDPredictors
from spatialspec.request import Request
from spatialspec.targets.loading import load_target
from spatialspec.targets.runners import Runner

LIMITS = [  # method, rule, operators
    ("ar", "coupled", 2),
    ("jacobi", "coupled", 2),
    ("spatial", "coupled", 2),
    ("hawk", "coupled", 20),
    ("ssd", "coupled", 12),
    ("hawk", "rejection", 38),
    ("ssd", "rejection", 23),
    ("sjd", "rejection", 20),
    ("scd", "rejection", 20),
    ("sjd-pac", "rejection", 50),
]
KINDS = ("icons", "janus", "emu3", "anole", "lumina", "liquid", "simplear", "classes")


@pytest.fixture
def outside(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Not counted: the function of a pass, drafters' networks up to q, and noise, made for 32 cells at a time."""

    def uncounted(honest: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            with _disable_current_modes():
                return honest(*args)

        return call

    monkeypatch.setattr(Runner, "__call__", uncounted(Runner.__call__))
    functions: list[tuple[type, str]] = [(Noise, "_make"), (Sampling, "distribution"), (SSDPredictors, "to_space")]
    functions += [(Predictor, "forward"), (SSDPredictors, "logits")]
    for owner, name in functions:
        monkeypatch.setattr(owner, name, uncounted(getattr(owner, name)))
    monkeypatch.setattr(HawkHeads, "apply_heads", staticmethod(uncounted(HawkHeads.apply_heads)))
    return monkeypatch


@pytest.fixture(scope="module", params=KINDS)
def loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Made, Target]:
    made = MAKES[request.param]
    return made, load_target(made.make(tmp_path_factory.mktemp("kinds") / request.param))


@pytest.mark.parametrize(("loaded", "limit"), covering(KINDS, LIMITS), indirect=["loaded"])
def test_operators_outside_a_pass(
    loaded: tuple[Made, Target], limit: tuple[str, str, int], outside: pytest.MonkeyPatch
) -> None:
    """And one read: what the host needs of a pass comes at once."""
    (made, target), (method, rule, operators) = loaded, limit
    grid = target.grid if made.size is None else Grid.parse(made.size)
    request = Request([made.prompts[0]], [3], target.default, grid, rule)
    images = assemble(target, random_drafts(target), Method.parse(method), request)
    passes, most = decode(request.session(target), images), 0
    next(passes)
    while not images[0].state.complete:
        with counted(outside) as counts:
            next(passes)
        assert len(counts) <= operators, counts.counts
        assert counts.reads <= 1
        most = max(most, len(counts))
    assert most or method in ("ar", "jacobi", "spatial")


def test_stages_are_nearly_all_the_time(tmp_path: Path) -> None:
    target = load_target(MAKES["icons"].make(tmp_path / "icons"))
    request = Request(["a red apple"], [0], target.default, target.grid)
    _, report = generate(target, [], Method.parse("spatial"), request)
    assert set(report.stages) == {"draft", "pass", "read", "verify", "keep"}
    assert min(report.stages.values()) > 0 and 0.3 * report.seconds < sum(report.stages.values()) <= report.seconds
