"""The page of an experiment, in Markdown; every figure on it comes from the report."""

from __future__ import annotations

from spatialspec.lab.reproduce.report import ClaimResult, ExperimentReport, Table
from spatialspec.lab.reproduce.verdict import FAILS, HOLDS, LEAST, OPEN


def page(report: ExperimentReport) -> str:
    """The page."""
    parts = [f"# {report.name}: {report.summary}", f"{report.source}. {report.about}", _paragraph(report)]
    parts += [_claims(report)] if report.claims else []
    for table in report.tables:
        parts += [table.caption, markdown(table)]
    parts += [f"![{report.summary}]({report.name}.png)"]
    if report.notes:
        parts += ["\n".join(f"- {note}" for note in report.notes)]
    return "\n\n".join([*parts, _run(report)]) + "\n"


def markdown(table: Table) -> str:
    """A table."""
    lines = ["| " + " | ".join(column.label for column in table.columns) + " |", "|---" * len(table.columns) + "|"]
    lines += ["| " + " | ".join(c.show(row.get(c.key)) for c in table.columns) + " |" for row in table.rows]
    return "\n".join(lines)


def _paragraph(report: ExperimentReport) -> str:
    """The verdict, and the claims that do not hold."""
    parts = [f"**{report.verdict.capitalize()}**: {_count(report, HOLDS)} of {len(report.claims)} claims hold."]
    for verdict, head in ((FAILS, "What does not hold"), (OPEN, "What cannot be told")):
        if claims := [claim.text for claim in report.claims if claim.found == verdict]:
            parts.append(f"{head}: {'; '.join(claims)}.")
    return " ".join(parts)


def _count(report: ExperimentReport, verdict: str) -> int:
    return sum(claim.found == verdict for claim in report.claims)


def _claims(report: ExperimentReport) -> str:
    """Every claim with its figure."""
    lines = ["| claim | found here | 95 % interval | wanted | so it |", "|---|---|---|---|---|"]
    lines += [f"| {' | '.join((c.text, *figure(c), c.found))} |" for c in report.claims]
    return "\n".join(lines)


def figure(claim: ClaimResult) -> tuple[str, str, str]:
    """Figure, interval and the range that the claim requires, as text."""
    value = "-" if claim.value is None else f"{claim.value:+.3g} {claim.unit}".rstrip()
    interval = "-" if claim.interval is None else "{:+.3g} to {:+.3g}".format(*claim.interval)
    return value, interval, _wanted(claim)


def _wanted(claim: ClaimResult) -> str:
    if claim.high is None:
        return f"above {claim.low:g}"
    return f"below {claim.high:g}" if claim.low is None else f"{claim.low:g} to {claim.high:g}"


def _run(report: ExperimentReport) -> str:
    """Command, settings and rule of the verdict."""
    s = report.settings
    prompts = f"{s.prompts} prompt{'' if s.prompts == 1 else 's'}"
    sampling = f"guidance {s.guidance:g}, temperature {s.temperature:g}, top-k {s.top_k}, top-p {s.top_p:g}"
    drafts = f", drafts {s.drafts}" if s.drafts else ""
    what = f"Model {s.model} ({s.identity or s.fingerprint}{drafts}), {s.size} tokens, {sampling}, {s.verifier}"
    machine = f"{s.device} ({s.machine}), {s.dtype}, threads {s.threads}, PyTorch {s.torch}, Python {s.python}"
    rule = (
        "Intervals are over prompts or repeats, widened by Student's t. A claim holds if its whole interval lies where "
        f"it is wanted, does not if it lies elsewhere, and cannot be told otherwise or below {LEAST} of them."
    )
    lines = [
        f"`{s.call}`",
        f"{what}, {prompts}, seed {s.seed}; {machine}, spatialspec {s.version}; {s.seconds / 60:.1f} minutes.",
        rule,
    ]
    if s.quick:
        lines.append("**A quick run: it shows that the experiment works, not what comes out.**")
    return "\n\n".join(lines)
