"""Pictures as tokens, with captions: read from a folder, or drawn by the target itself."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int, UInt8
from torch import Tensor

from spatialspec.core.errors import BadInput
from spatialspec.core.interfaces import Target
from spatialspec.drafts.image_folder import Pictures, load, rows_of
from spatialspec.drafts.teacher import check_caption
from spatialspec.lab.icons.target import caption
from spatialspec.progress import Bar, silent
from spatialspec.targets.images import ReadsImages

MOST, PIXELS = 64, 2**20  # pictures that are encoded at once, and pixels of all of them


@dataclass(frozen=True)
class Corpus:
    """Pictures as tokens, with prompts.

    Attributes:
        prompts: one per picture.
        codes: (pictures, cells) of the target's own grid.
        rows: of the table that captions are from, one per picture; empty where they are from no table.
    """

    prompts: list[str]
    codes: Int[Tensor, "N cells"]
    rows: list[dict[str, str]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.prompts)

    @property
    def digest(self) -> str:
        """Hash of every prompt and token."""
        text = "\0".join(self.prompts).encode() + self.codes.to(torch.int32).numpy().tobytes()
        return hashlib.sha256(text).hexdigest()[:16]


def read_pictures(folder: Path, size: int | tuple[int, int], report: Callable[[str], None]) -> Pictures:
    """Read a folder of pictures with `metadata.csv`; what cannot be used is left out, counted and reported.

    Args:
        folder: of pictures and table.
        size: pixels a side, or (height, width), that they are resized and cut to.
        report: called with one line if anything was left out.

    Raises:
        BadInput: no table, no such column, no text, or nothing that can be used.
    """
    listed, found = len(rows_of(folder)), load(folder, size)
    good = [i for i, row in enumerate(found.rows) if _usable(row)]
    unreadable, mute = listed - len(found.rows), len(found.rows) - len(good)
    if unreadable or mute:
        report(f"left out of {listed} pictures: {unreadable} that cannot be read, {mute} without a usable caption")
    if not good:
        raise BadInput("no picture with a caption", "some", "check the column text", where=folder)
    return Pictures(found.pixels[good], [found.rows[i] for i in good])


def _usable(row: dict[str, str]) -> bool:
    text = row["text"]
    return bool(text.strip()) and not {"\0", "\ufffd"} & set(text)


def readable(words: Sequence[str], check: Callable[[str], None], report: Callable[[str], None]) -> list[int]:
    """Places of the captions that pass a check; the others are counted and reported.

    Args:
        words: captions.
        check: raises a ValueError for a bad one.
        report: called with one line if there are any.
    """
    good = []
    for place, text in enumerate(words):
        try:
            check(text)
        except ValueError as error:
            reason = str(error)
        else:
            good.append(place)
    if len(good) < len(words):
        report(f"left out {len(words) - len(good)} of {len(words)} prompts, the last because: {reason}")
    return good


def from_pictures(
    target: Target,
    found: Pictures,
    seed: int,
    limit: int | None,
    held_out: int,
    report: Callable[[str], None] = print,
    bar: Bar = silent,
) -> tuple[Corpus, Corpus]:
    """Real pictures through the target's VQ tokenizer: those to learn from, and left-out ones for the figures.

    Left out are combinations of a known concept and a known style (split "pair"); where a folder has no such split,
    its last pictures.

    Args:
        target: can read pictures, see :class:`ReadsImages`.
        found: pictures of every split, at the size of the target's own grid.
        seed: of the wording of captions, and of the choice if there is a limit.
        limit: most pictures to learn from; None for all.
        held_out: most pictures for the figures.
        report: called with one line if captions are left out, which the target does not take.
        bar: makes a progress bar over the tokens of the pictures.

    Raises:
        BadInput: the target cannot read pictures, they have another size, or there are too few.
    """
    if not isinstance(target, ReadsImages):
        raise BadInput(
            f"pictures for {target.name}, which has no encoder of pictures",
            "one that has",
            "learn from pictures that it draws, --self-distil PROMPTS",
        )
    height, width = picture_size(target)
    if found.pixels.shape[1:3] != (height, width):
        got = "x".join(map(str, found.pixels.shape[1:3]))
        raise BadInput(f"pictures of {got} pixels", f"{height}x{width} for {target.grid}", "read them so")
    split_up = found.with_left_out(held_out, "pair")
    known, unseen = split_up.select("train"), split_up.select("pair")
    rng = np.random.default_rng(seed)
    words = [caption(row, rng) for row in known.rows]
    unseen_words = [caption(row, rng) for row in unseen.rows[:held_out]]
    taken = readable([*words, *unseen_words], partial(check_caption, target), report)
    chosen = np.array([i for i in taken if i < len(words)], dtype=np.int64)
    shown = [i - len(words) for i in taken if i >= len(words)]
    if not len(chosen) or not shown:
        raise BadInput(
            f"{len(found.rows)} pictures, {len(chosen)} of them to learn from and {len(shown)} to report on",
            "some of either",
            "add pictures of the split train, with captions that the target takes",
        )
    if limit is not None and limit < len(chosen):
        chosen = chosen[np.sort(rng.permutation(len(chosen))[:limit])]
    batch = max(1, min(MOST, PIXELS // (height * width)))
    with bar((len(chosen) + len(shown)) * target.grid.cells) as tell:

        def codes(pixels: UInt8[np.ndarray, "N H W 3"]) -> Int[Tensor, "N cells"]:
            parts = []
            for part in torch.from_numpy(pixels).split(batch):
                parts.append(target.codes(part).to("cpu", torch.int32))
                tell("reading pictures", parts[-1].numel())
            return torch.cat(parts)

        learned, reported = codes(known.pixels[chosen]), codes(unseen.pixels[shown])
    return (
        Corpus([words[i] for i in chosen], learned, [known.rows[i] for i in chosen]),
        Corpus([unseen_words[i] for i in shown], reported, [unseen.rows[i] for i in shown]),
    )


def picture_size(target: Target) -> tuple[int, int]:
    """Height and width in pixels of pictures that fill the target's own grid; 4 a cell where it cannot read any."""
    cell = target.patch if isinstance(target, ReadsImages) else 4
    return target.grid.rows * cell, target.grid.columns * cell


def captions(found: Pictures, count: int, seed: int) -> tuple[list[str], list[dict[str, str]]]:
    """Captions of training pictures, drawn with replacement, and the rows that they are from.

    Raises:
        BadInput: there is no training picture.
    """
    rng = np.random.default_rng(seed)
    rows = found.select("train").rows
    if not rows:
        raise BadInput("no picture of the split train", "captions to draw", "check metadata.csv")
    drawn = [rows[int(i)] for i in rng.integers(len(rows), size=count)]
    return [caption(row, rng) for row in drawn], drawn


def split(
    prompts: Sequence[str], codes: Int[Tensor, "N cells"], rows: list[dict[str, str]], held_out: int
) -> tuple[Corpus, Corpus]:
    """The last `held_out` pictures for the figures, those before them to learn from."""
    known = len(prompts) - held_out
    return Corpus(list(prompts[:known]), codes[:known], rows[:known]), Corpus(
        list(prompts[known:]), codes[known:], rows[known:]
    )
