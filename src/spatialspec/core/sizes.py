"""Reads a dataclass of sizes from JSON; every value has its annotated type and range.

Types and ranges are checked before anything is built, and ranges are narrow enough to build quickly: counts of parts
are small, and a large dimension costs nothing until the file has weights of that shape.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Annotated, Any, NamedTuple, TypeVar, get_args, get_origin, get_type_hints

from spatialspec.core.errors import BadInput, shown

T = TypeVar("T")
LONGEST = 100  # characters of a word


class Within(NamedTuple):
    """Smallest and largest number."""

    low: float
    high: float


Size = Annotated[int, Within(1, 2**24)]  # a dimension of a weight
Count = Annotated[int, Within(1, 256)]  # parts that have weights, such as layers
CountOrNone = Annotated[int, Within(0, 256)]  # the same, and 0 for no such part
Side = Annotated[int, Within(1, 128)]  # rows or columns of a grid, which no weight may show
Base = Annotated[float, Within(1, 1e9)]  # base of rotary angles
WHOLE, NUMBER = Within(-(2**31), 2**31 - 1), Within(-1e30, 1e30)  # where no range is annotated


def read_sizes(kind: Callable[..., T], values: object, where: object, advice: str = "fetch it again") -> T:
    """Make a dataclass from a JSON object.

    Args:
        kind: the dataclass; its fields are int, float, str, bool, or tuples of int.
        values: by name of the field; those with a default may be missing.
        where: their origin, for messages.
        advice: for messages, about a wrong one.

    Raises:
        BadInput: no object, a field that is unknown, missing, of another type or out of range, or `kind` refuses them.
    """
    if not isinstance(values, dict):
        raise BadInput(shown(values), "an object with sizes", advice, where)
    hints = get_type_hints(kind, include_extras=True)
    known: dict[str, Any] = {field.name: hints[field.name] for field in fields(kind)}  # type: ignore[arg-type]
    for name in values:
        if name not in known:
            raise BadInput(f"the key {shown(name)}", f"one of {', '.join(known)}", advice, where)
    read = {name: _value(known[name], value, f"{where}: {name}", advice) for name, value in values.items()}
    try:
        return kind(**read)
    except BadInput as error:
        raise BadInput(error.got, error.expected, error.advice or advice, where) from error
    except TypeError as error:  # fields that have no default
        raise BadInput(f"others ({error})", f"the keys {', '.join(known)}", advice, where) from error


def read_name(value: object, where: object) -> str:
    """Read a name that is safe to print.

    Raises:
        BadInput: no text, an empty or a long one, or one with control characters.
    """
    if not isinstance(value, str) or not value.strip() or not value.isprintable() or len(value) > LONGEST:
        raise BadInput(shown(value), f"a name of 1 to {LONGEST} printable characters", "change it", where)
    return value


def _value(hint: Any, value: Any, where: str, advice: str) -> Any:
    within = None
    if get_origin(hint) is Annotated:
        hint, within = get_args(hint)
    if get_origin(hint) is tuple:
        if not isinstance(value, list | tuple) or not 1 <= len(value) <= LONGEST:
            raise BadInput(shown(value), f"a list of 1 to {LONGEST} sizes", advice, where)
        return tuple(_value(get_args(hint)[0], item, where, advice) for item in value)
    if hint is bool:
        if not isinstance(value, bool):
            raise BadInput(shown(value), "true or false", advice, where)
        return value
    if hint is str:
        return read_name(value, where)
    whole = hint is int
    low, high = within or (WHOLE if whole else NUMBER)
    if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)) or not low <= value <= high:
        kind = "a whole number" if whole else "a number"
        border = f"{low:,} to {high:,}" if whole else f"{low:g} to {high:g}"
        raise BadInput(shown(value), f"{kind} from {border}", advice, where)
    return value if whole else float(value)
