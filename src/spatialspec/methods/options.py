"""Parameters of methods: fields of a dataclass that say what they do and which values are allowed."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import Field, field, fields
from typing import Any

from spatialspec.core.arguments import number, whole
from spatialspec.core.errors import BadInput, shown

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


def read(field: Field[Any], value: object) -> Value:
    """Read the value of a parameter, which may be a text, as on the command line.

    Raises:
        BadInput: of another kind, out of range or not allowed.
    """
    rule, name = field.metadata, f"{field.name} ="
    if rule["choices"]:
        if not isinstance(value, str) or value not in rule["choices"]:
            raise BadInput(f"{name} {shown(value)}", f"one of {', '.join(rule['choices'])}")
        return str(value)
    kind, reader = (int, whole) if isinstance(field.default, int) else (float, number)
    with suppress(ValueError):  # then it stays a text, which is no number
        value = kind(value) if isinstance(value, str) else value
    border = f"a {'whole ' if kind is int else ''}number from {rule['low']:g} to {rule['high']:g}"
    return reader(name, value, rule["low"], rule["high"], border)


def explain(field: Field[Any], default: Value) -> str:
    """One line for people."""
    rule = field.metadata
    allowed = "|".join(rule["choices"]) or f"{rule['low']:g} to {rule['high']:g}"
    return f"{field.name}={default}  {rule['help']}, {allowed}"
