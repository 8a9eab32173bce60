"""Parts of `gpu_check.py`: each yields rows, one for each measurement."""

from __future__ import annotations

import gc
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from statistics import fmean, median
from typing import Any

import psutil
import torch
from gpu_machine import Machine, helpers
from gpu_models import random_target

from spatialspec import SpatialPipeline
from spatialspec.core.clock import STAGES, Clock
from spatialspec.core.grid import Grid
from spatialspec.core.interfaces import Session
from spatialspec.core.noise import Noise
from spatialspec.core.proposal import Proposal
from spatialspec.core.sampler import Sampler
from spatialspec.core.state import State
from spatialspec.core.step import Step, Verdict
from spatialspec.devices import wait
from spatialspec.doctor.bandwidth import weights_read
from spatialspec.generation import assemble, generate, steps
from spatialspec.methods.method import Method
from spatialspec.request import Request
from spatialspec.targets.room import free_memory

PROMPTS = ("a red apple", "two cats on a mat by the sea")
CHECKED = ("ar", "jacobi", "spatial", "hawk")
DRAWN = (*CHECKED, "ssd")
Row = dict[str, Any]


def tokens(machine: Machine) -> Iterator[Row]:
    """1: captured and eager tokens in fp32, icons and tiny checkpoints of every family; two images at once."""
    pipe = _icons(machine.device, torch.float32)
    request = Request(PROMPTS, [3, 4], pipe.target.default, machine.icons or pipe.target.grid)
    yield from _compared(machine, "icons", pipe.target, pipe.drafts, request)
    if not helpers():
        yield {"model": "tiny checkpoints", "skipped": "the tests' helpers, or what they import, are not here"}
        return
    from helpers.real_targets import MAKES, random_drafts
    from spatialspec.targets.loading import load_target

    for name, kind in MAKES.items():
        with tempfile.TemporaryDirectory() as folder:
            target = load_target(kind.make(Path(folder) / name), str(machine.device))
        drafts = [part.to(machine.device) for part in random_drafts(target)]
        grid = target.grid if kind.size is None else Grid.parse(kind.size)
        request = Request(kind.prompts, [3, 4], target.default, grid)
        yield from _compared(machine, f"tiny {name}", target, drafts, request)


def _compared(machine: Machine, name: str, target: Any, drafts: Sequence[Any], request: Request) -> Iterator[Row]:
    """Tokens of each method under both runners, and against AR's."""
    ar, runners = list[int](), machine.runners()
    for method in CHECKED:
        drawn, passes = {}, 0.0
        for how, target.runner in runners.items():
            images, report = generate(target, drafts, Method.parse(method), request)
            drawn[how], passes = [token for image in images for token in image], report.target_passes
        ar = ar or drawn["eager"]
        differ = {"captured is not eager": drawn["captured"], "not AR's": ar}
        counts = {key: sum(map(int.__ne__, drawn["eager"], other)) for key, other in differ.items()}
        yield {"model": name, "method": method, "passes": passes, "tokens": len(ar), **counts}


def widths(machine: Machine) -> Iterator[Row]:
    """2: milliseconds of a pass by its slots, in images that are half drawn, against reading the weights once."""
    yield from _every_model(machine, _widths)


def _widths(machine: Machine, target: Any) -> Iterator[Row]:
    request = Request.of(PROMPTS[:1], target.default, target.grid)
    weights = weights_read(request, target)
    limit = weights / machine.bandwidth
    for how, target.runner in machine.runners().items():
        one = 0.0
        for slots, seconds in _passes(machine, target, request):
            one = one or seconds
            times = {"T(n)/T(1)": seconds / one, "limit ms": 1000 * limit, "x limit": seconds / limit}
            about = {"model": target.name, "engine": how, "weights GB": weights / 1e9, "slots": slots}
            yield about | {"ms": 1000 * seconds} | times


@torch.inference_mode()
def _passes(machine: Machine, target: Any, request: Request) -> Iterator[tuple[int, float]]:
    """Seconds from the inputs of a pass to its output on the host, sampling included, for each number of slots.

    `pass_time.py` has the seconds of the loop instead, which the limit of the bandwidth says nothing of.
    """
    half, clock, session = request.grid.cells // 2, Clock(), request.session(target)
    sampler = Sampler(target.default, Noise(0, request.grid.cells, target.vocabulary, target.device))
    state = _written(session, State(request.grid), half)
    for slots in machine.slots:
        seconds = []
        for _ in range(2 + machine.repeats):  # the first two capture, or warm up
            before = clock.seconds["pass"]
            wait(target.device)
            session.score([state], [Proposal.chain(half, [0] * (slots - 1))], (), [sampler], clock)
            seconds.append(clock.seconds["pass"] - before)
        yield slots, median(seconds[2:])
    session.drop([0])


def _written(session: Session, state: State, cells: int) -> State:
    """The state after a pass that commits so many cells."""
    proposal = Proposal.chain(0, [0] * cells, final=True)
    (scores,) = session.score([state], [proposal])
    step = Step.of(0, state, proposal, scores, Verdict.all(proposal))
    session.keep(0, step)
    return step.after


def stages(machine: Machine) -> Iterator[Row]:
    """3: milliseconds of a pass by stage; the first pass, which reads the prompt, is not counted."""
    yield from _every_model(machine, _stages)


def _stages(machine: Machine, target: Any) -> Iterator[Row]:
    request = Request.of(PROMPTS[:1], target.default, target.grid)
    for how, target.runner in machine.runners().items():
        for method in ("ar", "jacobi", "spatial"):
            _by_stage(machine, target, request, method)  # captures, or warms up
            slots, each = _by_stage(machine, target, request, method)
            about = {"model": target.name, "engine": how, "method": method, "slots": slots}
            yield about | {"ms": sum(each.values())} | each


def _by_stage(machine: Machine, target: Any, request: Request, method: str) -> tuple[float, dict[str, float]]:
    """Slots of a pass, mean, and milliseconds of every stage."""
    images, session, clock = assemble(target, [], Method.parse(method), request), request.session(target), Clock()
    slots: list[int] = []
    for step in steps(target, [], session, images, clock):
        slots.append(len(step.p))
        if len(slots) == 1:
            clock.seconds.update(dict.fromkeys(STAGES, 0.0))
        if len(slots) > machine.passes:
            break
    session.drop([0])  # its buffers, and with them the captured passes, are for the next session
    return fmean(slots[1:]), {stage: 1000 * clock.seconds[stage] / (len(slots) - 1) for stage in STAGES}


def _every_model(machine: Machine, measure: Callable[[Machine, Any], Iterator[Row]]) -> Iterator[Row]:
    """Rows of each random model; one that cannot be made or measured has a row that says why."""
    for model in machine.models:
        gc.collect()
        if machine.device.type == "cuda":
            torch.cuda.empty_cache()
        free, needed = free_memory(machine.device), model.bytes + machine.spare
        try:
            if free is not None and needed > free:
                raise MemoryError(f"it needs {needed / 1e9:.0f} GB, {free / 1e9:.0f} GB are free")
            target = random_target(model, machine.device, machine.dtype)
            yield from measure(machine, target)
        except Exception as error:  # an older transformers may lack this family; the others are measured all the same
            yield {"model": model.name, "skipped": f"{type(error).__name__}: {error}"}
        target = None


def icons(machine: Machine) -> Iterator[Row]:
    """4: seconds of an image of icons under captured passes: the median, after one that captures."""
    for dtype in dict.fromkeys((torch.float32, machine.dtype)):
        pipe = _icons(machine.device, dtype)
        pipe.target.runner = machine.captured()
        request = Request.of(PROMPTS[:1], pipe.target.default, machine.icons or pipe.target.grid)
        for method in DRAWN:
            parsed, count = Method.parse(method), 1 + machine.images
            drawn = [generate(pipe.target, pipe.drafts, parsed, request)[1] for _ in range(count)]

            seconds, passes = median(report.seconds for report in drawn[1:]), drawn[0].target_passes
            about = {"dtype": str(dtype).removeprefix("torch."), "method": method, "passes": passes}
            yield about | {"seconds": seconds, "ms a pass": 1000 * seconds / passes}


def growth(machine: Machine) -> Iterator[Row]:
    """5: passes captured and memory taken after every image; the second round draws the images of the first."""
    pipe, how = _icons(machine.device, torch.float32), machine.captured()
    pipe.target.runner = how
    request = Request.of(PROMPTS[:1], pipe.target.default, machine.icons or pipe.target.grid)
    for number in (1, 2):
        for seed in range(machine.images):
            generate(pipe.target, pipe.drafts, Method.parse("spatial"), replace(request, seeds=[seed]))
            yield {"round": number, "seed": seed, "captures": how.captures, "MB": _memory(machine.device) / 1e6}


@cache
def _icons(device: torch.device, dtype: torch.dtype) -> SpatialPipeline:
    return SpatialPipeline.from_pretrained("icons", device=str(device), torch_dtype=dtype)


def _memory(device: torch.device) -> int:
    """Bytes that tensors take on the device; of the CPU, the process."""
    gc.collect()
    return torch.cuda.memory_allocated(device) if device.type == "cuda" else int(psutil.Process().memory_info().rss)


PARTS: dict[str, tuple[Callable[[Machine], Iterator[Row]], float]] = {  # name -> rows, seconds that it may take
    "tokens": (tokens, 90.0),
    "widths": (widths, 120.0),
    "stages": (stages, 130.0),
    "icons": (icons, 70.0),
    "growth": (growth, 40.0),
}
