"""Parameters of methods: fields of a dataclass that say what they do and which values are allowed."""

from __future__ import annotations

from dataclasses import Field, field, fields
from typing import Any

from spatialspec.core.errors import BadInput

Value = int | float | str


def parameter(default: Value, help: str, low: float = 0, high: float = 1024, choices: tuple[str, ...] = ()) -> Any:
    """A field of a settings dataclass.

    Args:
        default: value when it is not given; its type is the parameter's.
        help: what it does.
        low: smallest number.
        high: largest number.
        choices: allowed words, for a parameter that is not a number.
    """
    return field(default=default, metadata={"help": help, "low": low, "high": high, "choices": choices})


def parameters(settings: type) -> dict[str, Field[Any]]:
    """The parameters of a settings dataclass by name."""
    return {f.name: f for f in fields(settings)}


def read(field: Field[Any], text: str) -> Value:
    """Read the value of a parameter.

    Raises:
        BadInput: of another kind, out of range or not allowed.
    """
    rule, got = field.metadata, f"{field.name}={text}"
    if rule["choices"]:
        if text not in rule["choices"]:
            raise BadInput(got, f"one of {', '.join(rule['choices'])}")
        return text
    whole = isinstance(field.default, int)
    border = f"{'whole ' if whole else ''}number from {rule['low']:g} to {rule['high']:g}"
    try:
        value = int(text) if whole else float(text)
    except ValueError:
        raise BadInput(got, f"a {border}") from None
    if not rule["low"] <= value <= rule["high"]:
        raise BadInput(got, f"a {border}")
    return value


def explain(field: Field[Any], default: Value) -> str:
    """One line for people."""
    rule = field.metadata
    allowed = "|".join(rule["choices"]) or f"{rule['low']:g} to {rule['high']:g}"
    return f"{field.name}={default}  {rule['help']}, {allowed}"
