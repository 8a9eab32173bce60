"""`doctor`: a model's folder from its files to the speed that can be expected of it here, whatever is wrong with it.

`examine` looks at what lies there and at the loaded model; `measure` draws: AR's first rows and what has to agree with
them, the curve of `--budget auto`, and the same rows by each method.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

import torch

from spatialspec.core.grid import Grid
from spatialspec.core.interfaces import Target
from spatialspec.doctor import target as at_rest
from spatialspec.doctor.drafts import check_drafts
from spatialspec.doctor.files import Folder, check_files, numbers, open_folder
from spatialspec.doctor.report import Asked, Diagnosis, Expectation, Finding, Width, attempt, from_error
from spatialspec.doctor.rows import Rows, draw_rows
from spatialspec.doctor.scores import check_ar, check_scores, compare
from spatialspec.doctor.signatures import signatures
from spatialspec.doctor.speed import AR, advise, curve, expectations, run_in_turns, short
from spatialspec.drafts.weights import Drafts
from spatialspec.generation import Request
from spatialspec.measure.results import dtype_name
from spatialspec.measure.runs import Workload
from spatialspec.methods.method import Method
from spatialspec.pipeline import SpatialPipeline
from spatialspec.progress import Progress
from spatialspec.targets.loading import load_target

T = TypeVar("T")


@dataclass
class Examination:
    """What is known of a model so far.

    Attributes:
        asked: what is examined, and where.
        tell: called with every finding as soon as there is one.
        findings: in the order of the checks.
        pipeline: with the drafts that can be used; None where the model cannot be loaded.
        workload: one picture; None where none can be drawn.
    """

    asked: Asked
    tell: Callable[[Finding], object] = lambda finding: None
    findings: list[Finding] = field(default_factory=list)
    pipeline: SpatialPipeline | None = None
    workload: Workload | None = None

    def add(self, finding: Finding) -> None:
        """Keep a finding."""
        self.findings.append(finding)
        self.tell(finding)

    def attempt(self, check: str, expected: str, run: Callable[[], T]) -> T | None:
        """Make a check; what it raises is a finding, and then it has no result."""
        return attempt(self.add, check, expected, run)

    def look(self, check: str, expected: str, run: Callable[[], Iterable[Finding]]) -> None:
        """Make a check and keep what it finds."""

        def keep() -> None:
            for finding in run():
                self.add(finding)

        self.attempt(check, expected, keep)

    @property
    def sound(self) -> bool:
        """Whether nothing failed so far."""
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
    """Look at a folder, load the model, and look at that; nothing is drawn yet.

    Args:
        path: folder of the model.
        name: as it was given.
        draft: folder of drafts, or of folders of drafts.
        device: of PyTorch.
        dtype: of the weights.
        size: grid to draw; None is the model's own.
        tell: called with every finding as soon as there is one, those of `measure` too.

    Raises:
        BadInput: the model does not draw this size. Whatever else is wrong is a finding.
    """
    asked = Asked(
        model=name, draft=None if draft is None else draft.name, device=device, dtype=dtype_name(dtype),
        threads=torch.get_num_threads(),
    )  # fmt: skip
    found = Examination(asked, tell)
    folder = found.attempt("config", "config.json of a known kind of model", lambda: open_folder(path))
    if folder is None:
        return found
    known = "a kind of model that this library draws with"
    found.add(Finding(check="config", status="ok", got=folder.kind.name, expected=known))
    found.look("files", "all files, whole", lambda: check_files(folder))
    target = _load(found, folder, device, dtype) if found.sound else None
    if target is None:
        return found
    if size is not None:
        target.check_grid(size)
    grid, default = size or found.attempt("grid", "one in config.json", lambda: target.grid), target.default
    if grid is None:
        return found
    found.look("grid", "a grid that it can draw", lambda: at_rest.check_grid(target, grid))
    found.look("image vocabulary", "as many codes as image tokens", lambda: at_rest.check_vocabulary(target, folder))
    if found.sound:
        found.look("row ends", "forced tokens in place", lambda: at_rest.check_row_ends(target, grid))
        found.look("codec", "codes as pixels", lambda: at_rest.check_codec(target, grid))
        prompt = found.attempt("prompts", "words or a class", lambda: at_rest.choose_prompt(target, grid))
        if prompt is not None:
            found.look("prompts", "a tokenizer of its own", lambda: at_rest.check_prompt(target, folder, prompt))
            found.workload = Workload((prompt,), default, grid) if found.sound else None
    usable: list[Drafts] = []
    found.look("drafts", "drafts that can be used", lambda: check_drafts(target, draft, grid, usable))
    found.pipeline = SpatialPipeline(target, usable)
    found.asked = found.asked.model_copy(
        update={
            "prompt": found.workload.prompts[0] if found.workload else None,
            "size": str(grid),
            "guidance": default.guidance,
            "temperature": default.temperature,
            "top_k": default.top_k,
            "top_p": default.top_p,
            "fingerprint": target.fingerprint,
        }
    )
    return found


def _load(found: Examination, folder: Folder, device: str, dtype: torch.dtype) -> Target | None:
    """The model, or a finding that says why not."""
    expected = "the names and shapes that follow from config.json"
    try:
        target = load_target(folder.path, device, dtype)
    except Exception as error:  # it may be broken in any way
        found.add(from_error("loading", error, expected))
        return None
    got = f"{numbers(folder):,} numbers, every name and shape accounted for, fingerprint {target.fingerprint}"
    found.add(Finding(check="loading", status="ok", got=got, expected=expected))
    return target


def measure(found: Examination, report: Progress, options: str = "") -> Diagnosis:
    """Draw the first rows of a picture and say what to expect of a whole one; nothing where something is broken.

    Args:
        found: by `examine`; findings are added to it.
        report: called after every pass, as `report(what, cells just committed)`.
        options: of the command line, which a recommended method needs too.
    """
    widths: list[Width] = []
    expected: list[Expectation] = []
    if found.pipeline is not None and found.workload is not None:
        widths, expected = _draw(found, found.pipeline, found.workload, report)
    return Diagnosis(
        settings=found.asked,
        checks=found.findings,
        widths=widths,
        methods=expected,
        advice=advise(expected, found.workload.grid, options) if expected and found.workload else "",
    )


def _draw(
    found: Examination, pipeline: SpatialPipeline, workload: Workload, report: Progress
) -> tuple[list[Width], list[Expectation]]:
    """Checks that need drawing, the curve, and what to expect; both empty from the first fault on."""
    target = pipeline.target
    images = Request(workload.prompts, [workload.seed], workload.sampling, workload.grid)

    def draw(method: Method) -> Rows:
        return draw_rows(pipeline, method, images, short(workload.grid), report)

    ar = found.attempt("ar", "one pass a cell", lambda: draw(AR))
    if ar is None:
        return [], []
    found.add(check_ar(ar))
    if found.findings[-1].status == "failed":
        return [], []
    check, same = "one pass for many cells", "AR's scores"
    rounding = found.attempt(check, same, lambda: compare(target, images, ar))
    if rounding is None:
        return [], []
    found.look(check, same, lambda: check_scores(target, images, ar, rounding))
    costs = found.attempt("cost of a pass", "seconds", lambda: curve(pipeline, workload, report))
    if costs is None:
        return [], []
    runs = found.attempt("methods", "AR's tokens in fewer passes", lambda: run_in_turns(pipeline, costs, draw))
    if runs is None:
        return [], []
    expected = expectations(costs, runs, workload)
    for run, said in zip(runs[1:], expected[1:], strict=True):
        look = partial(signatures, images, ar, run.rows, said, rounding, target.vocabulary)
        found.look(said.method, "AR's tokens in fewer passes", look)
    return [Width(budget=cost.budget, seconds=cost.seconds, cells=cost.cells) for cost in costs], expected
