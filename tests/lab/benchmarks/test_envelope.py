"""The envelope of passes against distance: every setting is one, and what is at least as close as what."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from helpers.paths import ROOT
from spatialspec.methods.method import Method

ENVELOPE = runpy.run_path(str(ROOT / "benchmarks" / "envelope.py"))
FAMILIES, OURS = ENVELOPE["FAMILIES"], ENVELOPE["OURS"]


def row(family: str, method: str, passes: float, gap: float, ks: float, entropy: float) -> dict:
    figures = {"target_passes": passes, "likelihood_gap": gap, "pit_ks": ks, "entropy": entropy}
    return {"family": family, "method": method, **figures}


AR = row("SSD", "ar", 576, -0.03, 0.02, 0.7)
ROWS = [
    AR,
    row("SSD", "ssd:rounds=2", 80, 0.9, 0.14, 0.73),
    row("SSD", "ssd:rounds=6", 172, 0.01, 0.01, 0.69),
    row("CSD", "csd", 50, -0.05, 0.03, 0.7),
    row(OURS, "spatial:tolerance=2", 54, 0.03, 0.02, 0.71),  # noise in every distance
    row(OURS, "spatial:tolerance=20", 36, -0.8, 0.12, 0.66),  # entropy alone is further than SSD's
    row(OURS, "spatial:tolerance=40", 30, -0.8, 0.12, 0.672),
]


def test_every_setting_is_one_of_its_family() -> None:
    named = [str(Method.parse(text)) for family in FAMILIES for text in FAMILIES[family]]
    assert len(named) == len(set(named))
    for family, texts in FAMILIES.items():
        names = {Method.parse(text).name for text in texts}
        assert names == {"spatial" if family == OURS else family.lower()}
    q = [method for method in ENVELOPE["drawn"]("SSD", "coupled") if method.options.explicit.get("q") == "draft"]
    assert not q and len(ENVELOPE["drawn"]("SSD", "rejection")) == len(FAMILIES["SSD"])


def test_the_nearest_of_ours() -> None:
    """All three distances count, AR's own are as good as none, and the fewest passes win."""
    found = {r["method"]: ENVELOPE["nearest"](r, ROWS) for r in ROWS[1:4]}
    assert {name: own and own["method"] for name, own in found.items()} == {
        "ssd:rounds=2": "spatial:tolerance=40",
        "ssd:rounds=6": "spatial:tolerance=2",
        "csd": "spatial:tolerance=2",
    }
    assert ENVELOPE["nearest"](ROWS[1], [AR, *ROWS[5:6]]) is None


def test_the_comparison_names_every_setting() -> None:
    text = ENVELOPE["comparison"](ROWS)
    assert "2 of 3 settings." in text, "csd has fewer passes than ours"
    assert "| `ssd:rounds=2` | 80.0 | `spatial:tolerance=40` | 30.0 | 0.38 |" in text
    assert "| `csd` | 50.0 | `spatial:tolerance=2` | 54.0 | 1.08 |" in text
    assert text.endswith("SSD: ours reaches the distances of 2 of 2 settings, with 0.31 to 0.38 of their passes.\n")
    assert "| `csd` | 50.0 | none | - | - |" in ENVELOPE["comparison"](ROWS[:4])


def test_the_hull_and_the_plot(tmp_path: Path) -> None:
    assert ENVELOPE["hull"]([(3, 1.0), (1, 2.0), (2, 3.0), (4, 1.0)]) == [(1, 2.0), (3, 1.0)]
    ENVELOPE["plot"](ROWS, tmp_path / "envelope.png")
    assert (tmp_path / "envelope.png").stat().st_size > 10_000


def test_a_record_of_another_run_is_not_added_to(tmp_path: Path) -> None:
    there = {"model": "icons", "prompts": 3, "torch": "1"}
    ENVELOPE["check"](there, there | {"torch": "2", "fingerprint": "new"}, tmp_path)
    with pytest.raises(ValueError, match="got prompts 4, expected 3 as stored: choose another --out"):
        ENVELOPE["check"](there, there | {"prompts": 4}, tmp_path)
