"""`spatialspec doctor`: check a model's folder, and measure what to expect of the model on this machine."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spatialspec import devices
from spatialspec.cli import options
from spatialspec.cli.chart import chart
from spatialspec.cli.common import loading
from spatialspec.cli.display import Column, progress, saved, say, table, terminal_width, wrapped
from spatialspec.core.errors import BadInput, printable
from spatialspec.core.grid import Grid
from spatialspec.extras import need
from spatialspec.io.outputs import check_output
from spatialspec.models import draft_folder, embedded, local_folder, model_folder

if TYPE_CHECKING:
    from spatialspec.doctor.report import Diagnosis, Finding, PassLimit

COLOURS = {"ok": "green", "warning": "yellow", "failed": "red"}


def doctor(
    model: options.Model = "icons",
    draft: options.Draft = None,
    size: options.Size = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
    json: options.Json = None,
    plot: Annotated[
        Path | None, typer.Option(help="PNG file for the cost of a pass by its width; needs matplotlib.")
    ] = None,
    plugin: options.Plugin = None,
) -> None:
    """Check a model and recommend settings for this machine.

    Checks files, grid, row ends, codec and drafts. Draws the first rows of an image and checks that a pass over many
    cells gives the scores of AR's passes. Measures the cost of a pass against its width, as --budget auto does, and
    against the bandwidth of memory. Reports the failure signatures of Hawk. Exit code 1 if a check failed.
    """
    folder = find(model)
    drafts = draft_folder(model, draft) if (folder / "config.json").is_file() else _given(draft)
    grid = None if size is None else Grid.parse(size, "--size")
    devices.dtype_name(dtype or devices.AUTO, "--dtype")
    if json is not None:
        check_output(json, "", "--json", [folder, drafts])
    if plot is not None:
        check_output(plot, ".png", "--plot", [folder, drafts, json])
        need("lab", "matplotlib")
    with loading(model):
        where = devices.device(device, "--device")
        from spatialspec.doctor.doctor import examine, measure
        from spatialspec.doctor.speed import effort
        from spatialspec.measure.documents import dtype_name

        kind = devices.dtype(dtype or devices.AUTO, where)
        say(f"{model} on {where}, {dtype_name(kind)}")
        examination = examine(folder, model, drafts, str(where), kind, grid, tell)
    with progress(effort(examination.request) if examination.request else 0) as report:
        diagnosis = measure(examination, report, "" if draft is None else f" --draft {shlex.quote(draft)}")
    with saved(json, diagnosis.json_text):
        show(diagnosis)
    if plot is not None:
        _save_plot(diagnosis, plot)
    if not diagnosis.ok:
        raise typer.Exit(1)


def find(model: str) -> Path:
    """Folder of a model by its name or path, even if it is damaged.

    Raises:
        BadInput: there is no such folder.
    """
    if model not in embedded() and Path(model).is_dir():
        return local_folder(model) or Path(model)
    return model_folder(model)


def _given(draft: str | None) -> Path | None:
    """Folder of drafts of a model that has no config.json."""
    if draft is None or Path(draft).is_dir():
        return None if draft is None else Path(draft)
    raise BadInput(f"draft {draft!r}", "a folder", "check --draft")


def show(diagnosis: Diagnosis) -> None:
    """Print the measurements after the checks; on a terminal with a chart."""
    if diagnosis.methods:
        s, cells = diagnosis.settings, diagnosis.methods[0].measured_cells
        say(f"\ndrawn: {s.size} cells, {s.prompt!r}, guidance {s.guidance:g}")
        say(f"\ncost of a pass against its width, first {cells} cells")
        room = terminal_width()
        if room is not None:
            say(_chart(diagnosis, room) + "\n")
        say(table(_widths(diagnosis.widths[0].seconds), diagnosis.widths))
        if diagnosis.limit is not None:
            say("\n" + wrapped(_limit(diagnosis.limit)))
        say("\nwhat to expect of a whole image")
        say(table(METHODS, diagnosis.methods))
        say("\n" + wrapped(diagnosis.advice))
    elif not diagnosis.ok:
        say("\nnothing was measured: fix the failed checks first")
    counts = {status: sum(f.status == status for f in diagnosis.checks) for status in COLOURS}
    say(f"{len(diagnosis.checks)} checks: " + ", ".join(f"{n} {status}" for status, n in counts.items()))


def line(finding: Finding) -> str:
    """A check on one line."""
    advice = f": {finding.advice}" if finding.advice else ""
    text = f"{finding.status:<7}  {finding.check}: got {finding.got}, expected {finding.expected}{advice}"
    return printable(" ".join(text.splitlines()))


def tell(finding: Finding) -> None:
    """Print a check, on a terminal with line breaks and a coloured status."""
    say(wrapped(line(finding), 9), colour=COLOURS[finding.status])


def _chart(diagnosis: Diagnosis, room: int) -> str:
    """Milliseconds of a pass against the cells that it scores: the budget and one more."""
    best = min(diagnosis.widths, key=lambda w: w.seconds / w.cells)
    rows = [
        (str(w.budget + 1), 1000 * w.seconds, "AR" if w.budget == 0 else "fewest ms a cell" if w == best else "")
        for w in diagnosis.widths
    ]
    if diagnosis.limit is not None:
        rows.insert(0, ("limit", 1000 * diagnosis.limit.seconds, "reading the weights once"))
    return chart(rows, "cells scored", "ms a pass", room, sys.stdout.encoding or "ascii")


def _limit(limit: PassLimit) -> str:
    """How far AR's pass is from reading its weights once."""
    weights = f"{limit.weights / 1e6:.3g} MB of weights at {limit.bandwidth / 1e9:.3g} GB/s, as a copy"
    return (
        f"a pass of AR takes {1000 * limit.loop_seconds:.3g} ms in the short runs, {1000 * limit.pass_seconds:.3g} of "
        f"them in the model: {limit.times:.2f} times the {1000 * limit.seconds:.3g} ms of reading its {weights}"
    )


def _save_plot(diagnosis: Diagnosis, path: Path) -> None:
    from spatialspec.doctor.plot import draw_curve
    from spatialspec.lab.reproduce.plots import empty_plot, save

    figure = empty_plot()
    draw_curve(figure.subplots(), diagnosis)
    save(figure, path)


def _widths(ar: float) -> tuple[Column, ...]:
    """Columns of the curve; `ar` is the seconds of a pass of AR, which commits one cell."""
    return (
        ("budget", lambda w: str(w.budget)),
        ("ms/pass", lambda w: f"{1000 * w.seconds:.2f}"),
        ("cells/pass", lambda w: f"{w.cells:.2f}"),
        ("ms/cell", lambda w: f"{1000 * w.seconds / w.cells:.2f}"),
        ("x time", lambda w: f"{ar * w.cells / w.seconds:.2f}"),
    )


METHODS: tuple[Column, ...] = (
    ("method", lambda e: e.method),
    ("passes", lambda e: f"{e.passes:.0f}"),
    ("seconds", lambda e: f"{e.seconds:.3g}"),
    ("x time", lambda e: f"{e.times_as_fast:.2f}"),
    ("accepted", lambda e: f"{e.accepted_length:.2f}"),
    ("measured on", lambda e: f"{e.measured_cells} cells"),
)
