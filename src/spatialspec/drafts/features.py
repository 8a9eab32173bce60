"""Teacher features for a batch: streamed from the target in every step, or prepared once in files.

What is prepared are the states of exactly those pairs (picture, caption dropped or not) that the training will ask for;
the draws of all steps are known before it starts. Files of another run are used where they hold the same pairs.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from safetensors import safe_open
from torch import Tensor

from spatialspec.core.errors import BadInput
from spatialspec.core.interfaces import Target
from spatialspec.drafts import shards
from spatialspec.drafts.corpus import Corpus
from spatialspec.drafts.teacher import states
from spatialspec.identity import identity

PIECE = 64  # pictures of a file


class Features(Protocol):
    """Where a batch's states come from."""

    def __call__(self, chosen: Int[Tensor, "B"], dropped: Bool[Tensor, "B"]) -> Float[Tensor, "B cells _"]:
        """States of pictures of the corpus, some without their caption; the pre-norm ones come last."""
        ...


class Streamed:
    """One pass of the target per batch; nothing on disk.

    Args:
        target: the frozen target.
        corpus: pictures.
        blocks: whose states are wanted in front of the last ones; see `teacher.py`.
    """

    def __init__(self, target: Target, corpus: Corpus, blocks: Sequence[int] = ()) -> None:
        self.target, self.corpus, self.blocks = target, corpus, blocks

    def __call__(self, chosen: Int[Tensor, "B"], dropped: Bool[Tensor, "B"]) -> Float[Tensor, "B cells _"]:
        """See :class:`Features`."""
        words = [self.corpus.prompts[i] for i in chosen.tolist()]
        return states(self.target, words, self.corpus.codes[chosen], dropped, self.blocks)


class Prepared:
    """States from files, made before the training starts.

    Args:
        target: the frozen target.
        corpus: pictures.
        pairs: index of the picture, and whether its caption was dropped, of all that will be asked for.
        folder: of the files.
        batch: pictures of a pass of the target.
        report: called with the size that the files will have, and after each.
        together: see :func:`shards.make`.
        blocks: as of :class:`Streamed`.

    Raises:
        BadInput: the disk has no room for the files.
    """

    def __init__(
        self,
        target: Target,
        corpus: Corpus,
        pairs: set[tuple[int, bool]],
        folder: Path,
        batch: int,
        report: Callable[[str], None],
        together: bool = False,
        blocks: Sequence[int] = (),
    ) -> None:
        self.device = target.device
        ordered = sorted(pairs)
        pieces = [ordered[i : i + PIECE] for i in range(0, len(ordered), PIECE)]
        teacher = f"{identity(target)} {target.dtype} {target.default} {target.grid}"
        names = [_name(teacher, corpus, piece, blocks) for piece in pieces]
        stream = Streamed(target, corpus, blocks)

        def build(piece: int) -> dict[str, Tensor]:
            picture, dropped = (torch.tensor(column) for column in zip(*pieces[piece], strict=True))
            parts = [stream(picture[i : i + batch], dropped[i : i + batch]) for i in range(0, len(picture), batch)]
            return {"hidden": torch.cat(parts).cpu()}

        sample = stream(torch.tensor([ordered[0][0]]), torch.tensor([ordered[0][1]]))
        shapes: list[shards.Shapes] = [{"hidden": (len(piece), *sample.shape[1:])} for piece in pieces]
        files = zip(pieces, names, shapes, strict=True)
        missing = sum(len(p) for p, name, s in files if not shards.whole(folder / f"{name}.safetensors", s))
        _check_room(folder, missing * sample.numel() * sample.element_size(), len(ordered), report)
        paths = shards.make(folder, names, build, report, together, shapes)
        self.place = {
            pair: (path, row) for path, piece in zip(paths, pieces, strict=True) for row, pair in enumerate(piece)
        }

    def __call__(self, chosen: Int[Tensor, "B"], dropped: Bool[Tensor, "B"]) -> Float[Tensor, "B cells _"]:
        """See :class:`Features`."""
        rows = []
        for pair in zip(chosen.tolist(), dropped.tolist(), strict=True):
            path, row = self.place[pair]
            with safe_open(path, "pt") as file:
                rows.append(file.get_slice("hidden")[row])
        return torch.stack(rows).to(self.device)


def _name(teacher: str, corpus: Corpus, pairs: list[tuple[int, bool]], blocks: Sequence[int]) -> str:
    words = [corpus.prompts[i] for i, _ in pairs]
    codes = corpus.codes[torch.tensor([i for i, _ in pairs])].to(torch.int32).numpy().tobytes()
    dropped = [gone for _, gone in pairs]
    what = json.dumps([teacher, words, dropped, *blocks])
    return hashlib.sha256(what.encode() + codes).hexdigest()[:16]


def _check_room(folder: Path, needed: int, pictures: int, report: Callable[[str], None]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    report(f"features of {pictures} pictures: {needed / 1e6:.1f} MB to write, {free / 1e6:.1f} MB free")
    if needed > free:
        raise BadInput(
            f"{free / 1000000.0:.1f} MB of room",
            f"{needed / 1000000.0:.1f} MB for the features",
            "choose another disk, fewer pictures, or no --features, which streams them",
            where=folder,
        )


def pairs_of(draws: Iterable[tuple[np.ndarray, np.ndarray]], drop: float) -> set[tuple[int, bool]]:
    """All pairs (picture, caption dropped) that the draws of a training ask for."""
    return {(int(i), bool(lot < drop)) for chosen, lots in draws for i, lot in zip(chosen, lots, strict=True)}
