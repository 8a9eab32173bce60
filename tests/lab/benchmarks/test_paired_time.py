"""`benchmarks/paired_time.py`: images in turn, and an interval of the ratio that is on record."""

import json
import runpy
from pathlib import Path
from statistics import fmean

import numpy as np
import pytest

from helpers.paths import ROOT

RECORDS = sorted((ROOT / "docs" / "results").glob("paired-time-*.json"))


def test_seconds_of_every_batch_and_their_ratios(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The last method beside each other one; a budget that it leaves open is measured."""
    script, out = runpy.run_path(str(ROOT / "benchmarks" / "paired_time.py")), tmp_path / "time.json"
    script["main"](
        ["ar", "jacobi:length=4", "spatial", "--limit", "3", "--batch", "2", "--size", "4x4", "--out", str(out)]
    )
    record, shown = json.loads(out.read_text()), capsys.readouterr().out
    ar, jacobi, spatial = record["seconds"]
    assert [*record["times_as_fast"]] == [ar, jacobi] == ["ar", "jacobi:length=4"] and spatial.startswith(
        "spatial:budget="
    )
    assert record["batch"] == 2 and record["expected"] in shown
    assert [len(seconds) for seconds in record["seconds"].values()] == [2, 2, 2]
    logs = {name: np.log(seconds) for name, seconds in record["seconds"].items()}
    for name, ratio in record["times_as_fast"].items():
        assert ratio["value"] == pytest.approx(np.exp(fmean(logs[name] - logs[spatial])))
        assert ratio["interval"][0] <= ratio["value"] <= ratio["interval"][1]
        assert f"{ratio['value']:.3f}" in shown
        assert record["images_per_minute"][name] == pytest.approx(180 / sum(record["seconds"][name]))


@pytest.mark.parametrize("path", RECORDS, ids=[path.stem for path in RECORDS])
def test_results_quote_the_record(path: Path) -> None:
    """Ratios image by image, images per minute in batches."""
    record, page = json.loads(path.read_text()), (ROOT / "docs" / "results.md").read_text()
    if record["batch"] == 1:
        quoted = [
            "{:.2f} [{:.2f}, {:.2f}]".format(r["value"], *r["interval"]) for r in record["times_as_fast"].values()
        ]
    else:
        quoted = [f"{number:.1f}" for number in record["images_per_minute"].values()]
    (row,) = [line for line in page.splitlines() if f"({path.relative_to(ROOT / 'docs')})" in line]
    assert row.split("|")[2 : 2 + len(quoted)] == [f" {figure} " for figure in quoted]
