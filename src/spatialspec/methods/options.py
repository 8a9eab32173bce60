"""Options of methods: pydantic models whose fields have a description and a range."""

from __future__ import annotations

import types
from contextlib import suppress
from math import inf
from operator import index
from typing import Annotated, Any, ClassVar, Literal, Union, get_args, get_origin

from annotated_types import Ge, Le
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo

from spatialspec.core.errors import BadInput, shown

LARGEST = 512  # nodes or slots of a pass


class Options(BaseModel):
    """Options of a method: frozen, no undeclared ones. Two of one class are equal if their values are.

    Values may be text, as on the command line. A bool is read as its text.

    Raises:
        BadInput: an unknown option, or a value that is not allowed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    _explicit: tuple[str, ...] = ()

    @classmethod
    def __pydantic_init_subclass__(cls, **settings: Any) -> None:
        """What a method promises follows from its tolerance and its budget: nobody else's options have these names."""
        for name, base in (("tolerance", "Tolerance"), ("budget", "Budget")):
            if name in cls.model_fields and base not in {one.__name__ for one in cls.__mro__}:
                raise BadInput(f"an option {name} of {cls.__name__}", f"that of {base}", f"inherit from {base}")

    def __init__(self, /, **values: Any) -> None:
        try:
            super().__init__(**{name: _plain(name, value) for name, value in values.items()})
        except ValidationError as error:
            name = str(error.errors()[0]["loc"][0])
        else:
            self._explicit = tuple(values)
            return
        fields = type(self).model_fields
        if name not in fields:
            known = ", ".join(fields) or "none: it takes no options"
            raise BadInput(f"option {shown(name)}", f"key=value with a key of {known}")
        value = values[name] if isinstance(values[name], str) else shown(values[name])
        raise BadInput(f"{name}={value[:60]}", allowed(fields[name]))

    @property
    def explicit(self) -> dict[str, Any]:
        """Values that were set explicitly, in that order."""
        return {name: getattr(self, name) for name in self._explicit}

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.__dict__ == other.__dict__

    def __hash__(self) -> int:
        return hash((type(self), *self.__dict__.values()))


class Tolerance(Options):
    """Tolerance of coupled noise, from exact to fast."""

    tolerance: float = Field(
        default=0.0,
        ge=0,
        description="score gap to the best that a guess may have, per nat of entropy; 0 is exact, "
        "inf accepts every guess but placeholders",
    )


class Budget(Options):
    """The size of a tree.

    Attributes:
        horizon: number of nodes after which a further one brings e times less; None where it is unknown, and then
            `--budget auto` chooses between the method's own budget and AR.
    """

    horizon: ClassVar[float | None] = None

    budget: int = Field(default=64, ge=0, le=LARGEST, description="most drafted nodes of a pass; 0 is AR")


def _plain(name: str, value: object) -> object:
    """Numbers of other libraries as int or float."""
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, str | int | float):
        return value
    with suppress(Exception):
        return index(value)  # type: ignore[arg-type]
    with suppress(Exception):
        return float(value)  # type: ignore[arg-type]
    return value


def explain(name: str, field: FieldInfo) -> str:
    """One line of help: default, meaning and allowed values of an option."""
    about = f"{field.description}, " if field.description else ""
    return f"{name}={field.default}  {about}{allowed(field)}"


def allowed(field: FieldInfo) -> str:
    """The allowed values of an option, in words."""
    return _allowed(field.annotation, field.metadata)


def _allowed(kind: Any, rules: list[Any]) -> str:
    if get_origin(kind) is Annotated:
        return _allowed(get_args(kind)[0], kind.__metadata__[0].metadata)
    if get_origin(kind) is Literal:
        return f"one of {', '.join(get_args(kind))}"
    if get_origin(kind) in (Union, types.UnionType):
        return " or ".join(_allowed(part, rules) for part in get_args(kind))
    if kind not in (int, float):
        return f"a {getattr(kind, '__name__', kind)}"
    low = next((rule.ge for rule in rules if isinstance(rule, Ge)), -inf)
    high = next((rule.le for rule in rules if isinstance(rule, Le)), inf)
    number = f"a {'whole ' if kind is int else ''}number"
    return number if (low, high) == (-inf, inf) else f"{number} from {low:g} to {high:g}"
