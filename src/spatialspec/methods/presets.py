"""Presets of `spatial` from exact to fast, and the dials `quality`, `tolerance` and `budget`. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from spatialspec.core.errors import BadInput, shown
from spatialspec.methods.method import Method


@dataclass(frozen=True)
class Preset:
    """One preset.

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
AUTO = "auto"  # the budget that is measured


def dialled(
    methods: Sequence[Method], quality: object = None, tolerance: object = None, budget: object = None, dashes: str = ""
) -> list[Method]:
    """Apply the dials of a call to methods; an option given in the method itself takes precedence.

    Args:
        methods: at least one.
        quality: name of a preset; a tolerance or a budget beside it overrides that of the preset.
        tolerance: score gap; see the option of `spatial`.
        budget: drafted nodes of a pass; AUTO is measured later.
        dashes: before a dial's name in messages.

    Raises:
        BadInput: an unknown preset, a value that is not allowed, or a dial that none of the methods has.
    """
    if quality is not None and (not isinstance(quality, str) or quality not in PRESETS):
        raise BadInput(f"{dashes}quality {shown(quality)}", f"one of {', '.join(PRESETS)}")
    names, changed = ", ".join(map(str, methods)), list(methods)
    measured = isinstance(budget, str) and budget == AUTO
    if measured and not any(method.has("budget") for method in methods):
        raise BadInput(f"{dashes}budget auto for {names}", "a method with a budget", "try spatial")
    dials = {"budget": None if measured else budget, "tolerance": tolerance}
    typed = {name: value for name, value in dials.items() if value is not None}
    preset: Mapping[str, Any] = PRESETS[quality].values if isinstance(quality, str) else {}
    for name, value in {**preset, **typed}.items():
        if not any(method.has(name) for method in methods):
            dial = f"{name} {shown(value)}" if name in typed else f"quality {quality}"
            raise BadInput(f"{dashes}{dial} for {names}", "a method with that", "try spatial")
        changed = [method.with_default(name, value) for method in changed]
    return changed
