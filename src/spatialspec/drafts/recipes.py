"""Recipes from YAML: a file of anybody's own, or one that ships with the package (`spatialspec/configs`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import yaml

from spatialspec.core.errors import BadInput, shown
from spatialspec.drafts.lesson import Recipe
from spatialspec.files import read_text

CONFIGS = Path(__file__).parents[1] / "configs"
LARGEST = 1 << 16  # bytes
R = TypeVar("R", bound=Recipe)


def shipped() -> list[str]:
    """Names of the recipes inside the package."""
    return sorted(path.stem for path in CONFIGS.glob("*.yaml"))


def read_config(name: str) -> dict[str, Any]:
    """Settings in a file, by name or path: `drafter`, `pictures`, and the fields of the drafter's recipe.

    Raises:
        BadInput: no such file, one of more than LARGEST bytes, no mapping in it, a key twice, or references.
    """
    path = CONFIGS / f"{name}.yaml" if name in shipped() else Path(name)
    text = read_text(path, f"--config: a file, or one of {', '.join(shipped())}", limit=LARGEST)
    try:
        found = yaml.load(text, _Plain)
    except Exception as error:  # what tags make of values raises what it likes
        reason = "nested too deeply" if isinstance(error, RecursionError) else shown(" ".join(str(error).split()), 200)
        raise BadInput(f"no YAML ({reason})", "lines like `steps: 300`", "mend it", path) from error
    if not isinstance(found, dict) or not all(isinstance(key, str) for key in found):
        raise BadInput("no settings", "lines like `steps: 300`", "write some", path)
    return found


class _Plain(yaml.SafeLoader):
    """YAML without references to other parts, which a few lines of could fill the memory; every key once."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Refuse what begins with `*`."""
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("a reference, *name, has no use here")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        """Refuse a key that is there twice."""
        keys = [key.value for key, _ in node.value if isinstance(key.value, str)]
        if len(set(keys)) < len(keys):
            raise yaml.YAMLError(f"a key is there twice: {', '.join(sorted({k for k in keys if keys.count(k) > 1}))}")
        return super().construct_mapping(node, deep)


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
        sound = isinstance(value, good) and isinstance(value, bool) == (known[name] is bool)
        if not sound or (isinstance(value, int) and abs(value) >= 2**63):
            raise BadInput(f"{name}: {shown(value)}", f"a value like {known[name](1)!r}")
    return kind(**{name: known[name](value) for name, value in values.items()})
