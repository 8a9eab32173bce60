"""`doctor`: how far a pass is from reading its weights once, as text, as figures and as a plot."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import nn

from helpers.doctors import FLAT, diagnose, give_curve
from helpers.real_targets import MAKES
from helpers.tiny import call_main, tiny_folder
from spatialspec.cli import doctor as command
from spatialspec.core.grid import Grid
from spatialspec.doctor import speed
from spatialspec.doctor.bandwidth import copy_bandwidth, weights_read
from spatialspec.request import Request
from spatialspec.targets.loading import load_target

PLANTED = 2e9  # bytes per second


@pytest.mark.parametrize("kind", ["janus", "emu3", "anole", "classes"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_bytes_of_a_pass(kind: str, dtype: torch.dtype, tmp_path: Path) -> None:
    """All matrices of the blocks and what makes image tokens of states; no embeddings, no codec, no text head."""
    target = load_target(MAKES[kind].make(tmp_path / kind), dtype=dtype)
    size = MAKES[kind].size
    request = Request.of(MAKES[kind].prompts, target.default, target.grid if size is None else Grid.parse(size))
    assert target.transformer is not None
    linear = [part.weight for part in target.transformer.modules() if isinstance(part, nn.Linear)]
    if kind == "janus":
        parts = (target.parts.generation_aligner, target.parts.generation_head)  # type: ignore[attr-defined]
        linear += [part.weight for part in nn.ModuleList(parts).modules() if isinstance(part, nn.Linear)]
    numbers = sum(weight.numel() for weight in linear)
    if kind in ("emu3", "anole"):
        numbers += target.vocabulary * target.width  # the rows of image tokens
    assert weights_read(request, target) == numbers * dtype.itemsize


def test_a_copy_reads_and_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice the bytes of every copy, in the time of the fastest run."""
    times = iter([0.0, 4.0, 10.0, 12.0, 20.0, 28.0])
    monkeypatch.setattr("spatialspec.doctor.bandwidth.ON_CPU", 1000)
    monkeypatch.setattr("spatialspec.doctor.bandwidth.time.perf_counter", lambda: next(times))
    assert copy_bandwidth(torch.device("cpu")) == 2 * 4 * 1000 / 2.0


def test_text_and_document(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    give_curve(monkeypatch)
    monkeypatch.setattr(speed, "copy_bandwidth", lambda device: PLANTED)
    folder, report, png = tiny_folder(tmp_path / "tiny"), tmp_path / "report.json", tmp_path / "curve.png"
    monkeypatch.setattr(command, "terminal_width", lambda: 80)  # with a chart
    code, out, err = call_main(capsys, "doctor", "--model", folder, "--json", report, "--plot", png)
    assert (code, err) == (0, "")
    assert re.search(r"\n +limit .* reading the weights once\n", out)
    limit = json.loads(report.read_text())["limit"]
    assert limit["bandwidth"] == PLANTED and limit["seconds"] == limit["weights"] / PLANTED
    assert limit["times"] == pytest.approx(limit["pass_seconds"] / limit["seconds"])
    assert 0 < limit["pass_seconds"] < limit["loop_seconds"]
    out = " ".join(out.split())
    words = f"{limit['times']:.2f} times the {1000 * limit['seconds']:.3g} ms of reading its"
    assert words in out and f"{limit['weights'] / 1e6:.3g} MB of weights at 2 GB/s, as a copy" in out
    with Image.open(png) as image:
        low, high = image.convert("L").getextrema()
        assert image.format == "PNG" and low < high


def test_the_plot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from spatialspec.doctor.plot import draw_curve
    from spatialspec.lab.reproduce.plots import empty_plot

    give_curve(monkeypatch)
    found = diagnose(tiny_folder(tmp_path / "tiny"))
    assert found.limit is not None
    axes = empty_plot().subplots()
    draw_curve(axes, found)
    curve, line = axes.get_lines()
    assert list(curve.get_xdata()) == [cost.budget + 1 for cost in FLAT]
    assert list(curve.get_ydata()) == pytest.approx([1000 * cost.seconds for cost in FLAT])
    assert set(line.get_ydata()) == {1000 * found.limit.seconds} and axes.get_ylim()[0] == 0


def test_without_matplotlib(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is computed."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setattr("spatialspec.extras.find_spec", lambda name: None)
    code, out, err = call_main(capsys, "doctor", "--plot", tmp_path / "curve.png")
    assert (code, out) == (2, "") and "matplotlib" in err and "spatialspec[lab]" in err
