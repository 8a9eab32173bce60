"""`--budget auto`: what a pass costs against its width on this machine, and the budget that is fastest here.

Expected seconds of a cell = seconds of a pass / cells that a pass commits, both measured on the first rows of pictures.
Budget 0 drafts nothing and is AR. The figures are kept in the user's cache folder and measured once for each target,
drafts, method, sampling, machine, device, type and number of images.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import torch

from spatialspec import __version__
from spatialspec.core.files import write_text
from spatialspec.core.noise import image_seed
from spatialspec.decode import decode
from spatialspec.evaluation.runs import Progress, Workload
from spatialspec.evaluation.store import digest
from spatialspec.generation import Request, assemble
from spatialspec.methods import Method
from spatialspec.pipeline import SpatialPipeline

BUDGETS = (0, 4, 8, 16, 24, 32, 48, 64)
WIDE = (96, 128)  # on CUDA too, where a pass may widen for nothing; elsewhere they only cost measuring time
CELLS = 400  # of each picture that is decoded with each budget, in whole rows
TURNS = 3  # pictures: on a single one luck decides between budgets that are nearly as good
GAIN = 1.03  # how much faster than AR a budget must be to be worth its spread


@dataclass(frozen=True)
class Cost:
    """What a budget costs.

    Attributes:
        budget: drafted nodes of a pass.
        seconds: of a pass, drafting and verifying included; the median over pictures.
        cells: committed by a pass, mean over pictures.
    """

    budget: int
    seconds: float
    cells: float

    @property
    def seconds_of_a_cell(self) -> float:
        """What is to be small."""
        return self.seconds / self.cells


def budgets(device: torch.device) -> tuple[int, ...]:
    """What is tried on a device."""
    return BUDGETS + WIDE if device.type == "cuda" else BUDGETS


def measured_cells(workload: Workload) -> int:
    """Cells that are decoded with each budget."""
    return min(workload.grid.rows, max(1, CELLS // workload.grid.columns)) * workload.grid.columns


def effort(workload: Workload, device: torch.device) -> int:
    """Cells that a measurement draws."""
    return len(budgets(device)) * TURNS * measured_cells(workload) * workload.images


def measure(pipeline: SpatialPipeline, method: Method, workload: Workload, report: Progress) -> list[Cost]:
    """Decode the first rows with every budget, all budgets taking turns.

    Args:
        pipeline: target and drafts.
        method: one with a budget.
        workload: its first prompts are drawn, as many images at once as it asks for.
        report: called after every pass of every image, as `report(method, cells just committed)`.
    """
    tried = budgets(pipeline.target.device)
    seconds: dict[int, list[float]] = {budget: [] for budget in tried}
    passes = dict.fromkeys(tried, 0)
    stop = measured_cells(workload)
    for turn in (None, *range(TURNS)):  # the first one warms up
        images = _request(workload, turn or 0)
        for budget in tried:
            chosen = assemble(pipeline.target, pipeline.drafts, method.with_value("budget", str(budget)), images)
            session = pipeline.target.session(
                images.prompts, workload.negative_prompt, workload.sampling, workload.grid
            )
            most = min(12, stop) if turn is None else stop
            start = time.perf_counter()
            for step in decode(session, chosen):
                report(f"measuring budget {budget}", len(step.verdict.tokens(step.proposal)))
                if min(image.state.frontier for image in chosen) >= most:
                    break
            taken = time.perf_counter() - start
            count = max(image.state.passes for image in chosen)
            if turn is not None:
                seconds[budget].append(taken / count)
                passes[budget] += count
    return [Cost(budget, median(seconds[budget]), TURNS * stop / passes[budget]) for budget in tried]


def _request(workload: Workload, turn: int) -> Request:
    """The pictures of a turn: another prompt each where there are several, other seeds always."""
    prompts = [workload.prompts[turn % len(workload.prompts)]] * workload.images
    seeds = [image_seed(workload.seed, turn * workload.images + i) for i in range(workload.images)]
    return Request(prompts, seeds, workload.sampling, workload.grid, workload.verifier, workload.negative_prompt)


def choose(costs: Sequence[Cost]) -> int:
    """The budget with the least expected time; 0, AR's, where none is clearly faster."""
    ar = next(cost for cost in costs if cost.budget == 0)
    best = min(costs, key=lambda cost: (cost.seconds_of_a_cell, cost.budget))
    return best.budget if best.seconds_of_a_cell * GAIN <= ar.seconds_of_a_cell else 0


def costs_here(pipeline: SpatialPipeline, method: Method, workload: Workload, report: Progress) -> list[Cost]:
    """What each budget costs here, measured if it is not known yet."""
    path = _folder() / f"{_key(pipeline, method, workload)}.json"
    try:
        costs = [Cost(**cost) for cost in json.loads(path.read_text())["costs"]]
    except (OSError, ValueError, KeyError, TypeError):  # none yet, or one that does not parse: measure again
        costs = measure(pipeline, method, workload, report)
        with suppress(OSError):  # no room or no right to write: measured again next time
            path.parent.mkdir(parents=True, exist_ok=True)
            write_text(path, json.dumps({"method": str(method), "costs": [asdict(cost) for cost in costs]}, indent=1))
    return costs


def best_budget(pipeline: SpatialPipeline, method: Method, workload: Workload, report: Progress) -> int:
    """The budget to use here."""
    return choose(costs_here(pipeline, method, workload, report))


def _folder() -> Path:
    try:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:  # a user without a home, as in some containers
        cache = Path(tempfile.gettempdir())
    return cache / "spatialspec" / "budgets"


def machine(device: torch.device) -> str:
    """Processor, computer, and the accelerator or the number of threads."""
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{device.type} {torch.get_num_threads()}"
    return f"{processor()}, {platform.node()}, {where}"


def processor(info: Path = Path("/proc/cpuinfo")) -> str:
    """Model of the processor, as well as the system knows it."""
    with suppress(OSError):
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _key(pipeline: SpatialPipeline, method: Method, workload: Workload) -> str:
    """What the figures depend on."""
    weight = pipeline.target.embed(torch.zeros(1, dtype=torch.long, device=pipeline.target.device))
    facts = (
        pipeline.target.fingerprint,
        [(type(drafts).__name__, digest([drafts])) for drafts in pipeline.drafts],
        str(method),
        workload.verifier,
        machine(weight.device),
        str(weight.dtype),
        workload.images,
        repr(workload.sampling),
        str(workload.grid),
        torch.__version__,
        __version__,
    )
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:20]
