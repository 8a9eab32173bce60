"""The notebook in `examples/` runs from top to bottom as it stands, and is stored without results."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from helpers.paths import ROOT

NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))


@pytest.fixture(autouse=True)
def of_this_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "src"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def run(path: Path, folder: Path, **replaced: str) -> nbformat.NotebookNode:
    """The notebook with the results of its cells, run in a folder of its own."""
    notebook = nbformat.read(path, as_version=4)
    for old, new in replaced.items():
        for cell in notebook.cells:
            cell.source = cell.source.replace(old, new)
    client = NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(folder)}})
    return client.execute()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs(path: Path, tmp_path: Path) -> None:
    cells = [cell for cell in run(path, tmp_path).cells if cell.cell_type == "code"]
    printed = "".join(output.text for cell in cells for output in cell.outputs if output.output_type == "stream")
    shown = [output.data for cell in cells for output in cell.outputs if output.output_type == "execute_result"]
    assert "the same tokens: True" in printed and "256 passes, now " in printed and "exact: False" in printed
    assert sum("image/png" in data for data in shown) == 3 and "SpatialPipeline(IconsTarget icons" in str(shown[0])


def test_a_cell_that_fails_is_seen(tmp_path: Path) -> None:
    with pytest.raises(CellExecutionError, match="got model 'nowhere'"):
        run(NOTEBOOKS[0], tmp_path, icons="nowhere")


def test_stored_without_results() -> None:
    listed = (ROOT / "examples" / "README.md").read_text()
    for path in NOTEBOOKS:
        cells = nbformat.read(path, as_version=4).cells
        assert path.stat().st_size < 10_000 and f"({path.name})" in listed
        assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells)
    assert NOTEBOOKS
