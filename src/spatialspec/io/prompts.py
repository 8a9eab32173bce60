"""Prompts: the built-in list for the embedded model, and files of users. Imports no torch."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from spatialspec.core.errors import BadInput, shown
from spatialspec.io.files import read_text
from spatialspec.io.tables import listed, read_lines, read_objects, read_table

LONGEST = 10_000  # characters of a prompt
BROKEN = re.compile("[\0\ud800-\udfff]")
COLUMNS = ("prompt", "text", "caption")  # in this order of preference

# Labels and drawing styles of the training images of `icons`, also in new combinations.
BUILT_IN = tuple(read_text(Path(__file__).with_suffix(".txt")).splitlines())


def check_prompt(text: object, where: object = "") -> str:
    """Refuse prompts that no model can draw; control characters other than NUL are accepted.

    Args:
        text: a prompt.
        where: its origin: file and line, or option.

    Returns:
        The unchanged text.

    Raises:
        BadInput: no text, nothing but blanks, more than LONGEST characters, a NUL, or half of a surrogate pair.
    """
    if not isinstance(text, str) or not text.strip():
        got = "an empty prompt" if isinstance(text, str) else f"the prompt {shown(text)}"
        raise BadInput(got, "words", "say what to draw", where)
    if len(text) > LONGEST:
        raise BadInput(f"a prompt of {len(text):,} characters", f"at most {LONGEST:,}", "shorten it", where)
    if broken := BROKEN.search(text):
        raise BadInput(f"a prompt with {shown(broken[0])}", "Unicode text without NUL", "remove it", where)
    return text


def read_prompts(path: Path) -> list[str]:
    """Read prompts, one for each line or row, without blanks around them.

    Args:
        path: `.txt` (one prompt per line, blank lines are ignored), `.csv` or `.tsv` (with a header), or `.jsonl` (one
            object per line). The column is `prompt`, else `text`, else `caption`, in upper or lower case.

    Raises:
        BadInput: a missing file, another kind of file, one that `tables` refuses, a missing column, a prompt that
            `check_prompt` refuses, or no prompt.
    """
    readers: dict[str, Callable[[Path], Iterable[tuple[int, object]]]]
    readers = {".txt": read_lines, ".csv": _cells, ".tsv": _cells, ".jsonl": _values}
    if not os.path.exists(path):
        raise BadInput(f"no file {path}", "prompts", "check --prompts")
    reader = readers.get(path.suffix.lower(), read_lines)
    if path.suffix.lower() not in readers and os.path.isfile(path):
        raise BadInput(f"{path}", f"a file that ends in {', '.join(readers)}", "rename it")
    prompts = [check_prompt(text, f"{path}, line {line}").strip() for line, text in reader(path)]
    if not prompts:
        raise BadInput("no prompt", "at least one", "add some", where=path)
    return prompts


def _cells(path: Path) -> Iterator[tuple[int, object]]:
    columns, rows = read_table(path, what="prompt")
    column = _column(path, columns)
    return ((line, row[column]) for line, row in rows)


def _values(path: Path) -> Iterator[tuple[int, object]]:
    return ((line, row[_column(f"{path}, line {line}", row)]) for line, row in read_objects(path))


def _column(where: object, columns: Iterable[str]) -> str:
    lower: dict[str, str] = {}
    for column in columns:
        if lower.setdefault(column.lower(), column) != column and column.lower() in COLUMNS:
            raise BadInput(f"{shown(lower[column.lower()])} and {shown(column)}", "one of them", "rename one", where)
    for column in COLUMNS:
        if column in lower:
            return lower[column]
    raise BadInput(f"the columns {listed(columns)}", f"one of {', '.join(COLUMNS)}", "rename one", where)
