"""The target's own pictures, drawn by batched AR, for self-distillation, over any number of processes; resumable.

Picture i of a list of prompts depends on the target and (seed + i, prompt) and on nothing else, so any number of runs,
on any number of processes, gives the same.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from jaxtyping import Int
from safetensors.torch import load_file
from torch import Tensor

from spatialspec.core.protocols import Target
from spatialspec.generation import Request, generate
from spatialspec.identity import identity
from spatialspec.methods import Method
from spatialspec.training import shards


def self_distil(
    target: Target,
    prompts: Sequence[str],
    folder: Path,
    batch: int = 48,
    seed: int = 0,
    report: Callable[[str], None] = print,
    together: bool = False,
) -> Int[Tensor, "N cells"]:
    """Draw one picture per prompt with the target's default sampling; what is there already is read, not made again.

    Args:
        target: the target.
        prompts: what to draw.
        folder: of the pieces.
        batch: pictures of a piece, drawn at once; half as many from where memory runs out on.
        seed: of picture 0.
        report: called after every piece.
        together: see :func:`shards.make`.

    Returns:
        Tokens of each picture.

    Raises:
        torch.OutOfMemoryError: there is no room for one picture, or, `together`, for `batch`.
    """
    at_once = batch
    starts, drawer = range(0, len(prompts), batch), identity(target)

    def name(start: int) -> str:
        chosen = list(prompts[start : start + batch])
        what = [drawer, str(target.dtype), asdict(target.default), str(target.grid), seed + start, chosen]
        return f"{hashlib.sha256(json.dumps(what).encode()).hexdigest()[:16]}-{start:06d}"

    def draw(piece: int) -> dict[str, Tensor]:
        nonlocal at_once
        first, last = starts[piece], min(starts[piece] + batch, len(prompts))
        drawn: list[tuple[int, ...]] = []
        while (start := first + len(drawn)) < last:
            chosen = list(prompts[start : min(start + at_once, last)])
            seeds = range(seed + start, seed + start + len(chosen))
            try:
                drawn += generate(target, [], Method("ar"), Request(chosen, seeds, target.default, target.grid))[0]
            except torch.OutOfMemoryError:
                if at_once == 1 or together:
                    raise
                at_once = len(chosen) // 2
                report(f"no room for {len(chosen)} pictures at once, going on with {at_once}")
        return {"tokens": torch.tensor(drawn, dtype=torch.int32)}

    report(f"{len(prompts)} pictures to draw, {batch} at once")
    paths = shards.make(folder, [name(start) for start in starts], draw, report, together)
    return torch.cat([load_file(path)["tokens"] for path in paths])
