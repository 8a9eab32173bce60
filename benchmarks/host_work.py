"""Host seconds of a pass with many codes and many cells, beside a pass of a grid as large as that of `icons`.

`python benchmarks/host_work.py` prints a table. Both models are tiny random ones in SimpleAR's layout, with equal
layers: 240 codes and 24 x 24 cells, begun behind cell 200, and 131,072 codes and 96 x 96 cells, behind cell 9,000.
`outside` are all stages of a pass but the pass itself, see `core/clock.py`, without the noise of new cells: both are
the device's work, which grows with the codes. Results are held until the end, as freeing them takes the time of a CPU
alone. Rejection is left out, as it waits for the device in the stage `verify`. Medians over passes.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))
from helpers.tiny_causal import tiny_simplear
from spatialspec.core.clock import Clock
from spatialspec.core.grid import Grid
from spatialspec.core.interfaces import Target
from spatialspec.core.state import State
from spatialspec.decode import decode
from spatialspec.generation import assemble
from spatialspec.methods.method import Method
from spatialspec.request import Request
from spatialspec.targets.cosmos import LEVELS
from spatialspec.targets.loading import load_target
from spatialspec.targets.noise_buffer import NoiseBuffer
from spatialspec.targets.session import TargetSession

PASSES, FIRST = 16, 3  # timed, and before them: they make the noise of the first cells
METHODS = "ar", "jacobi", "spatial"
SIZES = ((240, Grid(24, 24), 200), (131_072, Grid(96, 96), 9000))  # codes, cells, where it begins

noise: list[float] = []  # seconds of making it


def hold(buffer: NoiseBuffer, *arguments: Any, honest: Callable[..., None] = NoiseBuffer._hold) -> None:
    """Make noise, and time it."""
    start = time.perf_counter()
    honest(buffer, *arguments)
    noise.append(time.perf_counter() - start)


def outside(target: Target, grid: Grid, begun: int, method: str) -> tuple[float, float]:
    """Milliseconds outside the pass, and of the pass, behind `begun` cells whose keys and values are zeros."""
    noise.clear()
    request, clock = Request(["a cat"], [3], target.default, grid), Clock()
    images, session = assemble(target, [], Method.parse(method), request), request.session(target)
    assert isinstance(session, TargetSession)
    passes, image = decode(session, images, clock), images[0]
    next(passes)
    tokens = torch.randint(target.vocabulary, (begun,), generator=torch.Generator().manual_seed(0)).tolist()
    image.state = State(image.state.layout, tuple(tokens), 1, (begun - 1,))
    session.cache.room(begun)
    session.cache.lengths = [length + begun - 1 for length in session.cache.lengths]
    spent, kept = list[tuple[float, float]](), list[object]()
    for _ in range(FIRST + PASSES):
        before, made = dict(clock.seconds), len(noise)
        step = next(passes, None)
        if step is None:
            break
        kept.append(step)
        stages = {stage: 1e3 * (seconds - before[stage]) for stage, seconds in clock.seconds.items()}
        device = stages["pass"]
        spent.append((sum(stages.values()) - device - 1e3 * sum(noise[made:]), device))
    timed = spent[FIRST:]
    return median(host for host, _ in timed), median(device for _, device in timed)


def main() -> None:
    """Time and print."""
    torch.set_num_threads(1)
    LEVELS[SIZES[1][0]] = 64, 64, 32
    NoiseBuffer._hold = hold  # type: ignore[method-assign]
    with tempfile.TemporaryDirectory() as folder:
        targets = [
            load_target(tiny_simplear(Path(folder) / f"{codes}", decoder=False, codes=codes, positions=16_384))
            for codes, _, _ in SIZES
        ]
        print("| method | ms outside, few | ms outside, many | ms pass, few | ms pass, many |\n|---|---|---|---|---|")
        for method in METHODS:
            made = [outside(t, grid, begun, method) for t, (_, grid, begun) in zip(targets, SIZES, strict=True)]
            print(f"| `{method}` |", *(f"{made[i][k]:.2f} |" for k in (0, 1) for i in (0, 1)), flush=True)


if __name__ == "__main__":
    with torch.inference_mode():
        main()
