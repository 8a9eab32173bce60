"""Checks of a loaded model that draw nothing: grid, prompts, image vocabulary, row ends and codec.

A check yields findings, or raises BadInput if it failed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from tokenizers import Tokenizer

from spatialspec.core.errors import BadInput, overflow
from spatialspec.core.grid import Grid
from spatialspec.core.interfaces import Target
from spatialspec.core.proposal import Proposal
from spatialspec.core.state import State
from spatialspec.doctor.files import ModelFolder
from spatialspec.doctor.report import Finding, ok
from spatialspec.io.pipeline_folder import processor_folder
from spatialspec.targets.icons.target import IconsTarget
from spatialspec.targets.image_vocabulary import ImageVocabulary
from spatialspec.targets.language_target import LanguageTarget
from spatialspec.targets.llamagen.classes import ClassCondition
from spatialspec.targets.llamagen.target import LlamaGenTarget
from spatialspec.targets.slots import Slots
from spatialspec.targets.words import IMAGE_NAMES

PROMPTS = ("a red apple", "0")  # words, or a class


def choose_prompt(target: Target, grid: Grid) -> str:
    """A prompt that this target accepts.

    Raises:
        BadInput: it accepts none of PROMPTS; the message is the target's.
    """
    captions: Iterable[str] = ()
    if isinstance(target, LlamaGenTarget) and not isinstance(target.prompts, ClassCondition):
        captions = target.prompts.known
    refused: BadInput | None = None
    for prompt in (*PROMPTS, *captions):
        try:
            target.check_prompts([prompt], [""], grid)
            return prompt
        except BadInput as error:
            refused = refused or error
    raise refused or BadInput("no prompt", "one")


def check_grid(target: Target, grid: Grid) -> Iterator[Finding]:
    """Check that the grid can be drawn."""
    target.check_grid(grid)
    default = "" if grid == target.grid else f" (the model's own is {target.grid})"
    yield ok("grid", f"{grid}, {grid.cells} cells{default}", "a grid that it can draw")


def check_prompt(target: Target, folder: ModelFolder, prompt: str) -> Iterator[Finding]:
    """Check that the tokenizer of prompts is the model's: the text embedding has a vector for each of its ids."""
    path, advice = processor_folder(folder.path) / "tokenizer.json", "tokenizer.json is another model's: fetch it again"
    if not path.is_file():  # a model that draws classes has none
        yield ok("prompts", f"{prompt!r} is taken", "a prompt that can be drawn")
        return
    ids = Tokenizer.from_file(str(path)).get_vocab(with_added_tokens=True)
    embeddings, all_used = _text_embeddings(target), isinstance(target, IconsTarget)
    most = max(ids.values(), default=-1) + 1
    if most > embeddings or (all_used and most < embeddings):
        expected = f"{'' if all_used else 'at most '}{embeddings:,}, the rows of the text embedding"
        raise BadInput(f"{most:,} ids of text", expected, advice)
    table = folder.config.get("vocabulary_map") or {}
    if moved := [name for name, number in table.items() if ids.get(name, number) != number]:
        name = moved[0]
        got = f"{name!r} is {ids[name]}, vocabulary_map has {table[name]} ({len(moved)} such names)"
        raise BadInput(got, "the same ids in tokenizer.json and config.json", advice)
    yield ok("prompts", f"{most:,} ids of text, {embeddings:,} embeddings", "ids that the text embedding has")


def _text_embeddings(target: Target) -> int:
    """Number of vectors of the text embedding."""
    if isinstance(target, IconsTarget):
        return target.model.config.text_vocabulary
    if isinstance(target, LanguageTarget):
        return target.decoder.embedding.num_embeddings
    raise BadInput(f"a tokenizer for {target.name}", "none", "it has no text embedding")


@torch.inference_mode()
def check_vocabulary(target: Target, folder: ModelFolder) -> Iterator[Finding]:
    """Check that image tokens, codes, embeddings and outputs are equally many, and that all are finite."""
    v, codes = target.vocabulary, len(target.codebook)
    tokens = torch.arange(v, device=target.device)
    embedded = target.embed(tokens)
    logits = target.output(target.norm(embedded[:1]))
    named = [name for name in folder.config.get("vocabulary_map") or {} if name.startswith(IMAGE_NAMES)]
    counts = {"codes of the codec": codes, "outputs": logits.shape[-1], "embeddings": len(embedded)}
    if isinstance(target, ImageVocabulary):
        counts |= {"different ids": len(set(target.ids.tolist()))}
        counts |= {"names in vocabulary_map": len(named)} if named else {}
    if wrong := [f"{count:,} {what}" for what, count in counts.items() if count != v]:
        advice = "the codec or config.json is another model's: fetch it again"
        raise BadInput(", ".join(wrong), f"{v:,} of everything, the image tokens of the model", advice)
    if not all(bool(x.isfinite().all()) for x in (embedded, logits, target.codebook)):
        raise BadInput("numbers that are not finite", "finite numbers", overflow(target.dtype))
    got = f"{v:,} image tokens, {target.codebook.shape[1]} numbers a code, width {target.width}"
    yield ok("image vocabulary", got, "as many codes, embeddings and outputs")


def row_ends(target: Target) -> tuple[int, ...]:
    """Ids of the forced tokens behind each row."""
    return tuple(target.row_end) if isinstance(target, LanguageTarget) else ()


def check_row_ends(target: Target, grid: Grid) -> Iterator[Finding]:
    """Check that forced tokens follow every row but the last, in this order, and are no image tokens."""
    forced = row_ends(target)
    if not forced:
        yield ok("row ends", "none", "none: this kind of model has none")
        return
    ids = ", ".join(map(str, forced))
    if isinstance(target, ImageVocabulary) and set(target.ids.tolist()) & set(forced):
        raise BadInput(f"id {ids}, which is an image token too", "another id", "fetch config.json again")
    slots = Slots.of(State(grid), Proposal.chain(0, [0] * grid.cells), len(forced), 0)
    row = [0] * grid.columns + list(range(1, len(forced) + 1))
    steps, positions = (row * grid.rows)[: len(slots.steps)], np.arange(len(slots))
    ends = (grid.rows - 1) * len(forced)
    if len(slots) != grid.cells + ends or (slots.steps != steps).any() or (slots.positions != positions).any():
        got = f"{int((slots.steps > 0).sum())} forced tokens in {len(slots)} slots"
        expected = f"{ends}: {len(forced)} behind every row but the last"
        raise BadInput(got, expected, "a fault of this library: report it with this line")
    expected = "in place, no image token: never drafted, never sampled; what closes an image needs no model"
    yield ok("row ends", f"id {ids} behind {grid.rows - 1} rows, nothing behind the last", expected)


def check_codec(target: Target, grid: Grid) -> Iterator[Finding]:
    """Check that codes become pixels: equally many for each cell, and not all of them the same."""
    step = max(1, target.vocabulary // grid.cells)
    image = target.pixels([cell * step % target.vocabulary for cell in range(grid.cells)], grid)
    (width, height), side = image.size, image.width // grid.columns
    got, values = f"{width}x{height} pixels", np.asarray(image)
    if (width, height) != (grid.columns * side, grid.rows * side) or not side or image.mode != "RGB":
        advice = "the codec is another model's: fetch it again"
        raise BadInput(f"{got}, {image.mode}", f"RGB, a square of pixels for each of {grid} cells", advice)
    low, high = int(values.min()), int(values.max())
    if low == high:
        advice = "the codec's weights are damaged or overflow: fetch it again, or --dtype"
        raise BadInput(f"every pixel is {low}", "an image", advice)
    yield ok("codec", f"{got}, {low} to {high}", f"{side} pixels a side of a cell, 0 to 255")
