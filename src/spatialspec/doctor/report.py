"""The JSON document of `doctor`: checks, what a pass costs here, what to expect of each method, and what to use."""

from __future__ import annotations

from typing import Literal

import torch

from spatialspec.core.errors import BadInput
from spatialspec.measure.documents import JsonDocument, RunSettings, Strict

Status = Literal["ok", "warning", "failed"]
ASK = "check config.json and fetch the folder again; if it stays, report it with this line"
MEMORY = "give --dtype bf16, a smaller --size or another --device"


class Finding(Strict):
    """One check.

    Attributes:
        check: what was looked at.
        status: "ok"; "warning", it works, but not as well as it could; "failed".
        got: what there is.
        expected: what there should be.
        advice: what to do; empty where all is well.
    """

    check: str
    status: Status
    got: str
    expected: str
    advice: str = ""


def ok(check: str, got: str, expected: str) -> Finding:
    """A check that passed."""
    return Finding(check=check, status="ok", got=got, expected=expected)


def warning(check: str, got: str, expected: str, advice: str) -> Finding:
    """A check of something that works, but not as well as it could."""
    return Finding(check=check, status="warning", got=got, expected=expected, advice=advice)


def failed(check: str, got: str, expected: str, advice: str) -> Finding:
    """A check that failed."""
    return Finding(check=check, status="failed", got=got, expected=expected, advice=advice)


class Width(Strict):
    """What a pass of `spatial` costs against its width.

    Attributes:
        budget: drafted cells; a pass scores one more. 0 is AR.
        seconds: of a pass, median.
        cells: committed by a pass, mean.
    """

    budget: int
    seconds: float
    cells: float


class Expectation(Strict):
    """What a whole image takes, going by its first rows.

    Attributes:
        method: as for --method.
        passes: of the target.
        seconds: of drawing its tokens.
        times_as_fast: AR's seconds over these.
        accepted_length: cells committed by a pass that commits, mean.
        measured_cells: first cells of the image that this was measured on.
    """

    method: str
    passes: float
    seconds: float
    times_as_fast: float
    accepted_length: float
    measured_cells: int


class DoctorSettings(RunSettings):
    """What was examined, and where; null where a fault came before it was known."""

    command: str = "doctor"
    draft: str | None
    device: str
    dtype: str
    prompt: str | None = None
    size: str | None = None
    guidance: float | None = None
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    fingerprint: str | None = None


class Diagnosis(JsonDocument):
    """One examination.

    Attributes:
        checks: in the order in which they were made.
        widths: the measured curve; empty where a fault stopped it.
        methods: AR first; empty like the curve.
        advice: which method and budget to use; empty like the curve.
    """

    settings: DoctorSettings
    checks: list[Finding]
    widths: list[Width]
    methods: list[Expectation]
    advice: str

    @property
    def ok(self) -> bool:
        """Whether no check failed."""
        return all(finding.status != "failed" for finding in self.checks)


def from_error(check: str, error: Exception, expected: str) -> Finding:
    """The finding that an error amounts to; a `BadInput` brings its own text, whatever `expected` is."""
    text = " ".join(str(error).split())
    if isinstance(error, torch.OutOfMemoryError):
        return failed(check, f"out of memory: {text}", expected, MEMORY)
    if isinstance(error, BadInput):
        got = f"{error.where}: {error.got}" if error.where else error.got
        return failed(check, got, error.expected, error.advice or ASK)
    return failed(check, f"{type(error).__name__}: {text}", expected, ASK)
