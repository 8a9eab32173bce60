"""Sweeps in the text of a method: `spatial:budget=4..64:*2` is budget 4, 8, 16, 32 and 64. Imports no torch."""

from __future__ import annotations

import re

from spatialspec.core.errors import BadInput, shown

NUMBER = r"-?\d+(?:\.\d+)?"
RANGE = re.compile(
    rf"(?P<key>\w+)=(?P<first>{NUMBER})\.\.(?P<last>{NUMBER})(?::(?P<how>[*+])(?P<step>{NUMBER}))?(?=:|$)"
)
MOST = 64  # methods of one text


def swept(text: str) -> list[str]:
    """The methods that a text names, with the first sweep changing slowest.

    Args:
        text: `name[:key=value...]`, where a value may be FIRST..LAST, in steps of 1, or FIRST..LAST:+STEP, or
            FIRST..LAST:*FACTOR.

    Raises:
        BadInput: a sweep that does not go up, or more than MOST methods.
    """
    match = RANGE.search(text)
    if match is None:
        return [text]
    made: list[str] = []
    for value in _values(match):
        made += swept(f"{text[: match.start()]}{match['key']}={value}{text[match.end() :]}")
        if len(made) > MOST:
            raise BadInput(f"more than {MOST} methods in {shown(text)}", "fewer", "take a larger step")
    return made


def _values(match: re.Match[str]) -> list[str]:
    first, last, step = float(match["first"]), float(match["last"]), float(match["step"] or 1)
    times = match["how"] == "*"
    if last < first or (step <= 1 or first <= 0 if times else step <= 0):
        expected = "FIRST..LAST that goes up, in steps above 0, or by a factor above 1 from above 0"
        raise BadInput(f"the sweep {shown(match[0])}", expected, "as in budget=4..64:*2")
    whole = "." not in f"{match['first']}{match['last']}{match['step'] or ''}".replace("..", "")
    values, i = [first], 0
    while len(values) <= MOST:
        i += 1
        value = first * step**i if times else first + step * i
        if value > last * (1 + 1e-9):
            break
        values.append(value)
    return [str(round(value)) if whole else f"{value:.12g}" for value in values]
