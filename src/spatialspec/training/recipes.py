"""Recipes from YAML: a file of anybody's own, or one that ships with the package (`spatialspec/configs`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import yaml

from spatialspec.training.lesson import Recipe

CONFIGS = Path(__file__).parents[1] / "configs"
R = TypeVar("R", bound=Recipe)


def shipped() -> list[str]:
    """Names of the recipes inside the package."""
    return sorted(path.stem for path in CONFIGS.glob("*.yaml"))


def read_config(name: str) -> dict[str, Any]:
    """Settings in a file, by name or path: `drafter`, `pictures`, and the fields of the drafter's recipe.

    Raises:
        ValueError: no such file, or no mapping in it.
    """
    path = CONFIGS / f"{name}.yaml" if name in shipped() else Path(name)
    if not path.is_file():
        raise ValueError(f"got --config {name}, expected a file or one of {', '.join(shipped())}")
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: got no YAML, expected lines like `steps: 300` ({error})") from error
    if not isinstance(found, dict) or not all(isinstance(key, str) for key in found):
        raise ValueError(f"{path}: got no settings, expected lines like `steps: 300`")
    return found


def make_recipe(kind: type[R], values: Mapping[str, Any]) -> R:
    """A recipe of a drafter with some of its settings changed.

    Raises:
        ValueError: an unknown setting, one of another type, or one out of range.
    """
    known: dict[str, type[Any]] = {field.name: type(field.default) for field in fields(kind)}
    for name, value in values.items():
        if name not in known:
            raise ValueError(f"got setting {name!r}, expected one of {', '.join(known)}")
        good = (int, float) if known[name] is float else (known[name],)
        if isinstance(value, bool) != (known[name] is bool) or not isinstance(value, good):
            raise ValueError(f"got {name}: {value!r}, expected a value like {known[name](1)!r}")
    return kind(**{name: known[name](value) for name, value in values.items()})
