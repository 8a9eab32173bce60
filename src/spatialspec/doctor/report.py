"""The JSON document of `doctor`: checks, cost of a pass, expectation of each method, and advice."""

from __future__ import annotations

from typing import Literal

import torch

from spatialspec.core.errors import BadInput
from spatialspec.measure.documents import JsonDocument, RunSettings, Strict

Status = Literal["ok", "warning", "failed"]
ASK = "check config.json and fetch the folder again; if that does not help, report it with this line"
MEMORY = "give --dtype bf16, a smaller --size or another --device"


class Finding(Strict):
    """One check.

    Attributes:
        check: name of the check.
        status: "ok"; "warning", for something that works but could be better; "failed".
        got: state found.
        expected: state expected.
        advice: how to fix it; empty if ok.
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
    """A check of something that works but could be better."""
    return Finding(check=check, status="warning", got=got, expected=expected, advice=advice)


def failed(check: str, got: str, expected: str, advice: str) -> Finding:
    """A check that failed."""
    return Finding(check=check, status="failed", got=got, expected=expected, advice=advice)


class Width(Strict):
    """Cost of a pass of `spatial` with one budget.

    Attributes:
        budget: drafted cells; a pass scores one more. 0 is AR.
        seconds: of a pass, median.
        cells: committed by a pass, mean.
    """

    budget: int
    seconds: float
    cells: float


class PassLimit(Strict):
    """How far a pass of AR is from the least that it can take: reading its weights once.

    Attributes:
        weights: bytes of weights that a pass reads.
        bandwidth: bytes per second, of a copy on this device.
        seconds: weights / bandwidth.
        pass_seconds: of a pass of AR in the short runs, from its inputs to the arrival of its output, median.
        loop_seconds: of the same pass with the work beside it.
        times: pass_seconds / seconds; below 1 where weights stay in a cache of the processor.
    """

    weights: int
    bandwidth: float
    seconds: float
    pass_seconds: float
    loop_seconds: float
    times: float


class Expectation(Strict):
    """Estimated cost of a whole image, from its first rows.

    Attributes:
        method: as for --method.
        passes: of the target.
        seconds: to draw its tokens.
        times_as_fast: AR's seconds divided by these.
        accepted_length: cells committed by a pass that commits, mean.
        measured_cells: number of first cells that were measured.
    """

    method: str
    passes: float
    seconds: float
    times_as_fast: float
    accepted_length: float
    measured_cells: int


class DoctorSettings(RunSettings):
    """Model and machine of an examination; null for what a fault left unknown."""

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
        limit: of a pass; null like the curve, or where no weights are read.
        methods: AR first; empty like the curve.
        advice: which method and budget to use; empty like the curve.
    """

    settings: DoctorSettings
    checks: list[Finding]
    widths: list[Width]
    limit: PassLimit | None
    methods: list[Expectation]
    advice: str

    @property
    def ok(self) -> bool:
        """Whether no check failed."""
        return all(finding.status != "failed" for finding in self.checks)


def from_error(check: str, error: Exception, expected: str) -> Finding:
    """The finding of an error; the text of a `BadInput` replaces `expected`."""
    text = " ".join(str(error).split())
    if isinstance(error, torch.OutOfMemoryError):
        return failed(check, f"out of memory: {text}", expected, MEMORY)
    if isinstance(error, BadInput):
        got = f"{error.where}: {error.got}" if error.where else error.got
        return failed(check, got, error.expected, error.advice or ASK)
    return failed(check, f"{type(error).__name__}: {text}", expected, ASK)
