"""`benchmarks/gpu_check.py` in small, on the CPU and with pretended captures: every part has its rows, tokens agree."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from helpers import real_targets
from helpers.paths import ROOT
from spatialspec.core.clock import STAGES
from spatialspec.targets.workspace import Workspace

MODULES = ("gpu_check", "gpu_machine", "gpu_models", "gpu_parts")
KEYS = {"command", "machine", "torch", "transformers", "missing", "dtype", "bandwidth", "parts", "verdicts"}
ROWS = {
    "tokens": {"model", "method", "passes", "tokens", "captured is not eager", "not AR's"},
    "widths": {"model", "engine", "weights GB", "slots", "ms", "T(n)/T(1)", "limit ms", "x limit"},
    "stages": {"model", "engine", "method", "slots", "ms", *STAGES},
    "icons": {"dtype", "method", "passes", "seconds", "ms a pass"},
    "growth": {"round", "seed", "captures", "MB"},
}


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    yield import_module("gpu_check")
    for name in MODULES:
        sys.modules.pop(name, None)


def record_of(script: ModuleType, folder: Path, *words: str) -> Any:
    assert script.main(["--out", str(folder), "--device", "cpu", "--tiny", *words]) == 0
    return json.loads((folder / "gpu-check.json").read_text())


def test_every_part(script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(real_targets, "MAKES", {"janus": real_targets.MAKES["janus"]})
    record = record_of(script, tmp_path / "out")
    assert record.keys() == KEYS and record["bandwidth"] > 0
    parts, page = record["parts"], (tmp_path / "out" / "gpu-check.md").read_text()
    for name, keys in ROWS.items():
        assert parts[name]["stopped"] is None and parts[name]["rows"]
        assert all(row.keys() == keys for row in parts[name]["rows"]), name
        assert f"## {name}\n" in page
    tokens = {(row["model"], row["method"]): row for row in parts["tokens"]["rows"]}
    assert {model for model, _ in tokens} == {"icons", "tiny janus"}
    assert tokens["tiny janus", "spatial"]["passes"] < tokens["tiny janus", "ar"]["passes"] == 16
    verdicts = record["verdicts"]
    assert verdicts.pop("tokens compared") == 4 * (18 + 32) and verdicts.pop("MB more after it") is not None
    assert set(verdicts.values()) == {0}, verdicts
    models = import_module("gpu_models").MODELS
    for part, each in (("widths", 2 * 3), ("stages", 2 * 3)):
        assert [row["model"] for row in parts[part]["rows"]] == [model.name for model in models for _ in range(each)]
    for row in parts["widths"]["rows"]:
        assert row["limit ms"] == pytest.approx(1e12 * row["weights GB"] / record["bandwidth"])
        assert row["x limit"] == pytest.approx(row["ms"] / row["limit ms"])


def test_a_part_that_fails_or_has_no_time(script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others run; what was measured is in the files."""
    parts = import_module("gpu_parts")

    def breaks(machine: object) -> Iterator[dict[str, object]]:
        """Breaks."""
        yield {"ms": 1.0}
        raise RuntimeError("out of luck")

    monkeypatch.setattr(parts, "PARTS", {"a": (breaks, 9.0), "growth": (parts.growth, 0.0)})
    record = record_of(script, tmp_path / "out")["parts"]
    assert record["a"] == record["a"] | {"stopped": "RuntimeError: out of luck", "rows": [{"ms": 1.0}]}
    assert len(record["growth"]["rows"]) == 1 and record["growth"]["stopped"].startswith("its time was over after")
    record = record_of(script, tmp_path / "none", "--minutes", "0")["parts"]
    assert all(part == part | {"stopped": "no time was left", "rows": []} for part in record.values())


def test_buffers_that_move_are_found(script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: every image has a table of its own, so that passes are captured again."""
    parts = import_module("gpu_parts")
    monkeypatch.setattr(parts, "PARTS", {"growth": parts.PARTS["growth"]})
    held: list[torch.Tensor] = []
    monkeypatch.setattr(Workspace, "hold", lambda self, name, values: held.append(values) or values)
    assert record_of(script, tmp_path / "out")["verdicts"]["captures in the second round"] > 0


def test_random_models_without_transformers(script: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    models = import_module("gpu_models")
    monkeypatch.setattr(models, "TRANSFORMERS", False)
    target = models.random_target(models.MODELS[0].tiny(), torch.device("cpu"), torch.float32)
    assert type(target) is models.RandomGrid and target.width == 64


def test_without_a_gpu(script: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for device in ("cpu", *(() if torch.cuda.is_available() else ("cuda",))):
        assert script.main(["--out", str(tmp_path / "out"), "--device", device]) == 2
        assert "no GPU here: nothing was measured" in capsys.readouterr().err and not (tmp_path / "out").exists()
