"""Prompts: a list for the embedded model, and files of anybody's own. Imports no torch."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

from spatialspec.core.errors import BadInput, shown

LONGEST = 10_000  # characters of a prompt
BROKEN = re.compile("[\0\ud800-\udfff]")
COLUMNS = ("prompt", "text", "caption")  # in this order of preference

# Labels and drawing styles that the embedded model has seen, not always together.
BUILT_IN = (
    "red apple, 3d",
    "airplane, flat",
    "cat face, noto",
    "red heart, twemoji",
    "butterfly, fluent",
    "hamburger, emojione",
    "alarm clock, clip art",
    "christmas tree, 3d",
    "elephant, flat",
    "rainbow, noto",
    "soccer ball, twemoji",
    "strawberry, fluent",
    "rocket, emojione",
    "banana, clip art",
    "fire engine, 3d",
    "cactus, flat",
    "dog face, noto",
    "grapes, twemoji",
    "dolphin, fluent",
    "key, emojione",
    "bird, clip art",
    "evergreen tree, 3d",
    "light bulb, flat",
    "crescent moon, noto",
    "ambulance, twemoji",
    "blue heart, fluent",
    "pear, emojione",
    "horse, clip art",
    "grinning face, 3d",
    "hot beverage, flat",
    "sun, noto",
    "anchor, twemoji",
    "crown, fluent",
    "fish, emojione",
    "mobile phone, clip art",
    "green apple, 3d",
    "books, flat",
    "four leaf clover, noto",
    "ice cream, twemoji",
    "guitar, fluent",
    "pizza, 3d",
    "bicycle, flat",
    "owl, noto",
    "turtle, twemoji",
    "mushroom, fluent",
    "cherries, emojione",
    "sunflower, clip art",
    "penguin, 3d",
    "bell, flat",
    "camera, noto",
    "snowman, twemoji",
    "frog, fluent",
    "lemon, emojione",
    "carrot, clip art",
    "sailboat, 3d",
    "trophy, flat",
    "watermelon, noto",
    "teddy bear, twemoji",
    "tulip, fluent",
    "spider, emojione",
    "candle, clip art",
    "scissors, 3d",
    "hammer, flat",
    "glasses, noto",
)


def check_prompt(text: object, where: object = "") -> str:
    """Refuse what no model can draw; control characters other than NUL are text like any other.

    Args:
        text: a prompt.
        where: file and line, or option, that it came from.

    Returns:
        The text, as it is.

    Raises:
        BadInput: no text, nothing but blanks, more than LONGEST characters, a NUL, or half of a surrogate pair.
    """
    if not isinstance(text, str) or not text.strip():
        raise BadInput(shown(text), "a prompt", "say what to draw", where)
    if len(text) > LONGEST:
        raise BadInput(f"a prompt of {len(text):,} characters", f"at most {LONGEST:,}", "shorten it", where)
    if found := BROKEN.search(text):
        raise BadInput(f"a prompt with {shown(found[0])}", "Unicode text without NUL", "take it out", where)
    return text


def read_prompts(path: Path) -> list[str]:
    """Read prompts, one for each line or row.

    Args:
        path: `.txt` (a prompt a line, blank lines are left out), `.csv` or `.tsv` (with a header), or `.jsonl` (an
            object a line). The column `prompt` is read, else `text`, else `caption`, in capitals or not.

    Raises:
        BadInput: no such file, another kind of file, no such column, an empty cell, or no prompt at all.
    """
    if not path.is_file():
        raise BadInput(f"no file {path}", "prompts", "check --prompts")
    readers = {".txt": _lines, ".csv": _table, ".tsv": _table, ".jsonl": _objects}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise BadInput(f"{path}", f"a file that ends in {', '.join(readers)}", "rename it")
    try:
        prompts = reader(path)
    except UnicodeDecodeError as error:
        raise BadInput("bytes that are no text", "UTF-8", "save it as UTF-8", where=path) from error
    if not prompts:
        raise BadInput("no prompt", "at least one", "add some", where=path)
    return prompts


def _lines(path: Path) -> list[str]:
    return [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]


def _table(path: Path) -> list[str]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file, delimiter="\t" if path.suffix.lower() == ".tsv" else ",")
        try:
            rows = [(reader.line_num, row) for row in reader]
        except csv.Error as error:
            raise BadInput(
                f"no table ({error})", "rows of cells", "save it as csv", f"{path}, line {reader.line_num}"
            ) from error
        column = _column(path, reader.fieldnames or ())
    return [_cell(path, line, row[column]) for line, row in rows]


def _objects(path: Path) -> list[str]:
    prompts = []
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise BadInput(f"no JSON ({error})", "an object a line", where=f"{path}, line {number}") from error
        if not isinstance(row, dict):
            raise BadInput(f"{line.strip()[:40]}", "an object with a prompt", where=f"{path}, line {number}")
        prompts.append(_cell(path, number, row[_column(path, row)]))
    return prompts


def _column(path: Path, columns: object) -> str:
    there = list(columns) if isinstance(columns, (list, tuple, dict)) else []
    lower = {str(column).lower(): str(column) for column in reversed(there)}
    for column in COLUMNS:
        if column in lower:
            return lower[column]
    got = ", ".join(map(str, there)) or "none"
    raise BadInput(f"the columns {got}", f"one of {', '.join(COLUMNS)}", "rename one", where=path)


def _cell(path: Path, line: int, value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise BadInput(f"{value!r}", "a prompt", "fill it in or delete the line", where=f"{path}, line {line}")
    return value.strip()
