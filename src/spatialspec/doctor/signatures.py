"""Checks of the first rows of an image for Hawk's failure signatures (arXiv 2510.25739).

| signature | metric | condition |
|---|---|---|
| accepted length | cells committed by a pass that commits any | less than 1.5 |
| quality degradation | tokens against AR's for the same seed | they differ without a tie |
| cache underflow | drafted cells behind the first row without a prediction from above | at least one |
| verification dominating | seconds of a pass over AR's, and cells it commits | the former is not smaller |
"""

from __future__ import annotations

from collections.abc import Iterator

from spatialspec.doctor.report import Expectation, Finding, failed, ok, warning
from spatialspec.doctor.rows import Rows
from spatialspec.doctor.scores import ScoreDifference
from spatialspec.measure.distance import TIE, first_divergence, lead
from spatialspec.methods.method import Method
from spatialspec.request import Request

SHORT = 1.5  # accepted length
DRAFTS = (
    "the drafts do not fit the model or its sampling: train them on its own images (`spatialspec train draft "
    "--self-distil`), or use spatial, which needs none"
)
HOT = "guesses are rarely right at this sampling: lower --temperature or --top-k, or raise --budget"
SMALLER = "give --budget auto: passes over many cells are slow here"
SHALLOW = "the guesses are worth less than their cells cost here: use spatial with --budget auto, or ar"
UNDERFLOW = (
    "cache underflow: the image is narrower than the tree is deep, or there are too few vertical heads; give "
    "hawk:depth=1, or medusa, which looks to the left only"
)
REPORT = "a fault of this library or of the device: try --dtype fp32 --device cpu, and report it if that does not help"


def signatures(
    request: Request, ar: Rows, rows: Rows, expected: Expectation, rounding: ScoreDifference
) -> Iterator[Finding]:
    """Findings on one method, one for each signature that it can have.

    Args:
        request: of the image.
        ar: AR's rows, with their scores.
        rows: rows of the method.
        expected: estimate of the method for a whole image.
        rounding: differences of scores by rounding.
    """
    yield check_accepted(rows)
    yield check_quality(request, ar, rows, rounding)
    if rows.uncovered < rows.below:  # a method that drafts from above
        yield check_cache(rows)
    yield check_verification(rows.method, expected, rows.cells)


def check_accepted(rows: Rows) -> Finding:
    """Check the mean number of cells of a pass that commits."""
    check, expected = f"{rows.method}: accepted length", f"at least {SHORT}"
    got = f"{rows.accepted_length:.2f} cells a pass in the first {len(rows.tokens)}"
    if rows.accepted_length < SHORT:
        return warning(check, got, expected, DRAFTS if rows.method.drafts else HOT)
    return ok(check, got, expected)


def check_quality(request: Request, ar: Rows, rows: Rows, rounding: ScoreDifference) -> Finding:
    """Check that tokens are AR's, or that rounding explains the first difference; arguments as for `signatures`."""
    check, expected = f"{rows.method}: quality", "AR's tokens, or a tie where they first differ"
    most = min(len(ar.logits), len(rows.tokens))
    cell = first_divergence(ar.tokens[:most], rows.tokens[:most])
    if cell is None:
        return ok(check, f"AR's tokens in {most} cells", expected)
    ahead = lead(ar.logits[cell], request.sampling, ar.cells, request.seeds[0], cell)
    doubt = doubtful(request, rounding)
    got = f"another token than AR in cell {cell}, where AR's best leads by {ahead:.1e}; rounding is up to {doubt:.1e}"
    if ahead > doubt:
        return failed(check, got, expected, f"quality degradation: {REPORT}")
    return ok(check, got, expected)


def doubtful(request: Request, rounding: ScoreDifference) -> float:
    """Largest lead of the best log p + g that rounding may reverse; guidance and temperature scale it."""
    sampling = request.sampling
    weights = sampling.guidance + abs(sampling.guidance - 1) if sampling.streams == 2 else 1.0
    return max(TIE, 2 * weights * rounding.worst / (sampling.temperature or 1.0))


def check_cache(rows: Rows) -> Finding:
    """Check that every drafted cell behind the first row has a candidate from above."""
    check, expected = f"{rows.method}: vertical cache", "none of them"
    got = f"{rows.uncovered} of {rows.below} cells behind the first row had no prediction from above"
    return warning(check, got, expected, UNDERFLOW) if rows.uncovered else ok(check, got, expected)


def check_verification(method: Method, expected: Expectation, cells: int) -> Finding:
    """Check that a pass commits more cells than AR in the same time."""
    check, committed = f"{expected.method}: verification", cells / expected.passes
    got = f"a pass takes as long as {committed / expected.times_as_fast:.2f} of AR's and commits {committed:.2f} cells"
    if expected.times_as_fast <= 1:
        advice = f"verification dominates: {SHALLOW if method.drafts else SMALLER}"
        return warning(check, got, "more cells than that", advice)
    return ok(check, got, "more cells than that")
