"""Traces as one self-contained HTML page, with style, script, figures and images."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
from PIL import Image

from spatialspec.core.interfaces import Target
from spatialspec.generation import traced
from spatialspec.show.trace import FATES, WRITERS, Trace

TEMPLATE = Path(__file__).parent / "template"
ACROSS = 16  # frames in a line of the atlas of guesses
MOST_PIXELS = 12_000_000  # of an atlas; without it, guesses are shown as outlines only


@dataclass(frozen=True)
class Panel:
    """One method on the page.

    Attributes:
        trace: of its image.
        image: the finished image.
        atlas: one frame for each pass, ACROSS in a line, with the cells drafted in it; None if too large or empty.
    """

    trace: Trace
    image: Image.Image
    atlas: Image.Image | None


def panel(target: Target, trace: Trace) -> Panel:
    """Decode the finished image, and the drafts of every pass."""
    with traced(target):
        image, count = target.pixels(trace.tokens, trace.grid), len(trace.passes)
        small = image.width * image.height * count <= MOST_PIXELS
        atlas = _atlas(target, trace, image.size) if small and any(p.guesses for p in trace.passes) else None
    return Panel(trace, image, atlas)


def _atlas(target: Target, trace: Trace, size: tuple[int, int]) -> Image.Image:
    """Frames of drafts, each of `size` pixels; grey where nothing was drafted."""
    width, height = size
    sheet = Image.new("RGB", (ACROSS * width, -(-len(trace.passes) // ACROSS) * height), "grey")
    for number, one in enumerate(trace.passes):
        if not one.guesses:
            continue
        tokens: list[int] = []
        for cell in range(trace.grid.cells):  # unknown cells repeat the cell above, and are not shown
            known = trace.tokens[cell] if trace.cells[cell].written_in <= number else one.guesses.get(cell)
            tokens.append(tokens[max(cell - trace.grid.columns, 0)] if known is None and tokens else known or 0)
        shown = np.zeros((trace.grid.rows, trace.grid.columns), dtype=np.uint8)
        shown.flat[list(one.guesses)] = 255
        mask = Image.fromarray(shown).resize((width, height), Image.Resampling.NEAREST)
        corner = (number % ACROSS * width, number // ACROSS * height)
        sheet.paste(target.pixels(tokens, trace.grid), corner, mask)
    return sheet


def page(prompt: str, panels: Sequence[Panel], settings: str) -> str:
    """The HTML text of the page.

    Args:
        prompt: of the image.
        panels: the method, and AR as the second if present; of one grid.
        settings: one line for the footer.
    """
    shared = zip(*(one.trace.tokens for one in panels), strict=True)
    grid = panels[0].trace.grid
    data = {
        "prompt": prompt,
        "grid": [grid.rows, grid.columns],
        "writers": WRITERS,
        "fates": FATES,
        "across": ACROSS,
        "same": sum(len(set(tokens)) == 1 for tokens in shared),
        "settings": settings,
        "panels": [_data(one) for one in panels],
    }
    text = json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")  # no tag can end early
    return Template(_read("page.html")).substitute(
        title=html.escape(f"{prompt}: {panels[0].trace.method}"),
        style=_read("page.css"),
        data=text,
        script=_read("page.js"),
    )


def _read(name: str) -> str:
    return (TEMPLATE / name).read_text(encoding="utf-8").rstrip()


def _data(one: Panel) -> dict[str, Any]:
    cells, passes = one.trace.cells, one.trace.passes
    return {
        "name": "plain AR" if all(p.slots == 1 for p in passes) else one.trace.method,
        "label": one.trace.method.partition(":")[0],
        "image": _url(one.image, "PNG"),
        "atlas": None if one.atlas is None else _url(one.atlas, "WEBP"),
        "written_in": [cell.written_in for cell in cells],
        "writer": [WRITERS.index(cell.writer) for cell in cells],
        "fate": [FATES.index(cell.fate) for cell in cells],
        "entropy": [round(cell.entropy, 3) for cell in cells],
        "distance": [None if cell.distance is None else round(cell.distance, 3) for cell in cells],
        "scored": [cell.scored for cell in cells],
        "slots": [p.slots for p in passes],
        "guesses": [sorted(p.guesses) for p in passes],
    }


def _url(image: Image.Image, kind: str) -> str:
    buffer = BytesIO()
    image.save(buffer, kind, quality=80)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"
