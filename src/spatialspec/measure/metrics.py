"""The metrics of `bench` and `generate`: figures of a method over the images of a run.

A metric is one entry of :class:`MethodResult`: key, type, computation, heading, format and meaning. Tables and JSON of
`bench` and `generate` follow from these entries.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean, median
from typing import Any

import torch
from pydantic import Field

from spatialspec import __version__
from spatialspec.measure.distance import Cells, Distance, distance, explained, measure
from spatialspec.measure.documents import Strict, dtype_name, quartiles
from spatialspec.measure.runs import Sample
from spatialspec.methods.method import Method
from spatialspec.pipeline import SpatialPipeline
from spatialspec.request import Request


@dataclass(frozen=True)
class MethodRun:
    """The images of one method, which metrics are computed from.

    Attributes:
        pipeline: that drew the images.
        method: that drew the images.
        request: of the run.
        samples: the method's images.
        reference: AR's, in the same order; None if AR did not run.
    """

    pipeline: SpatialPipeline
    method: Method
    request: Request
    samples: Sequence[Sample]
    reference: Sequence[Sample] | None

    @cached_property
    def seconds(self) -> list[float]:
        """Seconds of every image."""
        return [sample.report.seconds for sample in self.samples]

    @cached_property
    def pairs(self) -> list[tuple[Sample, Sample]]:
        """AR's image and the method's, for each prompt and seed; none without AR."""
        return [] if self.reference is None else list(zip(self.reference, self.samples, strict=True))

    @cached_property
    def cells(self) -> list[Cells | None]:
        """Figures of every cell of each image; None at temperature 0."""
        return [measure(self.pipeline.target, sample.drawn) for sample in self.samples]

    @cached_property
    def distance(self) -> Distance | None:
        """Distance of the images from AR; None at temperature 0."""
        return distance(self.cells)

    def stages(self) -> dict[str, float]:
        """Median seconds per image of every stage."""
        each = [sample.report.stages for sample in self.samples]
        return {stage: median(stages[stage] for stages in each) for stage in each[0]}

    @property
    def seed_exact(self) -> bool:
        """Whether the tokens equal AR's for the same seed."""
        return self.method.seed_exact(self.request.verifier)

    def mean(self, figure: str) -> float:
        """Mean over images of a figure of their reports."""
        return fmean(getattr(sample.report, figure) for sample in self.samples)

    def ratios(self, figure: str) -> list[float]:
        """AR's value over the method's of a figure of the reports, image by image."""
        return [getattr(ar.report, figure) / getattr(other.report, figure) for ar, other in self.pairs]

    def equal_tokens(self) -> float | None:
        """Share of cells that equal AR's; None without AR."""
        pairs = [zip(ar.drawn.tokens, other.drawn.tokens, strict=True) for ar, other in self.pairs]
        return fmean(a == b for cells in pairs for a, b in cells) if pairs else None

    def unexplained(self) -> int | None:
        """Images that differ from AR's other than after a tie; None unless the method is seed-exact and in fp32."""
        if not self.pairs or not self.seed_exact or self.pipeline.target.dtype != torch.float32:
            return None
        return sum(not explained(self.pipeline.target, ar.drawn, other.drawn.tokens) for ar, other in self.pairs)

    def peak_memory(self) -> int | None:
        """Peak memory in bytes over all images; None if the system does not count it."""
        return max((sample.peak for sample in self.samples if sample.peak is not None), default=None)


COST, AGAINST_AR, DISTANCE = "cost", "against AR", "distance"  # tables
GAP = "gap: log-likelihood gap, mean of -log p(token) minus the entropy of p, nats per token; AR: 0"
KS = "pit ks: Kolmogorov-Smirnov distance of the probability integral transform (PIT) from uniform; AR: 0 up to noise"


@dataclass(frozen=True)
class Metric:
    """How a figure of a method is computed and shown.

    Attributes:
        compute: the figure from the images; None is undefined.
        table: the table that has it as a column, COST, AGAINST_AR or DISTANCE; "" for none.
        heading: of the column.
        form: a format, or a function of the value.
        note: line under the table that defines the heading; "" if the heading is clear.
    """

    compute: Callable[[MethodRun], Any]
    table: str = ""
    heading: str = ""
    form: str | Callable[[Any], str] = "{}"
    note: str = ""

    def text(self, value: Any) -> str:
        """A value as a table shows it."""
        if value is None:
            return "-"
        return self.form.format(value) if isinstance(self.form, str) else self.form(value)


def metric(compute: Callable[[MethodRun], Any], *shown: Any, **default: Any) -> Any:
    """A field of :class:`MethodResult`; arguments as for :class:`Metric`, and a default for records of 0.1.0."""
    return Field(json_schema_extra={"metric": Metric(compute, *shown)}, **default)  # type: ignore[dict-item]


def _middle(values: list[float]) -> float | None:
    return median(values) if values else None


class MethodResult(Strict):
    """Figures of one method over the images of a run; null is undefined."""

    method: str = metric(lambda m: str(m.method), COST, "method")
    """Name and options, as typed."""
    verifier: str = metric(lambda m: m.method.rule_under(m.request.verifier))
    """"coupled" or "rejection", as used."""
    exact: bool = metric(lambda m: m.method.exact, COST, "exact", lambda exact: "yes" if exact else "no")
    """The distribution of the image is the target's."""
    seed_exact: bool = metric(lambda m: m.seed_exact)
    """The tokens equal AR's for the same seed."""
    images: int = metric(lambda m: len(m.samples))
    """Number of images."""
    target_passes: float = metric(lambda m: m.mean("target_passes"), COST, "passes", "{:.1f}")
    """Forward calls of the target, including the prefill; mean per image."""
    tokens_per_pass: float = metric(lambda m: m.mean("tokens_per_pass"), COST, "tokens/pass", "{:.2f}")
    """Cells scored per pass, mean."""
    accepted_length: float = metric(lambda m: m.mean("accepted_length"), COST, "accepted", "{:.3f}")
    """Cells committed per pass that commits, mean; AR: 1."""
    seconds: float = metric(lambda m: median(m.seconds), COST, "seconds", "{:.2f}")
    """Prefill and decoding of tokens, median per image; then its range and quartiles."""
    seconds_min: float = metric(lambda m: min(m.seconds))
    seconds_max: float = metric(lambda m: max(m.seconds))
    seconds_quartiles: tuple[float, float] = metric(lambda m: quartiles(m.seconds))
    stages: dict[str, float] = metric(MethodRun.stages, default_factory=dict)
    """Seconds of every stage, median per image; see `Clock`."""
    draft_passes: float = metric(lambda m: m.mean("draft_passes"), default=0.0)
    """Forward calls of the draft model, mean per image; 0 without one, as the next two."""
    draft_slots: float = metric(lambda m: m.mean("draft_slots"), default=0.0)
    """Cells scored per call of it, mean."""
    draft_seconds: float = metric(lambda m: median(s.report.draft_seconds for s in m.samples), default=0.0)
    """Of the stage "draft", what these calls took, median per image."""
    speedup_passes: float | None = metric(
        lambda m: _middle(m.ratios("target_passes")), AGAINST_AR, "x passes", "{:.2f}"
    )
    """AR's passes over this method's, image by image: the median; null without AR, as the next three."""
    speedup_seconds: float | None = metric(lambda m: _middle(m.ratios("seconds")), AGAINST_AR, "x time", "{:.2f}")
    """The same of seconds; then its quartiles."""
    speedup_seconds_quartiles: tuple[float, float] | None = metric(
        lambda m: quartiles(m.ratios("seconds")) if m.pairs else None
    )
    same_tokens_as_ar: float | None = metric(MethodRun.equal_tokens, AGAINST_AR, "same as AR", "{:.1%}")
    """Share of cells equal to AR's under the same seed."""
    unexplained_divergences: int | None = metric(MethodRun.unexplained, DISTANCE, "unexplained")
    """Images that differ from AR's other than after a tie; null unless seed-exact, in fp32, with AR."""
    likelihood_gap: float | None = metric(
        lambda m: m.distance and m.distance.likelihood_gap, DISTANCE, "gap", "{:+.4f}", GAP
    )
    """See `Distance`; null at temperature 0, as the next two."""
    entropy: float | None = metric(lambda m: m.distance and m.distance.entropy, DISTANCE, "entropy", "{:.4f}")
    pit_ks: float | None = metric(lambda m: m.distance and m.distance.pit_ks, DISTANCE, "pit ks", "{:.4f}", KS)
    peak_memory_bytes: int | None = metric(
        MethodRun.peak_memory, DISTANCE, "peak MB", lambda count: f"{count / 1e6:.0f}"
    )
    """Peak memory while an image was drawn; null if the system does not count it."""
    device: str = metric(lambda m: str(m.pipeline.target.device))
    engine: str = metric(lambda m: getattr(m.pipeline.target, "engine", ""), default="")
    dtype: str = metric(lambda m: dtype_name(m.pipeline.target.dtype))
    version: str = metric(lambda m: __version__)


METRICS: dict[str, Metric] = {
    key: field.json_schema_extra["metric"]  # type: ignore[index, misc]
    for key, field in MethodResult.model_fields.items()
}


def summarise(run: MethodRun) -> MethodResult:
    """Every metric of one method."""
    return MethodResult(**{key: one.compute(run) for key, one in METRICS.items()})


def columns(*tables: str) -> list[tuple[str, Callable[[MethodResult], str]]]:
    """Columns of these tables: heading, and text of a result."""
    return [
        (one.heading, lambda result, key=key: METRICS[key].text(getattr(result, key)))  # type: ignore[misc]
        for key, one in METRICS.items()
        if one.table in tables
    ]


def notes(*tables: str) -> list[str]:
    """Lines that define the headings of these tables."""
    return [one.note for one in METRICS.values() if one.table in tables and one.note]
