"""An experiment from its name to its files: `<name>.json`, `<name>.png` and, last, the page `<name>.md`."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from spatialspec.core.errors import BadInput
from spatialspec.io.files import read_config, write_text
from spatialspec.io.outputs import check_output
from spatialspec.lab.reproduce.context import ExperimentContext
from spatialspec.lab.reproduce.page import page
from spatialspec.lab.reproduce.plots import empty_plot, save
from spatialspec.lab.reproduce.registry import EXPERIMENTS, function_of
from spatialspec.lab.reproduce.report import ExperimentReport, ReproduceSettings
from spatialspec.lab.reproduce.verdict import verdict
from spatialspec.measure.bench import describe


def carry_out(
    name: str,
    context: ExperimentContext,
    folder: Path,
    call: str,
    show: Callable[[ExperimentReport], object] = lambda report: None,
) -> ExperimentReport:
    """Run an experiment and write its files, each atomically.

    Args:
        name: key of EXPERIMENTS.
        context: target, drafts, prompts.
        folder: for the files; it exists.
        call: the command line, for the page.
        show: called with the report before anything is written.

    Raises:
        NotInstalled: there is no matplotlib; before anything is computed.
        BadInput: drafts are missing, the target lacks something, or `check_files` refuses to overwrite a file.
    """
    check_files(name, folder, context.quick)
    plot, entry = empty_plot(), EXPERIMENTS[name]
    context = context.with_drafts([]) if entry.folders else context
    context = replace(context, unmeasured=set())  # without entries of other experiments
    run, start = function_of(name), time.perf_counter()
    outcome = run(context)
    settings = ReproduceSettings(
        **describe("reproduce", context.pipeline, context.request).model_dump(),
        call=call,
        machine=platform.machine(),
        quick=context.quick,
        seconds=time.perf_counter() - start,
    )
    report = ExperimentReport(
        settings=settings,
        name=name,
        summary=entry.summary,
        source=entry.source,
        about=outcome.about,
        verdict=verdict(outcome.claims),
        claims=[claim.result for claim in outcome.claims],
        tables=outcome.tables,
        notes=[*outcome.notes, *sorted(context.unmeasured)],
    )
    try:
        show(report)
    finally:  # even if it cannot be shown
        outcome.draw(plot)
        save(plot, folder / f"{name}.png")
        write_text(folder / f"{name}.json", report.json_text())
        write_text(folder / f"{name}.md", page(report))
    return report


def check_files(name: str, folder: Path, quick: bool) -> None:
    """Check that the files of an experiment can be written or replaced.

    Raises:
        BadInput: they cannot be written, one of them is of another origin, or a quick run would replace a full one.
    """
    files = [folder / f"{name}{ending}" for ending in (".json", ".png", ".md")]
    for file in files:
        check_output(file, file.suffix, "--out")
    record, existing = files[0], [file for file in files if file.exists()]
    try:
        earlier = ExperimentReport.model_validate(read_config(record)) if existing else None
    except ValueError as error:  # no record of ours
        got = f"{existing[0]}, not written by `reproduce {name}`"
        raise BadInput(got, "a folder without it", "give another by --out") from error
    if earlier is not None and earlier.name != name:
        raise BadInput(f"{record} of {earlier.name}", f"one of {name}", "give another folder by --out")
    if quick and earlier is not None and not earlier.settings.quick:
        raise BadInput(f"--quick, but {record} is of a full run", "another folder", "give one by --out")
