"""Images that the target draws for self-distillation: batched AR, over any number of processes, resumable.

Image i depends on the target and (seed + i, prompt) only, so that any number of runs and processes draws the same
images.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from accelerate import PartialState
from jaxtyping import Int
from safetensors.torch import load_file
from torch import Tensor

from spatialspec.core.interfaces import Target
from spatialspec.decode import Step
from spatialspec.drafts import shards
from spatialspec.drafts.progress import DrawingProgress
from spatialspec.generation import generate
from spatialspec.io.identity import facts_digest, identity
from spatialspec.io.tensors import write_tensors
from spatialspec.methods.ar import METHOD as AR
from spatialspec.request import Request

EVERY = 60  # seconds between two saves of an unfinished piece


def self_distil(
    target: Target,
    prompts: Sequence[str],
    folder: Path,
    batch: int = 48,
    seed: int = 0,
    report: Callable[[str], None] = print,
    together: bool = False,
) -> Int[Tensor, "N cells"]:
    """Draw one image per prompt with the target's default sampling; finished images in the folder are reused.

    Args:
        target: the target.
        prompts: one per image.
        folder: of the pieces.
        batch: images of a piece, drawn at once; halved whenever memory runs out.
        seed: of image 0.
        report: called after every piece, and in between if there is no terminal.
        together: see :func:`shards.make`.

    Returns:
        Tokens of each image, after those of grids that the target draws before it.

    Raises:
        torch.OutOfMemoryError: there is not enough memory for one image, or, `together`, for `batch`.
    """
    at_once, cells = batch, target.layout(target.grid).cells
    starts, drawer = range(0, len(prompts), batch), identity(target)

    def name(start: int) -> str:
        chosen = list(prompts[start : start + batch])
        facts = [drawer, str(target.dtype), target.default.facts(), str(target.grid), seed + start, chosen]
        return f"{facts_digest(facts)}-{start:06d}"

    def draw(piece: int) -> dict[str, Tensor]:
        nonlocal at_once
        first, last = starts[piece], min(starts[piece] + batch, len(prompts))
        part = None if together else folder / f"{name(first)}.part.safetensors"
        drawn, written = _begun(part, last - first, target)
        progress.start(piece, len(starts), (last - first) * cells)
        while (start := first + len(drawn)) < last:
            chosen = list(prompts[start : min(start + (len(written) or at_once), last)])
            seeds = range(seed + start, seed + start + len(chosen))
            request = Request(chosen, seeds, target.default, target.grid, written=written)
            unfinished = _Unfinished(part, drawn, [()] * len(chosen))

            def on_step(step: Step, unfinished: _Unfinished = unfinished) -> None:
                unfinished.observe(step)
                progress.drawn(len(unfinished.drawn) * cells + sum(map(len, unfinished.written)))

            try:
                drawn += generate(target, [], AR, request, on_step)[0]
                written = []
            except torch.OutOfMemoryError:
                if written:  # too large a prefill: start again
                    written = []
                    continue
                if at_once == 1 or together:
                    raise
                at_once = len(chosen) // 2
                progress.line(f"not enough memory for {len(chosen)} images at once, continuing with {at_once}")
            except KeyboardInterrupt:
                unfinished.save()
                raise
        return {"tokens": torch.tensor(drawn, dtype=torch.int32)}

    progress = DrawingProgress(report, PartialState().is_main_process)
    report(f"{len(prompts)} images to draw, {batch} at once")
    names, sizes = [name(start) for start in starts], [min(batch, len(prompts) - start) for start in starts]
    with progress:
        shapes: list[shards.Shapes] = [{"tokens": (size, cells)} for size in sizes]
        paths = shards.make(folder, names, draw, progress.line, together, shapes)
    for file in names:
        (folder / f"{file}.part.safetensors").unlink(missing_ok=True)
    return torch.cat([load_file(path)["tokens"] for path in paths])


class _Unfinished:
    """Finished and begun images of an unfinished piece, saved regularly in the file `part`."""

    def __init__(self, part: Path | None, drawn: list[tuple[int, ...]], written: list[tuple[int, ...]]) -> None:
        self.part, self.drawn, self.written = part, drawn, written
        self._saved = time.monotonic()

    def observe(self, step: Step) -> None:
        """Update an image after its pass."""
        self.written[step.image] = step.after.tokens
        if time.monotonic() - self._saved > EVERY:
            self.save()

    def save(self) -> None:
        """Write the file."""
        self._saved, shortest = time.monotonic(), min(map(len, self.written))
        if self.part is not None and (self.drawn or shortest):
            parts = {"drawn": self.drawn, "written": [tokens[:shortest] for tokens in self.written]}
            write_tensors(self.part, {key: torch.tensor(value, dtype=torch.int32) for key, value in parts.items()})


def _begun(part: Path | None, count: int, target: Target) -> tuple[list[tuple[int, ...]], list[tuple[int, ...]]]:
    """Finished images of a piece, and the first tokens of begun ones, from an earlier run."""
    if part is None or not shards.whole(part):
        return [], []
    stored, cells = load_file(part), target.layout(target.grid).cells
    drawn, written = (stored.get(key, torch.zeros(0)) for key in ("drawn", "written"))
    sound = (
        written.dim() == 2
        and written.shape[1] < cells
        and len(drawn) + len(written) <= count
        and (not len(drawn) or drawn.shape[1:] == (cells,))
        and all(bool(((tokens >= 0) & (tokens < target.vocabulary)).all()) for tokens in (drawn, written))
    )
    return ([tuple(t) for t in drawn.tolist()], [tuple(t) for t in written.tolist() if t]) if sound else ([], [])
