"""`benchmarks/pass_cost.py`: passes of a model of Chameleon's shape, made in place, are timed and recorded."""

import json
import runpy
from pathlib import Path

from helpers.paths import ROOT


def test_every_size_of_a_pass_is_recorded(tmp_path: Path) -> None:
    script, out = runpy.run_path(str(ROOT / "benchmarks" / "pass_cost.py")), tmp_path / "cost.json"
    small = ["--width", "128", "--layers", "1", "--turns", "1", "--out", str(out)]
    script["main"](["--model", "chameleon-7b", *small])
    record = json.loads(out.read_text())
    assert (record["model"], record["machine"], record["dtype"]) == ("chameleon-7b", "CPU", "float32")
    assert [int(rows) for rows in record["seconds"]] == list(script["SLOTS"])
    assert min(record["seconds"].values()) > 0
    kept = [json.loads(path.read_text()) for path in (ROOT / "docs" / "results").glob("pass-cost-*.json")]
    assert len(kept) == 3
    assert all(set(one) == set(record) and set(one["seconds"]) == set(record["seconds"]) for one in kept)
