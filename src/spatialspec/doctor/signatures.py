"""The failure signatures of Hawk (arXiv 2510.25739), looked for in the first rows of a picture.

| signature | what is measured | seen where |
|---|---|---|
| accepted length | cells kept by a pass that keeps any | it is under 1.5 |
| quality degradation | tokens against AR's of the same seed | they leave AR's without a tie |
| cache underflow | drafted cells behind the first row without a prediction from above | there is one |
| verification dominating | seconds of a pass against AR's, and the cells that it keeps | it costs as many as it keeps |
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from spatialspec.core.noise import Noise
from spatialspec.doctor.report import Expectation, Finding
from spatialspec.doctor.rows import Rows
from spatialspec.doctor.scores import Difference
from spatialspec.generation import Request
from spatialspec.measure.distance import TIE, first_divergence
from spatialspec.methods.hawk import HawkOptions
from spatialspec.methods.method import Method

SHORT = 1.5  # accepted length
DRAFTS = (
    "the drafts do not fit the model or its sampling: train them on its own pictures (`spatialspec train draft "
    "--self-distil`), or use spatial, which needs none"
)
HOT = "guesses are rarely right at this sampling: lower --temperature or --top-k, or raise --budget"
SMALLER = "give --budget auto: passes over many cells are slow here"
SHALLOW = "the guesses are worth less than their cells cost here: use spatial with --budget auto, or ar"
REPORT = "a fault of this library or of the device: try --dtype fp32 --device cpu, and report it if it stays"


def signatures(
    request: Request, ar: Rows, rows: Rows, expected: Expectation, rounding: Difference, vocabulary: int
) -> Iterator[Finding]:
    """Findings on one method, one for each signature that it can have.

    Args:
        request: what was drawn.
        ar: AR's rows, with their scores.
        rows: the method's.
        expected: of it, for a whole picture.
        rounding: how far scores of one cell lie apart by rounding.
        vocabulary: number of image tokens.
    """
    yield _accepted(rows)
    yield check_quality(request, ar, rows, rounding, vocabulary)
    if isinstance(rows.method.options, HawkOptions) and rows.method.options.vertical:
        yield _cache(rows)
    yield _verification(rows.method, expected, request.grid.cells)


def _accepted(rows: Rows) -> Finding:
    seen = rows.accepted_length < SHORT
    return Finding(
        check=f"{rows.method}: accepted length",
        status="warning" if seen else "ok",
        got=f"{rows.accepted_length:.2f} cells a pass in the first {len(rows.tokens)}",
        expected=f"at least {SHORT}",
        advice=(DRAFTS if rows.method.drafts else HOT) if seen else "",
    )


def check_quality(request: Request, ar: Rows, rows: Rows, rounding: Difference, vocabulary: int) -> Finding:
    """Tokens are AR's, or leave them where rounding decides; arguments as for `signatures`."""
    check, expected = f"{rows.method}: quality", "AR's very tokens, or a tie where they part"
    most = min(len(ar.logits), len(rows.tokens))
    cell = first_divergence(ar.tokens[:most], rows.tokens[:most])
    if cell is None:
        return Finding(check=check, status="ok", got=f"AR's tokens in {most} cells", expected=expected)
    lead, doubt = _lead(request, ar, cell, vocabulary), doubtful(request, rounding)
    got = (
        f"another token than AR in cell {cell}, where AR's best leads by {lead:.1e}; rounding here is up to {doubt:.1e}"
    )
    tie = lead <= doubt
    return Finding(check=check, status="ok" if tie else "failed", got=got, expected=expected,
                   advice="" if tie else f"quality degradation: {REPORT}")  # fmt: skip


def doubtful(request: Request, rounding: Difference) -> float:
    """How far the best of log p + g may lead and still lose by rounding: guidance and temperature make it larger."""
    sampling = request.sampling
    weights = sampling.guidance + abs(sampling.guidance - 1) if sampling.streams == 2 else 1.0
    return max(TIE, 2 * weights * rounding.worst / (sampling.temperature or 1.0))


def _lead(request: Request, ar: Rows, cell: int, vocabulary: int) -> float:
    """By how much AR's token beats the next one, in log p + g; at temperature 0 in log p."""
    logits, sampling = ar.logits[cell], request.sampling
    if sampling.greedy:
        best = replace(sampling.unfiltered, temperature=1.0).distribution(logits).log()
    else:
        noise = Noise(request.seeds[0], request.grid.cells, vocabulary, logits.device)
        best = sampling.distribution(logits).log() + noise.gumbel([cell])[0]
    first, second = best.topk(2).values.tolist()
    return float(first - second)


def _cache(rows: Rows) -> Finding:
    seen = rows.uncovered > 0
    return Finding(
        check=f"{rows.method}: vertical cache",
        status="warning" if seen else "ok",
        got=f"{rows.uncovered} of {rows.below} cells behind the first row had no prediction from above",
        expected="none of them",
        advice="cache underflow: the picture is narrower than the tree is deep, or there are too few vertical heads; "
        "give hawk:depth=1, or medusa, which looks to the left only"
        if seen
        else "",
    )


def _verification(method: Method, expected: Expectation, cells: int) -> Finding:
    kept = cells / expected.passes
    seen = expected.times_as_fast <= 1
    return Finding(
        check=f"{expected.method}: verification",
        status="warning" if seen else "ok",
        got=f"a pass takes as long as {kept / expected.times_as_fast:.2f} of AR's and keeps {kept:.2f} cells",
        expected="more cells than that",
        advice=f"verification dominates: {SHALLOW if method.drafts else SMALLER}" if seen else "",
    )
