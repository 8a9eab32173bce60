"""`doctor`: checks a model, from its files to its speed on this machine. Every fault is a finding, not an error.

`examine` checks the files and the loaded model. `measure` draws AR's first rows, compares other passes with them,
measures the curve of `--budget auto` and the bandwidth of memory, and draws the same rows with each method.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

import torch

from spatialspec.core.grid import Grid
from spatialspec.core.interfaces import Target
from spatialspec.core.progress import Progress
from spatialspec.doctor import target as at_rest
from spatialspec.doctor.drafts import check_drafts
from spatialspec.doctor.files import ModelFolder, check_files, numbers, open_folder
from spatialspec.doctor.report import Diagnosis, DoctorSettings, Expectation, Finding, PassLimit, Width, from_error, ok
from spatialspec.doctor.rows import Rows, draw_rows
from spatialspec.doctor.scores import check_ar, check_scores, compare
from spatialspec.doctor.signatures import signatures
from spatialspec.doctor.speed import AR, advise, curve, expectations, limit, run_interleaved, short
from spatialspec.measure.documents import dtype_name
from spatialspec.methods.method import Method
from spatialspec.methods.network import DraftNetwork
from spatialspec.pipeline import SpatialPipeline
from spatialspec.request import Request
from spatialspec.targets.loading import load_target

T = TypeVar("T")


class Stopped(Exception):
    """A check failed that all further checks need."""


@dataclass
class Measurements:
    """What a diagnosis says of speed; see :class:`Diagnosis`."""

    widths: list[Width] = field(default_factory=list)
    limit: PassLimit | None = None
    methods: list[Expectation] = field(default_factory=list)


@dataclass
class Examination:
    """State of an examination.

    Attributes:
        settings: model and machine.
        tell: called with every finding at once.
        findings: in the order of the checks.
        pipeline: with usable drafts; None if the model cannot be loaded.
        request: one image; None if none can be drawn.
    """

    settings: DoctorSettings
    tell: Callable[[Finding], object] = lambda finding: None
    findings: list[Finding] = field(default_factory=list)
    pipeline: SpatialPipeline | None = None
    request: Request | None = None

    def add(self, finding: Finding) -> None:
        """Add a finding."""
        self.findings.append(finding)
        self.tell(finding)

    def require(self, check: str, expected: str, run: Callable[[], T]) -> T:
        """Run a step that all further steps need, and return its result.

        Raises:
            Stopped: the step raised; its error is added as a finding.
        """
        try:
            return run()
        except Exception as error:  # what is examined may be broken in any way
            self.add(from_error(check, error, expected))
            raise Stopped from error

    def look(self, check: str, expected: str, run: Callable[[], Iterable[Finding]]) -> None:
        """Add the findings of a check; an error that it raises is a finding too."""

        def add_all() -> None:
            for finding in run():
                self.add(finding)

        with suppress(Stopped):
            self.require(check, expected, add_all)

    @property
    def sound(self) -> bool:
        """Whether no check failed so far."""
        return all(finding.status != "failed" for finding in self.findings)


def examine(
    path: Path,
    name: str,
    draft: Path | None = None,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
    size: Grid | None = None,
    tell: Callable[[Finding], object] = lambda finding: None,
) -> Examination:
    """Check a folder, load the model, and check it; no image is drawn.

    Args:
        path: folder of the model.
        name: of the model, for the report.
        draft: folder of drafts, or of folders of drafts.
        device: of PyTorch.
        dtype: of the weights.
        size: grid to draw; None is the model's default.
        tell: called with every finding at once, also by `measure`.

    Raises:
        BadInput: the model does not draw this size. All other faults are findings.
    """
    settings = DoctorSettings(
        model=name, draft=None if draft is None else draft.name, device=device, dtype=dtype_name(dtype),
        threads=torch.get_num_threads(),
    )  # fmt: skip
    examination = Examination(settings, tell)
    with suppress(Stopped):
        folder = examination.require("config", "config.json of a known kind of model", lambda: open_folder(path))
        examination.add(ok("config", folder.kind.name, "a kind of model that this library draws with"))
        examination.look("files", "all files, whole", lambda: check_files(folder))
        if examination.sound:
            target = _load(examination, folder, device, dtype)
            if size is not None:
                target.check_grid(size)
            grid = size or examination.require("grid", "one in config.json", lambda: target.grid)
            _check_loaded(examination, target, folder, grid, draft)
    return examination


def _load(examination: Examination, folder: ModelFolder, device: str, dtype: torch.dtype) -> Target:
    expected = "the names and shapes that follow from config.json"
    target = examination.require("loading", expected, lambda: load_target(folder.path, device, dtype))
    got = f"{numbers(folder):,} numbers, every name and shape accounted for, fingerprint {target.fingerprint}"
    examination.add(ok("loading", got, expected))
    return target


def _check_loaded(
    examination: Examination, target: Target, folder: ModelFolder, grid: Grid, draft: Path | None
) -> None:
    """Check a loaded model and its drafts."""
    default = target.default
    examination.look("grid", "a grid that it can draw", lambda: at_rest.check_grid(target, grid))
    examination.look(
        "image vocabulary", "as many codes as image tokens", lambda: at_rest.check_vocabulary(target, folder)
    )
    if examination.sound:
        examination.look("row ends", "forced tokens in place", lambda: at_rest.check_row_ends(target, grid))
        examination.look("codec", "codes as pixels", lambda: at_rest.check_codec(target, grid))
        with suppress(Stopped):
            prompt = examination.require("prompts", "words or a class", lambda: at_rest.choose_prompt(target, grid))
            examination.look("prompts", "the model's tokenizer", lambda: at_rest.check_prompt(target, folder, prompt))
            examination.request = Request.of([prompt], default, grid) if examination.sound else None
    usable: list[DraftNetwork] = []
    examination.look("drafts", "drafts that can be used", lambda: check_drafts(target, draft, grid, usable))
    examination.pipeline = SpatialPipeline(target, usable)
    known = {
        "prompt": examination.request.prompts[0] if examination.request else None,
        "size": str(grid),
        "guidance": default.guidance,
        "temperature": default.temperature,
        "top_k": default.top_k,
        "top_p": default.top_p,
        "fingerprint": target.fingerprint,
    }
    examination.settings = examination.settings.model_copy(update=known)


def measure(examination: Examination, report: Progress, options: str = "") -> Diagnosis:
    """Draw the first rows of an image and estimate the cost of a whole one, unless a check failed.

    Args:
        examination: of `examine`; findings are added to it.
        report: called after every pass, as `report(task, cells just committed)`.
        options: of the command line, which the advice repeats.
    """
    measured = Measurements()
    advice = ""
    if examination.pipeline is not None and examination.request is not None:
        with suppress(Stopped):
            measured = _draw(examination, examination.pipeline, examination.request, report)
            advice = advise(measured.methods, examination.request.grid, options)
    return Diagnosis(settings=examination.settings, checks=examination.findings, advice=advice, **vars(measured))


def _draw(examination: Examination, pipeline: SpatialPipeline, request: Request, report: Progress) -> Measurements:
    """Run checks that draw, the curve, the limit and the estimates.

    Raises:
        Stopped: a check failed that drawing needs.
    """
    target = pipeline.target

    def draw(method: Method) -> Rows:
        return draw_rows(pipeline, method, request, short(request.grid), report)

    ar = examination.require("ar", "one pass a cell", lambda: draw(AR))
    examination.add(check_ar(ar))
    if examination.findings[-1].status == "failed":
        raise Stopped
    check, same, fewer = "one pass for many cells", "AR's scores", "AR's tokens in fewer passes"
    rounding = examination.require(check, same, lambda: compare(target, request, ar))
    examination.look(check, same, lambda: check_scores(target, request, ar, rounding))
    costs = examination.require("cost of a pass", "seconds", lambda: curve(pipeline, request, report))
    runs = examination.require("methods", fewer, lambda: run_interleaved(pipeline, costs, draw))
    bound = examination.require("bandwidth", "that of a copy", lambda: limit(pipeline, request, runs[0]))
    expected = expectations(costs, runs, request)
    for run, estimate in zip(runs[1:], expected[1:], strict=True):
        examination.look(estimate.method, fewer, partial(signatures, request, ar, run.rows, estimate, rounding))
    widths = [Width(budget=cost.budget, seconds=cost.seconds, cells=cost.cells) for cost in costs]
    return Measurements(widths, bound, expected)
