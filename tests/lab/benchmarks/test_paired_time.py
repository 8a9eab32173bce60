"""`benchmarks/paired_time.py`: images in turn, and an interval of the ratio that is on record."""

import json
import runpy
from pathlib import Path
from statistics import fmean

import numpy as np
import pytest

from helpers.paths import ROOT


def test_seconds_of_every_picture_and_their_ratio(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script, out = runpy.run_path(str(ROOT / "benchmarks" / "paired_time.py")), tmp_path / "time.json"
    script["main"](["ar", "spatial:budget=7", "--limit", "3", "--size", "4x4", "--out", str(out)])
    record = json.loads(out.read_text())
    assert [len(seconds) for seconds in record["seconds"].values()] == [3, 3]
    logs = np.log([*record["seconds"].values()])
    assert record["times_as_fast"] == pytest.approx(np.exp(fmean(logs[0] - logs[1])))
    assert record["interval"][0] <= record["times_as_fast"] <= record["interval"][1]
    assert f"{record['times_as_fast']:.3f}" in capsys.readouterr().out


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_results_quote_the_record(dtype: str) -> None:
    record = json.loads((ROOT / "docs" / "results" / f"paired-time-{dtype}.json").read_text())
    assert record["settings"]["dtype"] == dtype and record["settings"]["prompts"] == 64
    low, high = record["interval"]
    quoted = f"{record['times_as_fast']:.3f} [{low:.3f}, {high:.3f}] times in {dtype}"
    assert quoted in (ROOT / "docs" / "results.md").read_text()
