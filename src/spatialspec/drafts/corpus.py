"""Images as tokens, with captions: encoded from real images, or drawn by the target."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch
from jaxtyping import Int, UInt8
from torch import Tensor

from spatialspec.core.errors import BadInput
from spatialspec.core.interfaces import Target
from spatialspec.core.progress import Bar, silent
from spatialspec.drafts.image_folder import CaptionedImages, Row, caption
from spatialspec.drafts.teacher import check_caption
from spatialspec.targets.images import ReadsImages

MOST, PIXELS = 64, 2**20  # of a batch of encoded images: number of images, and of pixels in all


@dataclass(frozen=True)
class Corpus:
    """Images as tokens, with prompts.

    Attributes:
        prompts: one per image.
        codes: (images, cells) of the target's own grid, and of grids that it draws before the image.
        rows: source of each caption in the table of images; empty if the captions come from no table.
        before: cells of the grids before the image.
    """

    prompts: list[str]
    codes: Int[Tensor, "N cells"]
    rows: list[Row] = field(default_factory=list)
    before: int = 0

    def __len__(self) -> int:
        return len(self.prompts)

    @property
    def digest(self) -> str:
        """Hash of every prompt and token."""
        text = "\0".join(self.prompts).encode() + self.codes.to(torch.int32).numpy().tobytes()
        return hashlib.sha256(text).hexdigest()[:16]

    @property
    def image(self) -> Int[Tensor, "N cells"]:
        """Tokens of the image alone, whose states :func:`teacher.states` returns."""
        return self.codes[:, self.before :]

    def __getitem__(self, part: slice) -> Corpus:
        return Corpus(self.prompts[part], self.codes[part], self.rows[part], self.before)


def readable(prompts: Sequence[str], check: Callable[[str], None], report: Callable[[str], None]) -> list[int]:
    """Indices of the prompts that pass a check (it raises ValueError for others); one line reports the others."""
    good, reason = [], ""
    for index, text in enumerate(prompts):
        try:
            check(text)
            good.append(index)
        except ValueError as error:
            reason = str(error)
    if len(good) < len(prompts):
        report(f"left out {len(prompts) - len(good)} of {len(prompts)} prompts, the last because: {reason}")
    return good


def from_images(
    target: Target,
    images: CaptionedImages,
    seed: int,
    limit: int | None,
    held_out: int,
    report: Callable[[str], None] = print,
    bar: Bar = silent,
) -> tuple[Corpus, Corpus]:
    """Encode real images with the target's VQ tokenizer: a training set, and held-out ones for the figures.

    Held out are combinations of a known concept and a known style (split "pair"), or the last images of a folder
    without that split.

    Args:
        target: can encode images, see :class:`ReadsImages`.
        images: of every split, at the size of the target's own grid.
        seed: of the wording of captions, and of the choice if there is a limit.
        limit: most images of the training set; None for all.
        held_out: most images for the figures.
        report: called with one line if the target refuses captions.
        bar: makes a progress bar over the tokens of the images.

    Raises:
        BadInput: the target cannot encode images, they have another size, or there are too few.
    """
    if not isinstance(target, ReadsImages):
        got, advice = f"images for {target.name}, which has no encoder of images", "--self-distil PROMPTS"
        raise BadInput(got, "a target with an encoder", f"train on images that it draws, {advice}")
    height, width = image_size(target)
    if images.pixels.shape[1:3] != (height, width):
        got = "x".join(map(str, images.pixels.shape[1:3]))
        raise BadInput(f"images of {got} pixels", f"{height}x{width} for {target.grid}", "resize them")
    images = images.with_left_out(held_out, "pair")
    known, unseen = images.select("train"), images.select("pair")
    rows, rng = [*known.rows, *unseen.rows[:held_out]], np.random.default_rng(seed)
    prompts = [caption(row, rng) for row in rows]
    taken = np.array(readable(prompts, partial(check_caption, target), report), dtype=np.int64)
    chosen, reported = taken[taken < len(known.rows)], taken[taken >= len(known.rows)]
    if not len(chosen) or not len(reported):
        split = f"{len(chosen)} of them for training and {len(reported)} held out"
        advice = "add images of the split train, with captions that the target accepts"
        raise BadInput(f"{len(images.rows)} images, {split}", "some of each", advice)
    if limit is not None and limit < len(chosen):
        chosen = chosen[np.sort(rng.permutation(len(chosen))[:limit])]
    batch = max(1, min(MOST, PIXELS // (height * width)))
    with bar((len(chosen) + len(reported)) * target.grid.cells) as show:

        def encoded(indices: Int[np.ndarray, "N"], pixels: UInt8[np.ndarray, "N H W 3"]) -> Corpus:
            parts = []
            for part in torch.from_numpy(pixels).split(batch):
                parts.append(target.codes(part).to("cpu", torch.int32))
                show("reading images", parts[-1].numel())
            return Corpus([prompts[i] for i in indices], torch.cat(parts), [rows[i] for i in indices])

        return (
            encoded(chosen, known.pixels[chosen]),
            encoded(reported, unseen.pixels[reported - len(known.rows)]),
        )


def image_size(target: Target) -> tuple[int, int]:
    """Height and width in pixels of images that fill the target's grid; 4 pixels a cell if it has no encoder."""
    cell = target.patch if isinstance(target, ReadsImages) else 4
    return target.grid.rows * cell, target.grid.columns * cell


def captions(images: CaptionedImages, count: int, seed: int) -> tuple[list[str], list[Row]]:
    """Captions of training images, drawn with replacement, and their rows in the table.

    Raises:
        BadInput: there is no training image.
    """
    rng = np.random.default_rng(seed)
    rows = images.select("train").rows
    if not rows:
        raise BadInput("no image of the split train", "captions to draw", "check metadata.csv")
    drawn = [rows[int(i)] for i in rng.integers(len(rows), size=count)]
    return [caption(row, rng) for row in drawn], drawn
