"""Teacher states of a batch: computed by the target in every step, or once in advance and saved in files.

All random numbers of a training are known before it starts. So exactly the pairs (image, caption dropped or not) that
it needs are prepared. Files of another run are reused if they hold the same pairs.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

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
from spatialspec.io.identity import facts_digest, identity

PIECE = 64  # images of a file

# indices of images in the corpus, and whether the caption is dropped -> their states, the pre-norm ones last
Features = Callable[[Int[Tensor, "B"], Bool[Tensor, "B"]], Float[Tensor, "B cells _"]]


class Streamed:
    """One pass of the frozen target per batch, without files. States after `layers` come first, see `teacher.py`."""

    def __init__(self, target: Target, corpus: Corpus, layers: Sequence[int] = ()) -> None:
        self.target, self.corpus, self.layers = target, corpus, layers

    def __call__(self, chosen: Int[Tensor, "B"], dropped: Bool[Tensor, "B"]) -> Float[Tensor, "B cells _"]:
        """States of images of the corpus, some without their caption."""
        prompts = [self.corpus.prompts[i] for i in chosen.tolist()]
        return states(self.target, prompts, self.corpus.codes[chosen], dropped, self.layers)


class Prepared:
    """States from files, computed before the training starts.

    Args:
        target: the frozen target.
        corpus: images.
        pairs: (index of the image, whether its caption is dropped) for all that the training needs.
        folder: of the files.
        batch: images in a pass of the target.
        report: called with the size of the missing files, and after each file.
        together: see :func:`shards.make`.
        layers: as of :class:`Streamed`.

    Raises:
        BadInput: the disk is too small for the files.
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
        layers: Sequence[int] = (),
    ) -> None:
        self.device = target.device
        ordered = sorted(pairs)
        pieces = [ordered[i : i + PIECE] for i in range(0, len(ordered), PIECE)]
        stream = Streamed(target, corpus, layers)
        teacher = f"{identity(target)} {target.dtype} {target.default} {target.grid}"

        def name(images: Int[Tensor, "N"], dropped: Bool[Tensor, "N"]) -> str:
            facts = [teacher, [corpus.prompts[i] for i in images.tolist()], dropped.tolist(), *layers]
            return facts_digest(facts, corpus.codes[images].to(torch.int32).numpy().tobytes())

        def build(piece: int) -> dict[str, Tensor]:
            images, dropped = columns[piece]
            parts = [stream(images[i : i + batch], dropped[i : i + batch]) for i in range(0, len(images), batch)]
            return {"hidden": torch.cat(parts).cpu()}

        columns = [tuple(torch.tensor(column) for column in zip(*piece, strict=True)) for piece in pieces]
        names = [name(*piece) for piece in columns]
        sample = stream(columns[0][0][:1], columns[0][1][:1])
        shapes: list[shards.Shapes] = [{"hidden": (len(piece), *sample.shape[1:])} for piece in pieces]
        files = zip(pieces, names, shapes, strict=True)
        missing = sum(len(p) for p, file, s in files if not shards.whole(folder / f"{file}.safetensors", s))
        _check_room(folder, missing * sample.numel() * sample.element_size(), len(ordered), report)
        paths = shards.make(folder, names, build, report, together, shapes)
        self.index = {
            pair: (path, index) for path, piece in zip(paths, pieces, strict=True) for index, pair in enumerate(piece)
        }

    def __call__(self, chosen: Int[Tensor, "B"], dropped: Bool[Tensor, "B"]) -> Float[Tensor, "B cells _"]:
        """See :class:`Streamed`."""
        hidden = []
        for pair in zip(chosen.tolist(), dropped.tolist(), strict=True):
            path, index = self.index[pair]
            with safe_open(path, "pt") as file:
                hidden.append(file.get_slice("hidden")[index])
        return torch.stack(hidden).to(self.device)


def _check_room(folder: Path, needed: int, images: int, report: Callable[[str], None]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    report(f"features of {images} images: {needed / 1e6:.1f} MB to write, {free / 1e6:.1f} MB free")
    if needed > free:
        advice = "choose another disk, fewer images, or no --features, which streams them"
        raise BadInput(f"{free / 1e6:.1f} MB of free space", f"{needed / 1e6:.1f} MB for the features", advice, folder)


def pairs_of(draws: Iterable[tuple[np.ndarray, np.ndarray]], drop: float) -> set[tuple[int, bool]]:
    """All pairs (image, caption dropped) that the draws of a training need."""
    return {(int(i), bool(u < drop)) for chosen, uniform in draws for i, u in zip(chosen, uniform, strict=True)}
