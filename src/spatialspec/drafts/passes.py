"""What passes of `spatial` read and found while the target drew images: training data of its guide.

A window is the main path of one pass. Its slots read the last committed token and the guesses behind it; each found a
state for the cell after. Images and windows depend on target, prompts and seeds only. Finished pieces are reused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import torch
from accelerate import PartialState
from jaxtyping import Bool, Float, Int
from safetensors.torch import load_file
from torch import Tensor

from spatialspec.core.interfaces import Target
from spatialspec.core.step import Step
from spatialspec.drafts import shards
from spatialspec.drafts.progress import DrawingProgress
from spatialspec.generation import generate
from spatialspec.io.identity import facts_digest, identity
from spatialspec.methods.spatial.drafter import METHOD as SPATIAL
from spatialspec.methods.spatial.drafter import SpatialOptions
from spatialspec.methods.spatial.trained_guide import guided
from spatialspec.request import Request

PIECE = 4  # images of a file, drawn at once
LENGTH = SpatialOptions().main  # guesses of a window
NONE = -1  # no token


@dataclass(frozen=True)
class Passes:
    """Windows of some images, W of each.

    Attributes:
        tokens: of the images, after those of grids that the target draws before.
        states: guided normed state that outputs each cell, after the final tokens.
        frontiers: first open cell of each window, counted as the tokens are.
        read: guesses of each window, NONE behind its end.
        found: guided normed state in the slots of each window.
    """

    tokens: Int[Tensor, "B drawn"]
    states: Float[Tensor, "B drawn d"]
    frontiers: Int[Tensor, "B W"]
    read: Int[Tensor, "B W M"]
    found: Float[Tensor, "B W slots d"]

    def __getitem__(self, images: slice) -> Passes:
        return Passes(**{name: tensor[images] for name, tensor in vars(self).items()})


@dataclass(frozen=True)
class GuideBatch:
    """Inputs of the network for some windows, behind known cells.

    Attributes:
        states, new, old, cells, mask: of every slot, see :class:`GuideNetwork`.
        true: state after the final tokens; empty where it is not known.
        after: the next token.
        weight: in the objective; 0 where nothing is learned.
    """

    states: Float[Tensor, "B N d"]
    new: Int[Tensor, "B N"]
    old: Int[Tensor, "B N"]
    cells: Int[Tensor, "B N"]
    mask: Bool[Tensor, "B 1 N N"]
    true: Float[Tensor, "B N d"] | Float[Tensor, "0"]
    after: Int[Tensor, "B N"]
    weight: Float[Tensor, "B N"]

    @property
    def equal(self) -> Int[Tensor, "B N"]:
        """Number of slots, up to this one, that have read the final tokens, since the last one that has not."""
        index = torch.arange(self.new.shape[1], device=self.new.device).expand_as(self.new)
        return index - index.masked_fill(self.new == self.old, -1).cummax(dim=1).values

    @classmethod
    def of(
        cls,
        device: torch.device,
        states: Float[Tensor, "B N d"],
        new: Int[Tensor, "B N"],
        old: Int[Tensor, "B N"],
        cells: Int[Tensor, "B N"],
        there: Bool[Tensor, "B N"],
        *learned: Tensor,
    ) -> Self:
        """A batch on a device, with the mask of slots that are `there`; `learned` is true, after, weight."""
        square = torch.ones(cells.shape[1], cells.shape[1], dtype=torch.bool)
        mask = (square.tril() & there[:, None] | torch.eye(len(square), dtype=torch.bool))[:, None]
        return cls(*(part.to(device) for part in (states, new, old, cells.clamp(min=0), mask, *learned)))


class _Recorder:
    """Windows of one image while it is drawn: of every pass whose frontier is in the last grid, behind its start."""

    def __init__(self, cells: int, width: int, first: int) -> None:
        self.states, self.first = torch.zeros(cells, width), first
        self.windows: list[tuple[int, Int[Tensor, "M"], Float[Tensor, "slots d"]]] = []

    def add(self, step: Step, states: Float[Tensor, "R d"]) -> None:
        """Add a pass, with the guided states of its slots."""
        frontier, proposal = step.before.frontier, step.proposal
        for cell, slot in zip(range(frontier, frontier + len(step.written)), step.verdict.slots(), strict=True):
            self.states[cell] = states[slot]
        length = 0
        while length < min(len(proposal), LENGTH) and proposal.parents[length] == length - 1:
            length += 1
        if frontier > self.first and length:
            read, found = torch.full((LENGTH,), NONE), torch.zeros(LENGTH + 1, states.shape[-1])
            read[:length], found[: length + 1] = torch.tensor(proposal.tokens[:length]), states[: length + 1]
            self.windows.append((frontier, read, found))


def record(
    target: Target,
    prompts: Sequence[str],
    windows: int,
    folder: Path,
    seed: int = 0,
    report: Callable[[str], None] = print,
    together: bool = False,
) -> Passes:
    """Draw one image per prompt with `spatial` and the default sampling, and keep windows of its passes.

    Args:
        target: the target.
        prompts: one per image.
        windows: of each image, evenly spread over its passes.
        folder: of the pieces.
        seed: of image 0; image i has seed + i.
        report: called after every piece, and in between if there is no terminal.
        together: see :func:`shards.make`.
    """
    layout = target.layout(target.grid)
    first = layout.cells - target.grid.cells
    starts, facts = range(0, len(prompts), PIECE), [identity(target), str(target.dtype), str(target.default), windows]
    names = [
        f"{facts_digest([*facts, str(target.grid), seed + start, *prompts[start : start + PIECE]])}-{start:06d}"
        for start in starts
    ]
    progress = DrawingProgress(report, PartialState().is_main_process)

    def draw(piece: int) -> dict[str, Tensor]:
        chosen = list(prompts[starts[piece] : starts[piece] + PIECE])
        recorders = [_Recorder(layout.cells, target.width, first) for _ in chosen]
        progress.start(piece, len(starts), len(chosen) * layout.cells)
        written = [0] * len(chosen)

        def on_step(step: Step) -> None:
            recorders[step.image].add(step, guided(target, target.default, step.scores.hidden).cpu())
            written[step.image] = step.after.frontier
            progress.drawn(sum(written))

        seeds = [seed + starts[piece] + i for i in range(len(chosen))]
        tokens, _ = generate(target, [], SPATIAL, Request(chosen, seeds, target.default, target.grid), on_step)
        kept = [_spread(recorder.windows, windows) for recorder in recorders]
        return {
            "tokens": torch.tensor(tokens, dtype=torch.int32),
            "states": torch.stack([recorder.states for recorder in recorders]).half(),
            "frontiers": torch.tensor([[frontier for frontier, *_ in of] for of in kept], dtype=torch.int32),
            "read": torch.stack([torch.stack([read for _, read, _ in of]) for of in kept]).int(),
            "found": torch.stack([torch.stack([found for *_, found in of]) for of in kept]).half(),
        }

    with progress:
        paths = shards.make(folder, names, draw, progress.line, together)
    parts = [load_file(path) for path in paths]
    return Passes(**{name: torch.cat([part[name] for part in parts]) for name in parts[0]})


def _spread(items: Sequence[tuple[int, Tensor, Tensor]], count: int) -> list[tuple[int, Tensor, Tensor]]:
    """`count` of some items at equal distances; some of them twice if there are fewer."""
    return [items[i * len(items) // count] for i in range(count)]
