"""`--budget auto`: the cost of a pass by its width on this machine, and the fastest budget.

Expected seconds of a cell = seconds of a pass / cells that a pass commits, both measured on a few images, large ones
on their first rows. Budgets that are clearly slower than the best drop out; more images tell the others apart. Budget 0
drafts nothing and is AR. The figures are saved in the user's cache folder and measured once for each target, drafts,
method, sampling, machine, device, type and number of images.
"""

from __future__ import annotations

import os
import platform
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean, median

import torch
from torch import nn

from spatialspec import __version__
from spatialspec.core.interfaces import Target
from spatialspec.core.noise import image_seed
from spatialspec.core.progress import Progress
from spatialspec.generation import assemble, steps
from spatialspec.io.identity import drafts_digest, facts_digest, identity
from spatialspec.io.sealed import read_sealed, write_sealed
from spatialspec.methods.method import Method
from spatialspec.request import Request

Drafts = Sequence[nn.Module]  # draft weights of any kind
# A pass has one slot more, and kernels work on multiples of eight; 64 is the default of `spatial`
BUDGETS = (0, 3, 7, 15, 23, 31, 47, 64)
WIDE = (95, 127)  # on CUDA too, where a pass may widen for nothing; elsewhere they only cost measuring time
CELLS = 600  # of each image that is decoded with each budget, in whole rows
RUNS = 6  # images per budget; on a single one luck decides between budgets that are nearly as good
SLOWER = 1.15  # times the best so far: such a budget drops out
GAIN = 1.03  # times faster than AR that a budget must be, as measurements are noisy


@dataclass(frozen=True)
class Cost:
    """What a pass of a budget costs and commits.

    Attributes:
        budget: drafted nodes of a pass.
        seconds: of a pass, drafting and verifying included; the median over runs.
        cells: committed by a pass, mean over runs.
    """

    budget: int
    seconds: float
    cells: float

    @property
    def seconds_of_a_cell(self) -> float:
        """Expected seconds per committed cell."""
        return self.seconds / self.cells


def budgets(device: torch.device) -> tuple[int, ...]:
    """Budgets that are measured on a device."""
    return BUDGETS + WIDE if device.type == "cuda" else BUDGETS


def measured_cells(request: Request) -> int:
    """Cells that are decoded with each budget."""
    return min(request.grid.rows, max(1, CELLS // request.grid.columns)) * request.grid.columns


def effort(method: Method, request: Request, device: torch.device) -> int:
    """Cells that a measurement draws; 0 where the method needs none."""
    if not _undecided(method):
        return 0
    return len(budgets(device)) * RUNS * measured_cells(request) * request.images


def _undecided(method: Method) -> bool:
    """Whether a method has the option `budget`, and nothing that was set decides it."""
    return method.has("budget") and not method.options.settles("budget")


def measure(target: Target, drafts: Drafts, method: Method, request: Request, report: Progress) -> list[Cost]:
    """Decode images with every budget that may still be the best, interleaved.

    Args:
        target: frozen AR model.
        drafts: draft weights made for it.
        method: one with a budget.
        request: its first prompts are drawn, as many images at once as it has of each.
        report: called after every pass of every image, as `report(method, cells just committed)`.
    """
    stop = measured_cells(request)
    _decode(target, drafts, method, request, 0, 0, min(12, stop), report)  # warms up
    left = budgets(target.device)
    runs: dict[int, list[tuple[float, int]]] = {budget: [] for budget in left}
    for run in range(RUNS):
        for budget in runs.keys() - set(left):
            report(f"budget {budget} dropped out", stop * request.images)
        for budget in left:
            runs[budget].append(_decode(target, drafts, method, request, budget, run, stop, report))
        slow = SLOWER * min(_seconds_of_a_cell(runs[budget]) for budget in left)
        left = tuple(budget for budget in left if _seconds_of_a_cell(runs[budget]) <= slow)
    best = runs[min(left, key=lambda budget: _seconds_of_a_cell(runs[budget]))]
    return [_cost(budget, measured, best, stop) for budget, measured in runs.items()]


def _seconds_of_a_cell(measured: Sequence[tuple[float, int]]) -> float:
    """Seconds of a cell, up to a factor that all budgets share."""
    return median(seconds / passes for seconds, passes in measured) * fmean(passes for _, passes in measured)


def _cost(budget: int, measured: list[tuple[float, int]], best: list[tuple[float, int]], stop: int) -> Cost:
    """Cost of one budget; for runs that it missed, its passes grow as the best budget's did, AR's not at all."""
    passes, of_best = fmean(count for _, count in measured), [count for _, count in best]
    harder = fmean(of_best) / fmean(of_best[: len(measured)]) if budget else 1.0
    return Cost(budget, median(seconds / count for seconds, count in measured), stop / (passes * harder))


def _decode(
    target: Target,
    drafts: Drafts,
    method: Method,
    request: Request,
    budget: int,
    run: int,
    stop: int,
    report: Progress,
) -> tuple[float, int]:
    """Seconds and passes until every image of a run has `stop` cells.

    Runs differ in their prompts where there are several, and always in their seeds.
    """
    groups = request.by_prompt()
    seeds = [image_seed(request.seeds[0], run * request.images + i) for i in range(request.images)]
    drawn = replace(groups[run % len(groups)], seeds=seeds, written=())
    images = assemble(target, drafts, method.with_default("budget", budget), drawn)
    session = drawn.session(target)
    start = time.perf_counter()
    for step in steps(target, drafts, session, images):
        report(f"measuring budget {budget}", len(step.written))
        if min(image.state.frontier for image in images) >= stop:
            break
    return time.perf_counter() - start, max(image.state.passes for image in images)


def choose(costs: Sequence[Cost]) -> int:
    """The budget with the least expected time; 0, AR's, where none is clearly faster."""
    ar = next(cost for cost in costs if cost.budget == 0)
    best = min(costs, key=lambda cost: (cost.seconds_of_a_cell, cost.budget))
    return best.budget if best.seconds_of_a_cell * GAIN <= ar.seconds_of_a_cell else 0


def costs_here(target: Target, drafts: Drafts, method: Method, request: Request, report: Progress) -> list[Cost]:
    """Cost of each budget on this machine; measured if it is not cached."""
    path = _folder() / f"{_key(target, drafts, method, request)}.json"
    if (known := read_sealed(path)) is not None:
        return [Cost(**cost) for cost in known["costs"]]
    costs = measure(target, drafts, method, request, report)
    with suppress(OSError):  # no room or no right to write: measured again next time
        path.parent.mkdir(parents=True, exist_ok=True)
        write_sealed(path, {"method": str(method), "costs": [asdict(cost) for cost in costs]})
    return costs


class _Interrupted(Exception):
    """The measurement was ended."""


def tuned(
    target: Target,
    drafts: Drafts,
    method: Method,
    request: Request,
    report: Progress,
    interrupted: Callable[[], bool] = lambda: False,
) -> Method:
    """The method with the budget that is fastest here; as it is, where it has one or the measurement is interrupted."""

    def follow(name: str, cells: int) -> None:
        report(name, cells)
        if interrupted():
            raise _Interrupted

    if _undecided(method):
        with suppress(_Interrupted):
            return method.with_default("budget", choose(costs_here(target, drafts, method, request, follow)))
    return method


def _folder() -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if not cache.is_absolute():  # not set, or to be ignored by the XDG specification
        try:
            cache = Path.home() / ".cache"
        except RuntimeError:  # a user without a home, as in some containers
            cache = Path(tempfile.gettempdir())
    return cache / "spatialspec" / "budgets"


def machine(device: torch.device) -> str:
    """Processor, computer, and the accelerator or the number of threads."""
    device_name = (
        torch.cuda.get_device_name(device) if device.type == "cuda" else f"{device.type} {torch.get_num_threads()}"
    )
    return f"{processor()}, {platform.node()}, {device_name}"


def processor(info: Path = Path("/proc/cpuinfo")) -> str:
    """Model name of the processor, as the system reports it."""
    with suppress(OSError):
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _key(target: Target, drafts: Drafts, method: Method, request: Request) -> str:
    """What the figures depend on."""
    weight = target.embed(torch.zeros(1, dtype=torch.long, device=target.device))
    return facts_digest(
        {
            "target": identity(target),
            "drafts": [(type(part).__name__, drafts_digest([part])) for part in drafts],
            "method": str(method),
            "verifier": request.verifier,
            "machine": machine(weight.device),
            "dtype": str(weight.dtype),
            "images": request.images,
            "sampling": request.sampling.facts(),
            "grid": str(request.grid),
            "versions": (torch.__version__, __version__),
        }
    )
