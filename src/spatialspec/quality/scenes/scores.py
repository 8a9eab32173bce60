"""Scores of scenes by category, as GenEval gives them, beside what composed scenes get from the same judge."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from pydantic import Field, ValidationError, model_validator

from spatialspec.core.errors import BadInput
from spatialspec.files import read_config, write_text
from spatialspec.measure.documents import Strict
from spatialspec.measure.intervals import mean_over_prompts
from spatialspec.models import WEIGHTS
from spatialspec.quality.quality_results import Interval, Quality
from spatialspec.quality.scenes.judge import Found, SceneJudge
from spatialspec.quality.scenes.scene import CATEGORIES, Scene, prompts, wrong

SHIPPED = WEIGHTS / "scene-judge"
MOST = 1_000_000  # scenes
FIELDS = {"scenes": CATEGORIES} | {f"scenes_{category}": (category,) for category in CATEGORIES}
"""Figures of a method, and the categories that each is the mean over."""


class Count(Strict):
    """How many scenes passed, of how many."""

    passed: int = Field(ge=0, le=MOST)
    of: int = Field(ge=0, le=MOST)

    @model_validator(mode="after")
    def _sound(self) -> Count:
        if self.passed > self.of:
            raise ValueError(f"{self.passed} passed of {self.of}")
        return self

    def __str__(self) -> str:
        """As "97 of 100"."""
        return f"{self.passed} of {self.of}"


class Reference(Strict):
    """What composed scenes get, by category: the ceiling and the floor of a judge.

    Attributes:
        own: under their own captions.
        wrong: under captions that are wrong in the one point that the category is about; see `scene.wrong`.
    """

    own: dict[str, Count]
    wrong: dict[str, Count]

    @model_validator(mode="after")
    def _sound(self) -> Reference:
        if not self.own.keys() == self.wrong.keys() <= set(CATEGORIES):
            raise ValueError("other categories")
        return self

    def __str__(self) -> str:
        """By category: "single 97 of 100 (wrong captions: 1), ..."."""
        return ", ".join(f"{name} {own} (wrong captions: {self.wrong[name].passed})" for name, own in self.own.items())


def tally(judge: SceneJudge, scenes: Sequence[Scene], found: Sequence[Sequence[Found]], seed: int) -> Reference:
    """Count how many composed scenes pass under their own captions, and under wrong ones.

    Args:
        judge: knows the concepts.
        scenes: what pictures show.
        found: in the pictures.
        seed: of the wrong captions.
    """
    passed = {(kind, scene.category): [0, 0] for scene in scenes for kind in ("own", "wrong")}
    for number, (scene, things) in enumerate(zip(scenes, found, strict=True)):
        other = wrong(scene, judge.config.concepts, np.random.default_rng((seed, number)))
        for kind, asked in (("own", scene), ("wrong", other)):
            passed[kind, scene.category][0] += judge.holds(asked, things)
            passed[kind, scene.category][1] += 1

    def counts(kind: str) -> dict[str, Count]:
        there = [category for category in CATEGORIES if (kind, category) in passed]
        return {c: Count(passed=passed[kind, c][0], of=passed[kind, c][1]) for c in there}

    return Reference(own=counts("own"), wrong=counts("wrong"))


def write_references(path: Path, references: Mapping[str, Reference]) -> None:
    """Write what scenes of each split get, as JSON."""
    rows = {name: reference.model_dump() for name, reference in references.items()}
    write_text(path, json.dumps(rows, indent=2) + "\n")


def read_references(path: Path) -> dict[str, Reference]:
    """Read what `write_references` wrote.

    Raises:
        BadInput: the file is missing or damaged.
    """
    rows = read_config(path, advice="train it again")
    try:
        return {name: Reference.model_validate(row) for name, row in rows.items()}
    except ValidationError as error:
        reason = str(error).splitlines()[0]
        raise BadInput(
            f"figures of another form ({reason})", "those of a scene judge", "train it again", path
        ) from error


class SceneTest:
    """Scenes to draw, and their judge.

    Args:
        judge: name of the judge that ships with the package, "icons", or the folder of another.
        count: of scenes.

    Attributes:
        prompts: of the scenes, the categories in turn.
        own, wrong: what composed scenes of left-out drawings get under their own captions and under wrong ones.

    Raises:
        NotInstalled: the package with the frozen network is missing.
        BadInput: no such judge, or a file of it is damaged.
    """

    def __init__(self, judge: str, count: int) -> None:
        from spatialspec.quality.efficientnet import load_efficientnet

        folder = SHIPPED if judge == "icons" else Path(judge)
        if not (folder / "config.json").is_file():
            raise BadInput(
                f"--scenes {judge}", "icons or the folder of a scene judge", "`spatialspec train scene-judge` makes one"
            )
        self._judge = SceneJudge.load(folder)
        load_efficientnet()
        config = self._judge.config
        scenes = prompts(config.concepts, config.styles, count)
        self._scenes = {scene.prompt: scene for scene in scenes}
        self.prompts = tuple(scene.prompt for scene in scenes)
        left_out = [r for name, r in read_references(folder / "figures.json").items() if name != "train"]
        self.own = _row("real scenes", [reference.own for reference in left_out])
        self.wrong = _row("wrong captions", [reference.wrong for reference in left_out])

    def __call__(self, pixels: UInt8[np.ndarray, "N H W 3"], captions: Sequence[str]) -> list[bool]:
        """Whether each picture shows the scene of its prompt."""
        return self._judge.shows(pixels, [self._scenes[caption] for caption in captions]).tolist()

    def of(self, figure: str, prompt: str) -> bool:
        """Whether a prompt counts for a figure."""
        return self._scenes[prompt].category in FIELDS[figure]


def _row(name: str, counts: Sequence[Mapping[str, Count]]) -> Quality:
    """Figures of composed scenes, with intervals over scenes."""
    values: dict[str, Any] = {}
    intervals: dict[str, Interval] = {}
    for figure, categories in FIELDS.items():
        parts = [c for one in counts for category, c in one.items() if category in categories]
        passed, total = sum(c.passed for c in parts), sum(c.of for c in parts)
        found = mean_over_prompts([1.0] * passed + [0.0] * (total - passed), range(total), bounds=(0, 1))
        if found is not None and found.interval is not None:
            values[figure], intervals[figure] = found.value, found.interval
    images = sum(count.of for one in counts for count in one.values())
    return Quality(
        method=name, verifier=None, exact=None, seed_exact=None, images=images, intervals=intervals, **values
    )
