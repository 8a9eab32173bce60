"""`benchmarks/serving.py`: every load of both servers, and ratios to plain AR without batches."""

import json
import runpy
from pathlib import Path

import pytest

from helpers.paths import ROOT
from helpers.tiny import tiny_folder


def test_every_load_and_its_ratios(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "src"))
    script, out = runpy.run_path(str(ROOT / "benchmarks" / "serving.py")), tmp_path / "serving.json"
    words = ["--model", str(tiny_folder(tmp_path / "tiny")), "--clients", "1", "3", "--batch", "2", "--images", "2"]
    script["main"]([*words, "--out", str(out)])
    record = json.loads(out.read_text())
    assert record["settings"]["model"] == "tiny" and record["settings"]["dtype"] == "float32"
    assert len(record["runs"]) == len(capsys.readouterr().out.splitlines()) == 8
    for clients in (1, 3):
        runs = {(run["batch"], run["method"]): run for run in record["runs"] if run["clients"] == clients}
        assert {*runs} == {(1, "ar"), (1, "spatial"), (2, "ar"), (2, "spatial")}
        for run in runs.values():
            assert run["images"] == 2 * clients and 0 < run["p50"] <= run["p95"]
            assert run["tokens_per_second"] == pytest.approx(36 * run["images_per_second"])
            base = runs[1, "ar"]
            assert run["to_ar_of_batch_1"] == pytest.approx({
                "throughput": run["images_per_second"] / base["images_per_second"],
                "p50": run["p50"] / base["p50"], "p95": run["p95"] / base["p95"],
            })  # fmt: skip
