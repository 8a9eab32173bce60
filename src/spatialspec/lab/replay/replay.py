"""Predictions of replays, and the cost of passes: seconds on other hardware from a curve measured there.

A replay (`replay_heads`, `replay_window`) needs one recorded image and no model. It computes how many passes another
tree, budget or window would have taken for the same image, and the number of slots of each pass.

Only seed-exact methods are replayed: their tokens do not depend on the drafts, so the right token of every cell is
known. `spatial` is not replayed: its tree depends on earlier passes, which change with every setting.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from spatialspec import arguments
from spatialspec.core.errors import BadInput
from spatialspec.core.grid import Grid
from spatialspec.core.proposal import Proposal
from spatialspec.core.state import State
from spatialspec.core.step import Step, Verdict
from spatialspec.devices import wait
from spatialspec.io.files import read_config
from spatialspec.pipeline import SpatialPipeline


@dataclass(frozen=True)
class PassCost:
    """Seconds of one pass of the target by its number of slots, without drafting.

    Attributes:
        seconds: slots -> seconds, at least one point. Linear between points, constant before the first. After the last
            it continues the line of the last two points, or is constant if that line falls.
        source: of the points: the machine that was measured, or the publication.
    """

    seconds: Mapping[int, float]
    source: str

    def __post_init__(self) -> None:
        if not self.seconds or min(self.seconds) < 1 or not all(0 < s < float("inf") for s in self.seconds.values()):
            raise BadInput(f"the points {dict(self.seconds)}", "at least 1 slot and seconds above 0")

    def __call__(self, slots: int) -> float:
        """Seconds of a pass of `slots` cells."""
        points = sorted(self.seconds)
        if slots <= points[0] or len(points) == 1:
            return self.seconds[points[0]]
        above = min(bisect_left(points, slots), len(points) - 1)
        low, high = points[above - 1], points[above]
        share = (slots - low) / (high - low)
        seconds = (1 - share) * self.seconds[low] + share * self.seconds[high]
        return max(seconds, self.seconds[high]) if share > 1 else seconds

    @classmethod
    def load(cls, path: Path) -> PassCost:
        """Read a curve of `benchmarks/pass_cost.py`.

        Raises:
            BadInput: the file is missing or has another form.
        """
        try:
            record = read_config(path)
            seconds = {int(slots): float(value) for slots, value in record["seconds"].items()}
            source = f"measured on {record['machine']}, {record['model']}, {record['dtype']}"
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise BadInput(f"{error}", "a file of benchmarks/pass_cost.py", "make one", where=path) from error
        return cls(seconds, source)


@dataclass(frozen=True)
class Prediction:
    """Cost of a setting for the recorded image.

    Attributes:
        slots: slots of each pass, the pending one included.
    """

    slots: Sequence[int]

    @property
    def passes(self) -> int:
        """Passes of the target."""
        return len(self.slots)

    def seconds(self, cost: PassCost) -> float:
        """Time of these passes."""
        return sum(cost(slots) for slots in self.slots)


def measure_cost(
    pipeline: SpatialPipeline, grid: Grid | None = None, slots: Sequence[int] | None = None, repeats: int = 5
) -> PassCost:
    """Time passes of this target on this machine, in images that are half drawn.

    Args:
        pipeline: its target is timed, with its own sampling.
        grid: of the image; None is the model's own. It needs as many open cells as the largest pass has slots.
        slots: slots of the timed passes; None takes the powers of two up to 128 that fit.
        repeats: passes of each size; the result is their median.

    Raises:
        BadInput: a pass is larger than half of the grid.
    """
    shape, target = arguments.grid(pipeline.target, grid), pipeline.target
    half = shape.cells // 2
    sizes = [2**k for k in range(8) if 2**k <= half] if slots is None else list(slots)
    if max(sizes) > half:
        raise BadInput(f"a pass of {max(sizes)} slots on {shape}", f"at most {half}", "give a larger grid")
    session = target.session(["red apple, 3d"], [""], target.default, shape)
    written = Proposal.chain(0, [0] * half, final=True)
    (scores,) = session.score([State(shape)], [written])
    step = Step.of(0, State(shape), written, scores, Verdict.all(written))
    session.keep(0, step)
    times: dict[int, list[float]] = {size: [] for size in sizes}
    for _ in range(repeats):
        for size in sizes:
            wait(target.device)
            start = time.perf_counter()
            session.score([step.after], [Proposal.chain(half, [0] * (size - 1))])
            wait(target.device)
            times[size].append(time.perf_counter() - start)
    return PassCost({size: median(values) for size, values in times.items()}, f"measured on {target.device}")
