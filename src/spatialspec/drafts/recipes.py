"""Settings of a training, from YAML: the user's file, or one of the package (`spatialspec/configs`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import yaml
from jaxtyping import Float, Int

from spatialspec.core.errors import BadInput, shown
from spatialspec.drafts.limits import check_settings
from spatialspec.io.files import read_text

CONFIGS = Path(__file__).parents[1] / "configs"
LARGEST = 1 << 16  # bytes


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Settings of every training; a drafter adds its own.

    Attributes:
        steps: optimiser steps.
        batch: examples per step, over all processes.
        peak_rate: AdamW learning rate after warm-up, decayed by cosine.
        floor: final learning rate, as a share of the peak.
        warmup: steps of linear warm-up.
        weight_decay: of AdamW.
        clip: largest norm of the gradient.
        evaluate_every: steps between two held-out evaluations; there is one before the first and one after the last.
        save_every: steps between two resume states.
        seed: of all random numbers.
    """

    steps: int = 300
    batch: int = 8
    peak_rate: float = 1e-3
    floor: float = 0.05
    warmup: int = 20
    weight_decay: float = 0.01
    clip: float = 1.0
    evaluate_every: int = 100
    save_every: int = 100
    seed: int = 0

    def __post_init__(self) -> None:
        check_settings(self, steps=1, batch=1, evaluate_every=1, save_every=1, warmup=0, seed=0)

    def draw(self, step: int, examples: int) -> tuple[Int[np.ndarray, "B"], Float[np.ndarray, "B"]]:
        """Indices of the examples of a step, and a uniform sample from 0 to 1 for each, for use by the task."""
        rng = np.random.default_rng((self.seed, step))
        return rng.integers(examples, size=self.batch), rng.random(self.batch)


R = TypeVar("R", bound=Recipe)


def make_recipe(kind: type[R], values: Mapping[str, Any]) -> R:
    """A recipe with some of its settings changed.

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


def shipped() -> list[str]:
    """Names of the recipes inside the package."""
    return sorted(path.stem for path in CONFIGS.glob("*.yaml"))


def read_config(name: str) -> dict[str, Any]:
    """Read settings by name or path: `drafter`, `pictures` (number of training images), and fields of the recipe.

    Raises:
        BadInput: no such file, one of more than LARGEST bytes, no mapping in it, a repeated key, or references.
    """
    path = CONFIGS / f"{name}.yaml" if name in shipped() else Path(name)
    text = read_text(path, f"--config: a file, or one of {', '.join(shipped())}", limit=LARGEST)
    try:
        settings = yaml.load(text, _PlainYAML)
    except Exception as error:  # constructors of tags raise errors of any type
        reason = "nested too deeply" if isinstance(error, RecursionError) else shown(" ".join(str(error).split()), 200)
        raise BadInput(f"no YAML ({reason})", "lines like `steps: 300`", "correct it", path) from error
    if not isinstance(settings, dict) or not all(isinstance(key, str) for key in settings):
        raise BadInput("no settings", "lines like `steps: 300`", "write some", path)
    return settings


class _PlainYAML(yaml.SafeLoader):
    """YAML without references, which could expand to fill the memory, and without repeated keys."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Refuse references."""
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("references (*name) are not supported")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        """Refuse repeated keys."""
        keys = [key.value for key, _ in node.value if isinstance(key.value, str)]
        if len(set(keys)) < len(keys):
            raise yaml.YAMLError(f"repeated keys: {', '.join(sorted({k for k in keys if keys.count(k) > 1}))}")
        return super().construct_mapping(node, deep)
