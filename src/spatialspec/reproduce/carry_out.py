"""An experiment from its name to its files: `<name>.json`, `<name>.png` and, last, the page `<name>.md`."""

from __future__ import annotations

import json
import os
import platform
import time
from dataclasses import replace
from importlib import import_module
from pathlib import Path

from spatialspec.core.errors import BadInput
from spatialspec.evaluation.bench import describe
from spatialspec.files import write_text
from spatialspec.reproduce.lab import Lab, Outcome
from spatialspec.reproduce.page import page
from spatialspec.reproduce.plots import empty_plot, save
from spatialspec.reproduce.registry import EXPERIMENTS
from spatialspec.reproduce.report import Report, ReproduceSettings
from spatialspec.reproduce.verdict import verdict


def carry_out(name: str, lab: Lab, folder: Path, call: str) -> Report:
    """Run an experiment and write its files, each whole or not at all.

    Args:
        name: key of EXPERIMENTS.
        lab: target, drafts, prompts.
        folder: for the files; it exists.
        call: the command line, for the page.

    Raises:
        ImportError: there is no matplotlib; before anything is computed.
        BadInput: drafts are missing, the target does not hand out what is needed, or a quick run would overwrite a
            full one.
    """
    check_folder(name, folder, lab.quick)
    plot, entry = empty_plot(), EXPERIMENTS[name]
    lab = replace(lab.with_drafts([]) if entry.folders else lab, unmeasured=set())  # nothing of another experiment's
    module, _, function = entry.where.partition(":")
    start = time.perf_counter()
    outcome: Outcome = getattr(import_module(module), function)(lab)
    settings = ReproduceSettings(
        **describe("reproduce", lab.pipeline, lab.workload).model_dump(),
        call=call,
        machine=platform.machine(),
        quick=lab.quick,
        seconds=time.perf_counter() - start,
    )
    report = Report(
        settings=settings,
        name=name,
        summary=entry.summary,
        source=entry.source,
        about=outcome.about,
        verdict=verdict(outcome.claims),
        claims=[claim.result for claim in outcome.claims],
        tables=outcome.tables,
        notes=[*outcome.notes, *sorted(lab.unmeasured)],
    )
    outcome.draw(plot)
    save(plot, folder / f"{name}.png")
    write_text(folder / f"{name}.json", report.json_text())
    write_text(folder / f"{name}.md", page(report))
    return report


def check_folder(name: str, folder: Path, quick: bool) -> None:
    """Find out whether files may be written.

    Raises:
        BadInput: no such folder, no right to write, or a full run lies where a quick one would.
    """
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise BadInput(f"--out {folder}", "a folder to write to", "choose another")
    record = folder / f"{name}.json"
    if quick and record.is_file() and not _is_quick(record):
        raise BadInput(f"--quick, but {record} is of a full run", "another folder", "give one by --out")


def _is_quick(record: Path) -> bool:
    try:
        return bool(json.loads(record.read_text())["settings"]["quick"])
    except (ValueError, KeyError, TypeError):
        return False
