"""The figures of README and docs are those of the recorded runs."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest

from helpers.paths import ROOT
from spatialspec.io.identity import identity
from spatialspec.models import WEIGHTS
from spatialspec.targets.loading import load_target

FILLER = runpy.run_path(str(ROOT / "benchmarks" / "fill_pages.py"))
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
RESULTS = ROOT / "docs" / "results"


ICONS = identity(load_target(WEIGHTS / "icons"))


def record(name: str) -> list[dict]:
    return json.loads((RESULTS / name).read_text())["methods"]


@pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])
def test_figures_are_those_of_the_record(page: Path) -> None:
    assert FILLER["fill"](page.read_text(), page.parent) == page.read_text(), "run `python benchmarks/fill_pages.py`"


@pytest.mark.parametrize(
    ("page", "records"),
    [
        ("README.md", ["bench"]),
        ("docs/results.md", ["bench", "envelope", "bench-auto", "bench-bf16", "bench-rejection"]),
    ],
)
def test_pages_ask_for_their_figures(page: str, records: list[str]) -> None:
    path = ROOT / page
    text = path.read_text()
    assert [place["record"] for place in FILLER["ASKED"].finditer(text)] == [f"docs/results/{n}.json" for n in records]
    passes = next(row["target_passes"] for row in record("bench.json") if row["method"] == "spatial")
    changed = text.replace(f"| {passes:.1f} |", "| 1.0 |")
    assert changed != text and FILLER["fill"](changed, path.parent) == text


def test_a_page_may_choose_columns() -> None:
    filled = FILLER["fill"]("<!-- docs/results/bench.json: ar | gap, exact -->\n<!-- end -->", ROOT / "docs" / "papers")
    assert "\n| method | gap | exact |\n|---|---|---|\n| `ar` | -0.001 | yes |\n<!-- end -->" in filled
    assert "[bench.json](../results/bench.json)" in filled
    with pytest.raises(ValueError, match="got column 'speed', expected one of exact, target passes"):
        FILLER["fill"]("<!-- docs/results/bench.json: ar | gap, speed -->\n<!-- end -->")


def test_a_method_that_was_not_recorded_is_an_error() -> None:
    with pytest.raises(ValueError, match="'zipar:window=5', expected one of those in"):
        FILLER["fill"]("<!-- docs/results/envelope.json: zipar:window=5 -->\n<!-- end -->")


def test_the_lead_over_the_best_rival() -> None:
    """At every width, the rival with the fewest passes, each at several settings."""
    leads = []
    for slots in (16, 32, 64, 128):
        rows = [row for row in record(f"slots-{slots}.json") if row["exact"]]
        passes = {row["method"]: row["target_passes"] for row in rows}
        ours = passes.pop(f"spatial:slots={slots}")
        leads.append(min(passes.values()) / ours)
        assert all(row["unexplained_divergences"] == 0 for row in rows if row["seed_exact"])
    lead = f"best rival needs {min(leads):.2f} to {max(leads):.2f} times as many passes"
    for page in ("README.md", "docs/results.md"):
        assert lead in " ".join((ROOT / page).read_text().split()), page


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*.json")), ids=lambda path: path.stem)
def test_records_are_of_the_present_weights(path: Path) -> None:
    """Of everything that images depend on; those that docs/results.md lists as older are older."""
    settings = json.loads(path.read_text()).get("settings", {})
    if settings.get("model") == "icons":
        older = (ROOT / "docs" / "results.md").read_text().partition("## Records of the weights before")[2]
        drawn_by = settings.get("identity") or settings.get("target", "")
        assert (drawn_by == ICONS) != (f"results/{path.stem}." in older), "run its command again, list no other"
