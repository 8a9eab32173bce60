"""Parts of `gpu_check.py`: each yields rows, one for each measurement."""

from __future__ import annotations

import gc
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import psutil
import torch
from gpu_models import MODELS, Model, random_target

from spatialspec import SpatialPipeline
from spatialspec.core.clock import STAGES, Clock
from spatialspec.core.grid import Grid
from spatialspec.core.noise import Noise
from spatialspec.core.proposal import Proposal
from spatialspec.core.sampler import Sampler
from spatialspec.core.state import State
from spatialspec.core.step import Step, Verdict
from spatialspec.doctor.bandwidth import wait, weights_read
from spatialspec.generation import assemble, generate, steps
from spatialspec.methods.method import Method
from spatialspec.request import Request
from spatialspec.targets.room import free_memory
from spatialspec.targets.runners import Captured, Runner, runner

TESTS = Path(__file__).resolve().parent.parent / "tests"
PROMPTS = ("a red apple", "two cats on a mat by the sea")
CHECKED = ("ar", "jacobi", "spatial", "hawk")
DRAWN = (*CHECKED, "ssd")
SPARE = 6e9  # bytes that a model needs beside its weights: keys and values, scores of a whole image, captured passes
Row = dict[str, Any]


@dataclass(frozen=True)
class Machine:
    """What is measured on, and how much.

    Attributes:
        device: of PyTorch.
        dtype: of the random models.
        bandwidth: bytes per second of a copy.
        captured: makes a runner that captures passes.
        models: random models.
        slots: of the timed passes.
        repeats: passes of each width, of which the median counts.
        passes: of each method that are timed by stage.
        icons: grid of the images of icons; None is the model's own.
        images: drawn for each figure.
    """

    device: torch.device
    dtype: torch.dtype
    bandwidth: float
    captured: Callable[[], Captured]
    models: Sequence[Model] = MODELS
    slots: Sequence[int] = (1, 32, 64, 96, 128, 256)
    repeats: int = 15
    passes: int = 40
    icons: Grid | None = None
    images: int = 3

    def runners(self) -> dict[str, Runner]:
        """Captured and eager."""
        return {"captured": self.captured(), "eager": Runner()}


def helpers() -> bool:
    """Make the helpers of the tests importable; False if this checkout has none, or they need what is missing."""
    if str(TESTS) not in sys.path:
        sys.path.append(str(TESTS))
    try:
        import helpers.real_targets  # noqa: F401
    except ImportError:
        return False
    return True


def cuda_graphs(device: torch.device) -> Callable[[], Captured]:
    """Captured passes of a device; on the CPU the pretended ones of the tests.

    Raises:
        ImportError: this is the CPU, and there are no tests.
    """
    if device.type == "cuda":
        return lambda: runner("captured", {device})  # type: ignore[return-value]
    helpers()
    from helpers.replays import replayed

    return replayed


def tokens(machine: Machine) -> Iterator[Row]:
    """1: captured and eager tokens in fp32, icons and tiny checkpoints of every family; two images at once."""
    pipe = _icons(machine, torch.float32)
    grid = machine.icons or pipe.target.grid
    yield from _compared(machine, "icons", pipe.target, pipe.drafts, Request(PROMPTS, [3, 4], pipe.target.default, grid))
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
    ar: list[int] = []
    for method in CHECKED:
        drawn, passes = {}, 0.0
        for how, target.runner in machine.runners().items():
            images, report = generate(target, drafts, Method.parse(method), request)
            drawn[how], passes = [token for image in images for token in image], report.target_passes
        ar = ar or drawn["eager"]
        differ = {"captured is not eager": drawn["captured"], "not AR's": ar}
        counts = {key: sum(map(int.__ne__, drawn["eager"], other)) for key, other in differ.items()}
        yield {"model": name, "method": method, "passes": passes, "tokens": len(ar), **counts}


def widths(machine: Machine) -> Iterator[Row]:
    """2: milliseconds of a pass by its slots, in images that are half drawn, against reading the weights once."""
    for model, target in _models(machine):
        if target is None:
            yield model
            continue
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
    """Seconds from the inputs of a pass to its output on the host, sampling included, for each number of slots."""
    start, half, clock = State(target.layout(request.grid)), request.grid.cells // 2, Clock()
    noise = Noise(0, request.grid.cells, target.vocabulary, target.device)
    sampler = Sampler(target.default, noise)
    session = request.session(target)
    written = Proposal.chain(0, [0] * half, final=True)
    (scores,) = session.score([start], [written])
    step = Step.of(0, start, written, scores, Verdict.all(written))
    del scores
    session.keep(0, step)
    for slots in machine.slots:
        seconds = []
        for _ in range(2 + machine.repeats):  # the first two capture, or warm up
            before = clock.seconds["pass"]
            wait(target.device)
            session.score([step.after], [Proposal.chain(half, [0] * (slots - 1))], (), [sampler], clock)
            seconds.append(clock.seconds["pass"] - before)
        yield slots, median(seconds[2:])
    session.drop([0])


def stages(machine: Machine) -> Iterator[Row]:
    """3: milliseconds of a pass by stage; the first passes, which read the prompt and capture, are not counted."""
    for model, target in _models(machine):
        if target is None:
            yield model
            continue
        request = Request.of(PROMPTS[:1], target.default, target.grid)
        for how, target.runner in machine.runners().items():
            for method in ("ar", "jacobi", "spatial"):
                for _ in range(2):  # once to capture all shapes
                    clock, cells, count = Clock(), 0, 0
                    session, images = request.session(target), assemble(target, [], Method.parse(method), request)
                    for step in steps(target, [], session, images, clock):
                        count, cells = count + 1, cells + len(step.p)
                        if count == 1:
                            clock, cells = _cleared(clock), 0
                        if count > machine.passes:
                            break
                    session.drop([0])  # its buffers, and with them the captured passes, are for the next
                each = {stage: 1000 * clock.seconds[stage] / (count - 1) for stage in STAGES}
                about = {"model": target.name, "engine": how, "method": method, "slots": cells / (count - 1)}
                yield about | {"ms": sum(each.values())} | each


def _cleared(clock: Clock) -> Clock:
    """The same clock at zero."""
    clock.seconds.update(dict.fromkeys(STAGES, 0.0))
    return clock


def _models(machine: Machine) -> Iterator[tuple[Any, Any]]:
    """Each random model with its target; where it cannot be made, the row that says so and None."""
    for model in machine.models:
        gc.collect()
        if machine.device.type == "cuda":
            torch.cuda.empty_cache()
        free = free_memory(machine.device)
        if free is not None and model.bytes + SPARE * (machine.models is MODELS) > free:
            needed = f"{(model.bytes + SPARE) / 1e9:.0f} GB"
            yield {"model": model.name, "skipped": f"it needs {needed}, {free / 1e9:.0f} GB are free"}, None
            continue
        try:
            target = random_target(model, machine.device, machine.dtype)
        except Exception as error:  # an older transformers may lack this family
            yield {"model": model.name, "skipped": f"{type(error).__name__}: {error}"}, None
            continue
        yield model, target
        del target


def icons(machine: Machine) -> Iterator[Row]:
    """4: seconds of an image of icons under captured passes: the median, after one that captures."""
    for dtype in dict.fromkeys((torch.float32, machine.dtype)):
        pipe = _icons(machine, dtype)
        pipe.target.runner = machine.captured()
        request = Request.of(PROMPTS[:1], pipe.target.default, machine.icons or pipe.target.grid)
        for method in DRAWN:
            drawn = [generate(pipe.target, pipe.drafts, Method.parse(method), request)[1] for _ in range(1 + machine.images)]
            seconds, passes = median(report.seconds for report in drawn[1:]), drawn[0].target_passes
            about = {"dtype": str(dtype).removeprefix("torch."), "method": method, "passes": passes}
            yield about | {"seconds": seconds, "ms a pass": 1000 * seconds / passes}


def growth(machine: Machine) -> Iterator[Row]:
    """5: passes captured and memory taken after every image; the second round draws the images of the first."""
    pipe, how = _icons(machine, torch.float32), machine.captured()
    pipe.target.runner = how
    request = Request.of(PROMPTS[:1], pipe.target.default, machine.icons or pipe.target.grid)
    for number in (1, 2):
        for seed in range(machine.images):
            generate(pipe.target, pipe.drafts, Method.parse("spatial"), replace(request, seeds=[seed]))
            yield {"round": number, "seed": seed, "captures": how.captures, "MB": _memory(machine.device) / 1e6}


def _icons(machine: Machine, dtype: torch.dtype) -> Any:
    return SpatialPipeline.from_pretrained("icons", device=str(machine.device), torch_dtype=dtype)


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
