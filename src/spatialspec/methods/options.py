"""Options of methods: pydantic models whose fields have a description and a range."""

from __future__ import annotations

import types
from contextlib import suppress
from math import inf
from operator import index
from sys import maxsize
from typing import Annotated, Any, ClassVar, Literal, Union, get_args, get_origin

from annotated_types import Ge, Le
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo

from spatialspec.core.errors import BadInput, shown

LARGEST = 512  # nodes or slots of a pass


class Options(BaseModel):
    """Options of a method: frozen, no undeclared ones. Two of one class are equal if their values are.

    Values may be text, as on the command line. A bool is read as its text.

    Attributes:
        fixed: why its passes have no `slots`, and what to set instead; "" if nothing can be.

    Raises:
        BadInput: an unknown option, or a value that is not allowed.
    """

    fixed: ClassVar[str] = ""

    model_config = ConfigDict(frozen=True, extra="forbid")
    _explicit: tuple[str, ...] = ()

    @classmethod
    def __pydantic_init_subclass__(cls, **settings: Any) -> None:
        """What a method promises follows from these: nobody else's options have their names."""
        for name, base in (("tolerance", "Tolerance"), ("budget", "Budget"), ("slots", "Slotted")):
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
        cls = type(self)
        fields = cls.model_fields
        if name not in fields:
            known = ", ".join(fields) or "none: it takes no options"
            advice = cls.fixed if name == "slots" else ""
            raise BadInput(f"option {shown(name)}", f"key=value with a key of {known}", advice)
        value = values[name] if isinstance(values[name], str) else shown(values[name])
        raise BadInput(f"{name}={value[:60]}", allowed(fields[name]))

    @property
    def explicit(self) -> dict[str, Any]:
        """Values that were set explicitly, in that order."""
        return {name: getattr(self, name) for name in self._explicit}

    def settles(self, name: str) -> bool:
        """Whether an option was set, or follows from one that was."""
        return name in self._explicit

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


class Slotted(Options):
    """The width of a pass, under the same name for every method that can choose it.

    Attributes:
        follows: the option that the slots decide, and how many of them it does not count; None for none.
        lifted: limits of a tree that become their largest value, unless they are set too.

    Raises:
        BadInput: as in the base; or the option that the slots decide has another value.
    """

    follows: ClassVar[tuple[str, int] | None] = None
    lifted: ClassVar[tuple[str, ...]] = ()

    slots: int = Field(
        default=0, ge=0, le=LARGEST + 1,
        description="most slots of a pass, the pending token included; 1 is AR, 0 leaves them to the other options",
    )  # fmt: skip

    def __init__(self, /, **values: Any) -> None:
        super().__init__(**values)
        for name, value in self._decided().items():
            if name not in values:
                self.__dict__[name] = value
            elif name not in self.lifted and getattr(self, name) != value:
                both = f"slots={self.slots} and {name}={getattr(self, name)}"
                raise BadInput(both, f"{name}={value} with these slots", f"leave out slots or {name}")

    def _decided(self) -> dict[str, int]:
        """Values of other options that follow from `slots`."""
        if not self.slots:
            return {}
        values = {name: int(_range(type(self).model_fields[name].metadata)[1]) for name in self.lifted}
        if self.follows is not None:
            name, uncounted = self.follows
            values[name] = self.slots - uncounted
        return values

    def settles(self, name: str) -> bool:
        """Whether an option was set, or follows from `slots`."""
        return super().settles(name) or name in self._decided()

    @property
    def nodes(self) -> int:
        """Most drafted nodes of a pass; 0 is AR, and more than an image has cells if nothing limits them."""
        return (self.slots or maxsize) - 1


class Budget(Slotted):
    """The size of a tree.

    Attributes:
        horizon: number of nodes after which a further one brings e times less; None where it is unknown, and then
            `--budget auto` chooses between the method's own budget and AR.
    """

    follows = "budget", 1
    horizon: ClassVar[float | None] = None

    budget: int = Field(default=64, ge=0, le=LARGEST, description="most drafted nodes of a pass; 0 is AR")

    @property
    def nodes(self) -> int:
        """The budget."""
        return self.budget


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


def _range(rules: list[Any]) -> tuple[Any, Any]:
    """The smallest and the largest number that rules allow."""
    low = next((rule.ge for rule in rules if isinstance(rule, Ge)), -inf)
    high = next((rule.le for rule in rules if isinstance(rule, Le)), inf)
    return low, high


def _allowed(kind: Any, rules: list[Any]) -> str:
    if get_origin(kind) is Annotated:
        return _allowed(get_args(kind)[0], kind.__metadata__[0].metadata)
    if get_origin(kind) is Literal:
        return f"one of {', '.join(get_args(kind))}"
    if get_origin(kind) in (Union, types.UnionType):
        return " or ".join(_allowed(part, rules) for part in get_args(kind))
    if kind not in (int, float):
        return f"a {getattr(kind, '__name__', kind)}"
    low, high = _range(rules)
    number = f"a {'whole ' if kind is int else ''}number"
    return number if (low, high) == (-inf, inf) else f"{number} from {low:g} to {high:g}"
