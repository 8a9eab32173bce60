"""Examinations for tests: a folder in, findings by check out, with a curve that nobody had to measure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from spatialspec.budget import Cost
from spatialspec.core.grid import Grid
from spatialspec.doctor import speed as doctor_speed
from spatialspec.doctor.doctor import examine, measure
from spatialspec.doctor.report import Diagnosis, Finding

FLAT = [Cost(budget, 0.01, 1 + budget**0.5) for budget in (0, 4, 8, 16, 32, 64)]  # a wide pass costs what a narrow does


def give_curve(monkeypatch: pytest.MonkeyPatch, costs: Sequence[Cost] = FLAT) -> None:
    """Put figures in the place of measured ones."""
    monkeypatch.setattr(doctor_speed, "costs_here", lambda *_: list(costs))


def diagnose(
    folder: Path, draft: Path | None = None, size: str | None = None, dtype: torch.dtype = torch.float32
) -> Diagnosis:
    """The whole of it."""
    found = examine(folder, folder.name, draft, dtype=dtype, size=None if size is None else Grid.parse(size))
    return measure(found, lambda what, cells: None)


def at_rest(folder: Path, draft: Path | None = None, size: str | None = None) -> list[Finding]:
    """What can be seen before anything is drawn."""
    return examine(folder, folder.name, draft, size=None if size is None else Grid.parse(size)).findings


def named(findings: Sequence[Finding], check: str) -> Finding:
    """The one finding of a check."""
    (found,) = (finding for finding in findings if finding.check == check)
    return found


def faults(findings: Sequence[Finding]) -> list[str]:
    """Checks that are not ok."""
    return [f"{finding.check} {finding.status}" for finding in findings if finding.status != "ok"]
