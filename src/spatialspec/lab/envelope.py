"""Passes against distance from AR, for any methods and any model: which settings no other beats, and a plot of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from spatialspec.core.errors import BadInput
from spatialspec.lab.reproduce.plots import OURS, empty_plot, save
from spatialspec.measure.metrics import MethodResult
from spatialspec.measure.results import Document

LABELS = ("|likelihood gap|, nats", "pit ks", "|entropy - AR's|, nats")
Distances = tuple[float, float, float]


def draw_envelope(document: Document, path: Path) -> list[str]:
    """Plot one panel for each distance: methods by name, and the lower envelope of all of them.

    Args:
        document: of `bench`, with AR among its methods, not at temperature 0.
        path: PNG file.

    Returns:
        Methods on the envelope of all three distances: none has at most as many passes and is no further from AR.

    Raises:
        BadInput: AR or a distance is missing.
        OSError: the file could not be written.
    """
    ar = next((row for row in document.methods if row.method == "ar"), None)
    if ar is None or ar.likelihood_gap is None:
        raise BadInput("no distances from AR", "ar among the methods, and a temperature above 0", "")
    points = {row.method: (row.target_passes, distances(row, ar)) for row in document.methods}
    figure = empty_plot()
    figure.set_size_inches(15, 4.8)
    families = dict.fromkeys(name.partition(":")[0] for name in points if name != "ar")
    panels = figure.subplots(1, len(LABELS), sharex=True)
    for which, (panel, label) in enumerate(zip(panels, LABELS, strict=True)):
        for family in families:
            own = sorted((x, far[which]) for name, (x, far) in points.items() if name.partition(":")[0] == family)
            panel.plot([x for x, _ in own], [y for _, y in own], "o--", markersize=4, alpha=0.8, label=family)
        lowest = hull([(x, far[which]) for x, far in points.values()])
        panel.step(*zip(*lowest, strict=True), where="post", color=OURS, linewidth=2, label="lower envelope")
        panel.axhline(noise(ar)[which], color="grey", linestyle=":", label="AR's own: noise")
        panel.set(xlabel="target passes of an image", ylabel=label, xscale="log", ylim=(0, None))
        panel.grid(alpha=0.3)
    s = document.settings
    figure.suptitle(f"{s.model}, {s.prompts} prompts, {s.size}, guidance {s.guidance:g}, temperature {s.temperature:g}")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=6)
    save(figure, path)
    return on_envelope({name: (x, *far) for name, (x, far) in points.items()}, noise(ar))


def distances(row: MethodResult, ar: MethodResult) -> Distances:
    """How far a method is from AR, in three ways, each at least 0."""
    figures = row.likelihood_gap, row.pit_ks, row.entropy, ar.entropy
    gap, ks, entropy, plain = (0.0 if value is None else value for value in figures)
    return abs(gap), ks, abs(entropy - plain)


def noise(ar: MethodResult) -> Distances:
    """How far AR itself is in this run, by chance; an entropy is uncertain by as many nats as the gap."""
    gap = abs(ar.likelihood_gap or 0.0)
    return gap, ar.pit_ks or 0.0, gap


def hull(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Lower hull of (passes, distance): no other point has at most as many passes and a smaller distance."""
    lowest: list[tuple[float, float]] = []
    for point in sorted(points):
        if not lowest or point[1] < lowest[-1][1]:
            lowest.append(point)
    return lowest


def on_envelope(points: dict[str, tuple[float, ...]], least: Distances) -> list[str]:
    """Names of points that no other beats in a figure without being worse in another; distances up to `least` are 0."""
    seen = {
        name: (x, *(0.0 if d <= most else d for d, most in zip(far, least, strict=True)))
        for name, (x, *far) in points.items()
    }

    def beaten(own: tuple[float, ...]) -> bool:
        return any(o != own and all(a <= b for a, b in zip(o, own, strict=True)) for o in seen.values())

    return [name for name, own in seen.items() if not beaten(own)]
