"""A plugin of pytest, `-p helpers.arrays`: every annotation of an array's shape is checked while tests run.

Jaxtyping's import hook with beartype, for arrays alone. mypy holds the other types; beartype would want them at run
time, where protocols, `Self` and what is imported for a type checker alone are not to be had.
"""

from collections.abc import Callable
from typing import Any

from beartype import beartype
from jaxtyping import install_import_hook


def checked(function: Callable[..., Any]) -> Callable[..., Any]:
    """Check those arguments and results whose annotation names the shape of an array."""
    function.__annotations__ = {k: v for k, v in function.__annotations__.items() if "jaxtyping." in repr(v)}
    return beartype(function)


install_import_hook("spatialspec", f"{__name__}.checked")
