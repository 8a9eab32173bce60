"""What `doctor` found: checks, what a pass costs here, what to expect of each method, and what to use."""

from __future__ import annotations

import platform
from collections.abc import Callable
from typing import Literal, TypeVar

import torch

from spatialspec import __version__
from spatialspec.core.errors import BadInput
from spatialspec.measure.results import Strict

T = TypeVar("T")
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


class Width(Strict):
    """What a pass of `spatial` costs against its width.

    Attributes:
        budget: drafted cells; a pass scores one more. 0 is AR.
        seconds: of a pass, median.
        cells: kept by a pass, mean.
    """

    budget: int
    seconds: float
    cells: float


class Expectation(Strict):
    """What a whole picture takes, going by its first rows.

    Attributes:
        method: as for --method.
        passes: of the target.
        seconds: of drawing its tokens.
        times_as_fast: AR's seconds over these.
        accepted_length: cells kept by a pass that keeps any, mean.
        measured_cells: first cells of the picture that this was measured on.
    """

    method: str
    passes: float
    seconds: float
    times_as_fast: float
    accepted_length: float
    measured_cells: int


class Asked(Strict):
    """What was examined, and where; null where a fault came before it was known."""

    command: str = "doctor"
    model: str
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
    version: str = __version__
    torch: str = torch.__version__
    python: str = platform.python_version()
    threads: int


class Diagnosis(Strict):
    """One examination.

    Attributes:
        checks: in the order in which they were made.
        widths: the measured curve; empty where a fault stopped it.
        methods: AR first; empty like the curve.
        advice: which method and budget to use; empty like the curve.
    """

    settings: Asked
    checks: list[Finding]
    widths: list[Width]
    methods: list[Expectation]
    advice: str

    @property
    def ok(self) -> bool:
        """Whether no check failed."""
        return all(finding.status != "failed" for finding in self.checks)

    def json_text(self) -> str:
        """The document as JSON, with a line break at the end."""
        return self.model_dump_json(indent=2) + "\n"


def from_error(check: str, error: Exception, expected: str) -> Finding:
    """The finding that an error is; errors of the library say themselves what was got, expected and is to be done."""
    text = " ".join(str(error).split())
    if isinstance(error, torch.OutOfMemoryError):
        return Finding(check=check, status="failed", got=f"out of memory: {text}", expected=expected, advice=MEMORY)
    if isinstance(error, BadInput):
        got = f"{error.where}: {error.got}" if error.where else error.got
        return Finding(check=check, status="failed", got=got, expected=error.expected, advice=error.advice or ASK)
    return Finding(check=check, status="failed", got=f"{type(error).__name__}: {text}", expected=expected, advice=ASK)


def attempt(add: Callable[[Finding], object], check: str, expected: str, run: Callable[[], T]) -> T | None:
    """Run a check; whatever it raises is a finding too, for what is examined may be broken in any way.

    Args:
        add: takes that finding.
        check: what is looked at.
        expected: what should be found.
        run: the check.

    Returns:
        What it returns; None where it raised.
    """
    try:
        return run()
    except Exception as error:
        add(from_error(check, error, expected))
        return None
