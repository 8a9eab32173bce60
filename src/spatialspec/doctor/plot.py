"""Plot of the curve: milliseconds of a pass against the cells that it scores, with the limit of the bandwidth."""

from __future__ import annotations

from typing import Any

from spatialspec.doctor.report import Diagnosis


def draw_curve(axes: Any, diagnosis: Diagnosis) -> None:
    """Draw it on axes of matplotlib, which the caller has; empty where nothing was measured."""
    s, widths, limit = diagnosis.settings, diagnosis.widths, diagnosis.limit
    axes.plot([w.budget + 1 for w in widths], [1000 * w.seconds for w in widths], marker="o", label="spatial; 1 is AR")
    if limit is not None:
        axes.axhline(1000 * limit.seconds, color="grey", linestyle="--", label="reading the weights once")
    axes.set(xlabel="cells scored", ylabel="ms a pass", title=f"{s.model} on {s.device}, {s.dtype}")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend()
