"""A loaded model at rest: its grid, prompts, image vocabulary, row ends and codec."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer

from spatialspec.core.errors import BadInput, overflow
from spatialspec.core.grid import Grid
from spatialspec.core.interfaces import Target
from spatialspec.core.proposal import Proposal
from spatialspec.core.state import State
from spatialspec.doctor.files import Folder
from spatialspec.doctor.report import Finding
from spatialspec.targets.grid_engine import GridEngine
from spatialspec.targets.icons.target import IconsTarget
from spatialspec.targets.image_vocabulary import ImageVocabulary
from spatialspec.targets.language_target import LanguageTarget
from spatialspec.targets.llamagen.target import LlamaGenTarget
from spatialspec.targets.slots import Slots
from spatialspec.targets.words import IMAGE_NAMES

PROMPTS = ("a red apple", "0")  # words, or a class


def choose_prompt(target: Target, grid: Grid) -> str:
    """A prompt that this target draws.

    Raises:
        BadInput: it takes none that is known here; the message is its own.
    """
    known = getattr(target.prompts, "known", {}) if isinstance(target, LlamaGenTarget) else {}
    refused: BadInput | None = None
    for prompt in (*PROMPTS, *known):
        try:
            target.check_prompts([prompt], [""], grid)
            return prompt
        except BadInput as error:
            refused = refused or error
    raise refused or BadInput("no prompt", "one")


def check_grid(target: Target, grid: Grid) -> Iterator[Finding]:
    """The grid can be drawn."""
    target.check_grid(grid)
    own = "" if grid == target.grid else f" (the model's own is {target.grid})"
    yield Finding(check="grid", status="ok", got=f"{grid}, {grid.cells} cells{own}", expected="a grid that it can draw")


def check_prompt(target: Target, folder: Folder, prompt: str) -> Iterator[Finding]:
    """The tokenizer of prompts is the model's own: its ids are those that the model has embeddings of."""
    check, expected, path = "prompts", "ids that the text embedding has", folder.path / "tokenizer.json"
    advice = "tokenizer.json is another model's: fetch it again"
    if not path.is_file():  # a model that draws classes has none
        yield Finding(check=check, status="ok", got=f"{prompt!r} is taken", expected="a prompt that can be drawn")
        return
    tokenizer = Tokenizer.from_file(str(path))
    ids = tokenizer.get_vocab(with_added_tokens=True)
    rows = _text_rows(target)
    most = max(ids.values(), default=-1) + 1
    fits = most == rows if isinstance(target, IconsTarget) else most <= rows
    named = folder.config.get("vocabulary_map") or {}
    moved = [name for name, number in named.items() if ids.get(name, number) != number]
    if not fits:
        expected = f"{'' if isinstance(target, IconsTarget) else 'at most '}{rows:,}, the rows of the text embedding"
        yield Finding(check=check, status="failed", got=f"{most:,} ids of text", expected=expected, advice=advice)
    elif moved:
        name = moved[0]
        got = f"{name!r} is {ids[name]}, vocabulary_map has {named[name]} ({len(moved)} such names)"
        expected = "the same ids in tokenizer.json and config.json"
        yield Finding(check=check, status="failed", got=got, expected=expected, advice=advice)
    else:
        yield Finding(check=check, status="ok", got=f"{most:,} ids of text, {rows:,} embeddings", expected=expected)


def _text_rows(target: Target) -> int:
    """Rows of the embedding that prompts go through."""
    if isinstance(target, IconsTarget):
        return target.model.config.text_vocabulary
    if isinstance(target, LanguageTarget):
        return target.decoder.embedding.num_embeddings
    raise BadInput(f"a tokenizer for {target.name}", "none", "it reads no text of its own")


@torch.inference_mode()
def check_vocabulary(target: Target, folder: Folder) -> Iterator[Finding]:
    """Image tokens, codes of the codec, embeddings and outputs are equally many, and every code can be drawn."""
    v, codes = target.vocabulary, len(target.codebook)
    tokens = torch.arange(v, device=target.device)
    embedded = target.embed(tokens)
    logits = target.output(target.norm(embedded[:1]))
    named = [name for name in folder.config.get("vocabulary_map") or {} if name.startswith(IMAGE_NAMES)]
    counts = {"codes of the codec": codes, "outputs": logits.shape[-1], "embeddings": len(embedded)}
    if isinstance(target, ImageVocabulary):
        counts |= {"names in vocabulary_map": len(named), "different ids": len(set(target.ids.tolist()))}
    expected = f"{v:,} of everything, the image tokens of the model"
    wrong = [f"{count:,} {what}" for what, count in counts.items() if count != v]
    check = "image vocabulary"
    if wrong:
        advice = "the codec or config.json is another model's: fetch it again"
        yield Finding(check=check, status="failed", got=", ".join(wrong), expected=expected, advice=advice)
    elif not all(bool(x.isfinite().all()) for x in (embedded, logits, target.codebook)):
        got, advice = "numbers that are not finite", overflow(target.dtype)
        yield Finding(check=check, status="failed", got=got, expected="finite numbers", advice=advice)
    else:
        got = f"{v:,} image tokens, {target.codebook.shape[1]} numbers a code, width {target.width}"
        yield Finding(check=check, status="ok", got=got, expected="as many codes, embeddings and outputs")


def row_ends(target: Target) -> tuple[int, ...]:
    """Ids of the tokens that the layout dictates behind each row."""
    return tuple(target.row_end) if isinstance(target, LanguageTarget) else ()


def check_row_ends(target: Target, grid: Grid) -> Iterator[Finding]:
    """Forced tokens stand behind every row but the last, in this order, and are no image tokens."""
    forced, check = row_ends(target), "row ends"
    if not forced:
        yield Finding(check=check, status="ok", got="none", expected="none: this kind of model has none")
        return
    ids = ", ".join(map(str, forced))
    if isinstance(target, ImageVocabulary) and set(target.ids.tolist()) & set(forced):
        got, advice = f"id {ids}, which is an image token too", "fetch config.json again"
        yield Finding(check=check, status="failed", got=got, expected="an id of its own", advice=advice)
        return
    slots = Slots.of(State(grid), Proposal.chain(0, [0] * grid.cells), len(forced), 0)
    row = [0] * grid.columns + list(range(1, len(forced) + 1))
    wanted = np.array((row * grid.rows)[: len(slots.steps)])
    whole = len(slots) == grid.cells + (grid.rows - 1) * len(forced)
    if not (whole and (slots.steps == wanted).all() and (slots.positions == np.arange(len(slots))).all()):
        got = f"{int((slots.steps > 0).sum())} forced tokens in {len(slots)} places"
        expected = f"{(grid.rows - 1) * len(forced)}: {len(forced)} behind every row but the last"
        advice = "a fault of this library: report it with this line"
        yield Finding(check=check, status="failed", got=got, expected=expected, advice=advice)
        return
    got = f"id {ids} behind {grid.rows - 1} rows, nothing behind the last"
    expected = "in place, no image token: never drafted, never sampled; what closes a picture needs no model"
    yield Finding(check=check, status="ok", got=got, expected=expected)


def check_codec(target: Target, grid: Grid) -> Iterator[Finding]:
    """Codes become pixels: as many as config.json says, and not all of them the same."""
    check, expected = "codec", "codes of the image vocabulary as pixels"
    step = max(1, target.vocabulary // grid.cells)
    picture = target.pixels([cell * step % target.vocabulary for cell in range(grid.cells)], grid)
    cell = cell_side(target) or picture.width // grid.columns
    size, wanted = picture.size, (grid.columns * cell, grid.rows * cell)
    values = np.asarray(picture)
    low, high = int(values.min()), int(values.max())
    if size != wanted or picture.mode != "RGB":
        got = f"{size[0]}x{size[1]} pixels, {picture.mode}"
        expected = f"{wanted[0]}x{wanted[1]} pixels, RGB: {cell} a side of a cell"
        advice = "the codec is another model's: fetch it again"
        yield Finding(check=check, status="failed", got=got, expected=expected, advice=advice)
    elif low == high:
        got, advice = f"every pixel is {low}", "the codec's weights are damaged or overflow: fetch it again, or --dtype"
        yield Finding(check=check, status="failed", got=got, expected="a picture", advice=advice)
    else:
        got = f"{size[0]}x{size[1]} pixels, {low} to {high}"
        yield Finding(check=check, status="ok", got=got, expected=f"{cell} pixels a side of a cell, 0 to 255")


def cell_side(target: Target) -> int:
    """Pixels a side of a cell, by the codec's configuration; 0 where the kind of target is not one of the package."""
    parts: Any = target
    if not isinstance(target, GridEngine | LanguageTarget):
        return 0
    codec: Any = parts.vq if hasattr(parts, "vq") else parts.parts.vqmodel
    sizes = codec if hasattr(codec, "patch") else codec.config
    return int(sizes.patch) if hasattr(sizes, "patch") else 2 ** (len(sizes.channel_multiplier) - 1)
