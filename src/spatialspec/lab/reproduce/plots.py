"""Plots by matplotlib that experiments share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from spatialspec.extras import need
from spatialspec.io.files import writing
from spatialspec.lab.reproduce.report import Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

OURS, THEIRS = "#2166ac", "#b0b0b0"


def empty_plot() -> Figure:
    """A figure, drawn without a window.

    Raises:
        NotInstalled: there is no matplotlib.
    """
    need("lab", "matplotlib")
    from matplotlib.figure import Figure

    return Figure(layout="constrained")


def save(figure: Figure, path: Path) -> None:
    """Write a PNG file atomically."""
    with writing(path) as partial:
        figure.savefig(partial, format="png", dpi=110)


def bars(
    axes: Axes,
    labels: Sequence[str],
    ours: Sequence[float | None],
    theirs: Sequence[float | None],
    title: str,
    names: tuple[str, str] = ("ours", "paper"),
) -> None:
    """One or two bars for each label; `names` are their names in the legend."""
    two = any(value is not None for value in theirs)
    width = 0.4 if two else 0.7
    for values, shift, colour, name in ((ours, -0.2 * two, OURS, names[0]), (theirs, 0.2, THEIRS, names[1])):
        points = [(i, value) for i, value in enumerate(values) if value is not None]
        if points:
            axes.bar([i + shift for i, _ in points], [v for _, v in points], width, color=colour, label=name)
    axes.set_xticks(range(len(labels)), labels, rotation=35, ha="right", fontsize=8)
    axes.set_title(title, fontsize=10)
    axes.grid(axis="y", alpha=0.3)
    axes.set_axisbelow(True)
    if two:
        axes.legend(fontsize=8)


def compare(plot: Figure, table: Table, panels: Sequence[tuple[str, str]]) -> None:
    """One panel of bars for each figure of a table of methods, beside the paper's if it has one.

    Args:
        plot: empty.
        table: with the column `method`.
        panels: key of our figure, and key of the paper's; "" for none.
    """
    names = [str(row["method"]) for row in table.rows]
    short = [name.partition(":")[0] for name in names]
    labels = short if len(set(short)) == len(short) else [name.partition(":")[2] or name for name in names]
    label = {column.key: column.label for column in table.columns}
    plot.set_size_inches(4.2 * len(panels), 4.2)
    for axes, (ours, theirs) in zip(plot.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        bars(axes, labels, _numbers(table, ours), _numbers(table, theirs), label[ours])


def _numbers(table: Table, key: str) -> list[float | None]:
    values = (row.get(key) for row in table.rows)
    return [None if value is None or isinstance(value, str) else float(value) for value in values]


def powers(axes: Axes, ticks: Sequence[float]) -> None:
    """Make the x axis logarithmic, with exactly these ticks."""
    from matplotlib.ticker import NullLocator

    axes.set_xscale("log")
    axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    axes.xaxis.set_minor_locator(NullLocator())


def lines(axes: Axes, series: Mapping[str, tuple[Sequence[float], Sequence[float]]], x: str, y: str) -> None:
    """One line for each name; names that begin with "paper" are dashed."""
    from matplotlib.ticker import MaxNLocator

    for name, (across, up) in series.items():
        theirs = name.startswith("paper")
        axes.plot(across, up, "--" if theirs else "-", marker="o", markersize=4, label=name, alpha=0.6 if theirs else 1)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))  # cells, rows, candidates, images
    axes.set(xlabel=x, ylabel=y)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
