"""The JSON document of an experiment, from which its page is written. No NaN; null = undefined."""

from __future__ import annotations

from pydantic import Field

from spatialspec.measure.documents import Strict
from spatialspec.measure.results import Settings

Value = str | int | float | None


class Column(Strict):
    """A column of a table.

    Attributes:
        key: of the rows.
        label: heading.
        form: format of values, as in `str.format`.
    """

    key: str
    label: str
    form: str = "{}"

    def show(self, value: Value) -> str:
        """A value as text for the page; "-" if undefined."""
        return "-" if value is None else self.form.format(value)


class Table(Strict):
    """A table; figures of papers are in columns whose key begins with "paper"."""

    caption: str
    columns: list[Column]
    rows: list[dict[str, Value]]


class ClaimResult(Strict):
    """A claim and its result; see `verdict.Claim`.

    Attributes:
        low, high: range that the claim requires of the figure; null for no bound.
        interval: of the figure, 95 %.
        found: one of `verdict.WORDS`.
    """

    text: str
    unit: str
    value: float | None
    interval: tuple[float, float] | None
    low: float | None
    high: float | None
    found: str


class ReproduceSettings(Settings):
    """Settings of an experiment.

    Attributes:
        call: the command line.
        machine: kind of processor.
        quick: whether it was a smoke test.
        seconds: of the whole experiment.
    """

    call: str
    machine: str
    quick: bool
    seconds: float


class ExperimentReport(Strict):
    """One experiment.

    Attributes:
        name, summary, source: of the registry.
        about: the paper's findings.
        verdict: one of `verdict.WORDS`, from the claims.
        claims: in the order of the page.
        tables: figures, the paper's beside ours.
        notes: differences from the paper, and parts that could not be run.
    """

    settings: ReproduceSettings
    name: str
    summary: str
    source: str
    about: str
    verdict: str
    claims: list[ClaimResult]
    tables: list[Table]
    notes: list[str] = Field(default_factory=list)

    def json_text(self) -> str:
        """The document as JSON, with a line break at the end."""
        return self.model_dump_json(indent=2) + "\n"
