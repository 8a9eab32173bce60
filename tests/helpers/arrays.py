"""A plugin of pytest, `-p helpers.arrays`: every annotation of an array's shape is checked while tests run.

Jaxtyping's import hook with beartype, for arrays alone. mypy holds the other types; beartype would want them at run
time, where protocols, `Self` and what is imported for a type checker alone are not to be had.
"""

import sys
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from typing import Any

import jaxtyping
from beartype import beartype
from jaxtyping._decorator import _destring_annotation


def checked(function: Callable[..., Any]) -> Callable[..., Any]:
    """Check those arguments and results whose annotation names the shape of an array."""
    function.__annotations__ = {k: v for k, v in function.__annotations__.items() if "jaxtyping." in repr(v)}
    return beartype(function)


def names_shapes(thing: Any) -> bool:
    """Whether an annotation of a function, or of a field of a dataclass, has the shape of an array."""
    if isinstance(thing, classmethod | staticmethod):
        thing = thing.__func__
    if isinstance(thing, type):
        found = {str(field.name): field.type for field in fields(thing)} if is_dataclass(thing) else {}
        names = vars(sys.modules[thing.__module__])
    else:
        found, names = getattr(thing, "__annotations__", None), getattr(thing, "__globals__", {})
    return found is None or any("jaxtyping." in repr(_destring_annotation(kind, names)) for kind in found.values())


def jaxtyped(*, typechecker: Any) -> Callable[[Any], Any]:
    """As jaxtyping's, for what names a shape; it wraps everything else, too, and so takes most of the tests' time."""
    return lambda thing: wrap(thing, typechecker=typechecker) if names_shapes(thing) else thing


wrap, jaxtyping.jaxtyped = jaxtyping.jaxtyped, jaxtyped  # the hook looks its name up
jaxtyping.install_import_hook("spatialspec", f"{__name__}.checked")
