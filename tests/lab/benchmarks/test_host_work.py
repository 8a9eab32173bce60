"""`benchmarks/host_work.py`: passes behind many cells are timed, with and without the noise of new cells."""

import runpy
from pathlib import Path
from typing import Any

import pytest

from helpers.paths import ROOT
from helpers.tiny_causal import tiny_simplear
from spatialspec.core.grid import Grid
from spatialspec.targets.loading import load_target
from spatialspec.targets.noise_buffer import NoiseBuffer


def test_time_outside_the_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The noise is made, timed and taken off; an image that ends has fewer passes."""
    script: Any = runpy.run_path(str(ROOT / "benchmarks" / "host_work.py"))
    target, taken = load_target(tiny_simplear(tmp_path, decoder=False)), script["noise"]
    monkeypatch.setattr(NoiseBuffer, "_hold", script["hold"])
    for begun in (20, 45):  # of 64
        host, device = script["outside"](target, Grid(8, 8), begun, "ar")
        assert host > 0 and device > 0 and taken and min(taken) > 0
    assert len(script["METHODS"]) == 3 and script["SIZES"][1][0] == 131_072
