"""The figures of README are those of the recorded runs."""

from __future__ import annotations

import json
import re
import runpy
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()


def test_the_table_is_the_last_recorded_run() -> None:
    table = runpy.run_path(str(ROOT / "benchmarks" / "markdown_table.py"))["table"]
    assert table(ROOT / "docs" / "results" / "bench.json") in README


def test_the_lead_over_the_best_rival() -> None:
    rows = json.loads((ROOT / "docs" / "results" / "bench.json").read_text())["methods"]
    passes = {row["method"]: row["target_passes"] for row in rows}
    ours = passes.pop("spatial")
    assert f"`spatial` needs {min(passes.values()) / ours:.2f} times fewer passes" in README
    assert all(row["unexplained_divergences"] == 0 for row in rows if row["seed_exact"])


def test_relaxed_methods_are_as_measured() -> None:
    """Passes, gap, entropy and pit ks of every row of the second table occur together in the record."""
    record = json.loads((ROOT / "docs" / "results" / "envelope.json").read_text())["methods"]
    known = {
        (f"{r['target_passes']:.1f}", f"{r['likelihood_gap']:+.3f}", f"{r['entropy']:.2f}", f"{r['pit_ks']:.3f}")
        for r in record
    }
    body = README.partition("Relaxed methods, ")[2].partition("![")[0]
    rows = re.findall(r"^\| `[^|]*` \| (\S+) \| (\S+) \| (\S+) \| (\S+) \|$", body, re.MULTILINE)
    assert len(rows) >= 8 and set(rows) <= known
