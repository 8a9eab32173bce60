"""`benchmarks/growth.py` and `benchmarks/draft_table.py`: pages say how they were made, plots can be read."""

import json
import runpy
import sys

import matplotlib.pyplot as plt
import pytest

from helpers.paths import ROOT

RESULTS = ROOT / "docs" / "results"


@pytest.fixture
def no_figures():
    """None left open before and after."""
    plt.close("all")
    yield
    plt.close("all")


def outside(figure) -> bool:
    """Whether the one legend touches no panel."""
    figure.canvas.draw()
    (legend,) = figure.legends
    box = legend.get_window_extent()
    return not any(a.get_legend() or box.overlaps(a.get_window_extent()) for a in figure.axes)


def test_growth_is_written_from_its_record(tmp_path, no_figures):
    record = json.loads((RESULTS / "growth.json").read_text())
    (tmp_path / "growth.json").write_text(json.dumps(record))
    runpy.run_path(str(ROOT / "benchmarks" / "growth.py"))["main"](["--render", "--report", str(tmp_path / "growth")])
    page = (tmp_path / "growth.md").read_text()
    assert page == (RESULTS / "growth.md").read_text() and (tmp_path / "growth.png").stat().st_size > 10_000
    assert record["call"] in page and record["call"] in (ROOT / "docs" / "reproduce.md").read_text()
    assert "learns for 200 steps of 12 images (its sketch for 600), drafts for 100; then 6 prompts" in page
    assert "| 32 | AR | 1024.0 | 1.00 | 22.02 | 8.92 to 26.71 | 21.5 |" in page and "busy machine" in page
    assert "On cpu, fp32, threads 1, PyTorch 2.13.0+cpu" in page
    assert outside(plt.gcf())


def test_every_row_of_the_draft_table_has_a_line_of_its_own(tmp_path, no_figures, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["draft_table.py"])
    plot = runpy.run_path(str(ROOT / "benchmarks" / "draft_table.py"))["plot"]
    rows = json.loads((RESULTS / "drafts.json").read_text())["rows"]
    plot(rows, tmp_path / "drafts.png")
    figure = plt.gcf()
    for panel in figure.axes:
        styles = {(line.get_color(), line.get_linestyle(), line.get_marker()) for line in panel.lines}
        assert len(styles) == len(panel.lines) == len(rows) == 13
    assert outside(figure) and (tmp_path / "drafts.png").is_file()
