"""Lists and tables in text files: lines, one JSON object per line, csv and tsv; every error names the line.

A row without exactly one cell for each column is refused. Published lists need two exceptions from csv. In a table of
one column, a line without quotes is one cell, including commas. A cell with text after its second quote, such as
`"Head shot" of a zebra`, is taken literally.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from spatialspec.core.errors import BadInput, shown
from spatialspec.io.files import parse_json, read_text, write_text

MOST = 1_000_000  # rows of a table, lines of a list
WIDEST = 1000  # columns

Row = tuple[int, dict[str, str]]  # number of its first line, from 1, and its cells by column


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    r"""Lines that are not blank, with their numbers from 1; line ends are \n or \r\n only.

    Raises:
        BadInput: the file cannot be read, a line ends with \r alone or holds a NUL, or there are more than MOST.
    """
    text, start, number = _read(path), 0, 0
    while start < len(text):
        end = text.find("\n", start) % (len(text) + 1)  # for the last line: the length of the text
        line, start, number = text[start:end].removesuffix("\r"), end + 1, number + 1
        if "\r" in line:
            raise _carriage(f"{path}, line {number}")
        if number > MOST:
            raise _too_many(path)
        if line.strip():
            yield number, line


def read_objects(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """One JSON object per line, with its line number.

    Raises:
        BadInput: as in `read_lines`, or a line is no object.
    """
    for number, line in read_lines(path):
        where = f"{path}, line {number}"
        value = parse_json(line, where, "correct the line")
        if not isinstance(value, dict):
            raise BadInput(shown(value), "an object", "write one object per line", where)
        yield number, value


def read_table(path: Path, required: Sequence[str] = (), what: str = "cell") -> tuple[tuple[str, ...], list[Row]]:
    r"""Columns and rows of a csv file, or of a tsv file by its ending; blank lines are ignored.

    Args:
        path: the first line names the columns; cells may be in quotes, `"a ""red"" apple, round"`.
        required: columns that must exist.
        what: name of the cell to put in quotes if there are too many cells, for the message.

    Raises:
        BadInput: the file cannot be read; a column is missing, or repeated in upper or lower case; a row has more or
            fewer cells than there are columns; a quote is not closed; a line ends with \r alone or holds a NUL; there
            are more than MOST rows or WIDEST columns.
    """
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    records = _records(_read(path), delimiter, path)
    columns = tuple(cell.strip() for cell in next(records, (1, []))[1])
    _check_separator(columns, delimiter, path)
    missing = [name for name in required if name not in columns]
    if missing or not any(columns):
        wanted = " and ".join(required) or "their names in the first line"
        raise BadInput(f"the columns {listed(columns)}", wanted, "add them", path)
    lower = [column.lower() for column in columns]
    if twice := [name for i, name in enumerate(lower) if name in lower[:i]]:
        raise BadInput(f"the column {shown(twice[0])} twice", "every column once", "rename one", path)
    rows: list[Row] = []
    for line, cells in records:
        if len(cells) != len(columns):
            advice = f"put the {what} in quotes" if len(cells) > len(columns) else "complete the row"
            got = f"{len(cells)} cells for {len(columns)} columns"
            raise BadInput(got, "a cell for every column", advice, f"{path}, line {line}")
        if len(rows) == MOST:
            raise _too_many(path)
        rows.append((line, dict(zip(columns, cells, strict=True))))
    return columns, rows


def _check_separator(header: Sequence[str], delimiter: str, path: Path) -> None:
    """Refuse a header with another separator, such as `;` in European versions of Excel.

    Raises:
        BadInput: it has another separator.
    """
    first = header[0] if header else ""
    names = {",": "commas", "\t": "tabs", ";": "semicolons"}
    if first.strip().lower().startswith("sep="):
        raise BadInput(
            f"a first line {shown(first)}", f"the names of the columns, with {names[delimiter]}", "remove it", path
        )
    if len(header) == 1 and (other := next((s for s in ";\t," if s != delimiter and s in first), None)):
        expected = f"{names[delimiter]}, as the name ends in {path.suffix}"
        advice = "save it with commas as .csv, or with tabs as .tsv"
        raise BadInput(f"columns that are separated by {names[other]}", expected, advice, path)


def listed(columns: Iterable[str]) -> str:
    """Names of columns for a message, on one line: a tab in a name becomes an escape."""
    names = (name if name.isprintable() else repr(name)[1:-1] for name in columns)
    return ", ".join(names)[:200] or "none"


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Write a csv file for `read_table`, atomically."""
    lines = (",".join(map(_quoted, row)) or '""' for row in [columns, *rows])
    write_text(path, "\n".join(lines) + "\n")


def _quoted(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"' if re.search('[",\r\n]', cell) else cell


@cache
def _cell(delimiter: str) -> re.Pattern[str]:
    """A cell in quotes with nothing after them; else everything up to the delimiter or the end of the line."""
    return re.compile(rf'"((?:[^"]|"")*+)"(?={delimiter}|\r?\n|\Z)|([^{delimiter}\n]*?)(?={delimiter}|\r?\n|\Z)')


def _records(text: str, delimiter: str, path: Path) -> Iterator[tuple[int, list[str]]]:
    """Cells of the first line, which names the columns, and of every further line that is not blank."""
    cell, position, line, columns = _cell(delimiter), 0, 1, 0
    while position < len(text):
        start, first, cells = position, line, list[str]()
        while not cells or text[position : position + 1] == delimiter:
            match = cell.match(text, position + bool(cells))
            assert match is not None  # the second alternative matches everything
            position, where = match.end(), f"{path}, line {line}"
            cells.append(_bare(match[2], where) if match[1] is None else match[1].replace('""', '"'))
            line += match[0].count("\n")
            if len(cells) > WIDEST:
                raise BadInput(f"more than {WIDEST:,} columns", "at most as many", "check the file", where)
        if columns == 1 and text[start] != '"':  # one column: commas are text
            cells = [text[start:position]]
        columns = columns or len(cells)
        if first == 1 or text[start:position]:
            yield first, cells
        position, line = text.find("\n", position) % (len(text) + 1) + 1, line + 1


def _bare(cell: str, where: str) -> str:
    """A cell without quotes around it."""
    if "\r" in cell:
        raise _carriage(where)
    if cell.startswith('"') and cell.count('"') % 2:
        raise BadInput(f"a quote that is not closed, {shown(cell)}", "a closed one", "close it", where)
    return cell


def _read(path: Path) -> str:
    text = read_text(path)
    if (nul := text.find("\0")) >= 0:
        where = f"{path}, line {text.count(chr(10), 0, nul) + 1}"
        raise BadInput("a NUL character", "text in UTF-8", "save it as UTF-8", where)
    return text


def _carriage(where: str) -> BadInput:
    got = "a carriage return that ends no line"
    return BadInput(got, r"lines that end with \n or \r\n", "save it with such line ends", where)


def _too_many(path: Path) -> BadInput:
    return BadInput(f"more than {MOST:,} lines", "at most as many", "split the file", path)
