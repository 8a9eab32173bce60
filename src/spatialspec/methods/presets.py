"""Presets of `spatial`: places on the way from exact to fast. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Preset:
    """A place on the way from exact to fast.

    Attributes:
        values: options of `spatial`.
        passes: target passes for 576 tokens of `icons`, as in docs/results/envelope.json.
        gap: log-likelihood gap there, nats per token; 0 is AR.
    """

    values: Mapping[str, float]
    passes: int
    gap: float


PRESETS = {
    "exact": Preset({"tolerance": 0.0}, 68, 0.02),
    "high": Preset({"front": 0.0, "tolerance": 2.0}, 57, 0.07),
    "balanced": Preset({"front": 0.0, "tolerance": 6.0}, 45, 0.28),
    "fast": Preset({"front": 0.0, "tolerance": 12.0}, 38, 0.69),
}
