"""Recipes from YAML: a file of anybody's own, or one that ships with the package (`spatialspec/configs`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import yaml

from spatialspec.core.errors import BadInput
from spatialspec.training.lesson import Recipe

CONFIGS = Path(__file__).parents[1] / "configs"
R = TypeVar("R", bound=Recipe)


def shipped() -> list[str]:
    """Names of the recipes inside the package."""
    return sorted(path.stem for path in CONFIGS.glob("*.yaml"))


def read_config(name: str) -> dict[str, Any]:
    """Settings in a file, by name or path: `drafter`, `pictures`, and the fields of the drafter's recipe.

    Raises:
        BadInput: no such file, or no mapping in it.
    """
    path = CONFIGS / f"{name}.yaml" if name in shipped() else Path(name)
    if not path.is_file():
        raise BadInput(f"--config {name}", f"a file or one of {', '.join(shipped())}")
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BadInput("no YAML", "lines like `steps", f"300` ({error})", where=path) from error
    if not isinstance(found, dict) or not all(isinstance(key, str) for key in found):
        raise BadInput("no settings", "lines like `steps", "300`", where=path)
    return found


def make_recipe(kind: type[R], values: Mapping[str, Any]) -> R:
    """A recipe of a drafter with some of its settings changed.

    Raises:
        BadInput: an unknown setting, one of another type, or one out of range.
    """
    known: dict[str, type[Any]] = {field.name: type(field.default) for field in fields(kind)}
    for name, value in values.items():
        if name not in known:
            raise BadInput(f"setting {name!r}", f"one of {', '.join(known)}")
        good = (int, float) if known[name] is float else (known[name],)
        if isinstance(value, bool) != (known[name] is bool) or not isinstance(value, good):
            raise BadInput(f"{name}: {value!r}", f"a value like {known[name](1)!r}")
    return kind(**{name: known[name](value) for name, value in values.items()})
