"""Reads untrusted JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from spatialspec.core.errors import BadInput, shown

DEEPEST = 64  # levels


def parse_json(text: str, where: object, advice: str = "fetch it again") -> Any:
    """Read a JSON document: unique keys, finite numbers, at most DEEPEST levels.

    Raises:
        BadInput: it is damaged or breaks one of these rules; the message begins with `where`.
    """
    try:
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_finite, parse_float=_finite)
    except (ValueError, RecursionError) as error:  # BadInput of the hooks, broken JSON, a number of 5,000 digits
        reason = error.got if isinstance(error, BadInput) else _reason(error)
        raise BadInput(f"a document that does not parse ({reason})", "JSON", advice, where) from error
    level, depth = [value], 0
    while level := [child for item in level if isinstance(item, (dict, list)) for child in _children(item)]:
        depth += 1
        if depth > DEEPEST:
            raise BadInput("a document nested too deeply", f"JSON of at most {DEEPEST} levels", advice, where)
    return value


def _children(item: dict[str, Any] | list[Any]) -> Iterator[Any]:
    return iter(item.values() if isinstance(item, dict) else item)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key, value in pairs:
        if key in values:
            raise BadInput(f"the key {shown(key)} twice", "every key once")
        values[key] = value
    return values


def _finite(text: str) -> float:
    value = float(text)
    if value - value != 0:
        raise BadInput(f"the number {shown(text)}", "a finite one")
    return value


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "nested too deeply"
    if not isinstance(error, json.JSONDecodeError):  # `int` refuses very long numbers
        return "a number of more digits than are read"
    return str(error)
