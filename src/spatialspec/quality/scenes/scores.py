"""Scores of scenes by category, as in GenEval, and scores of composed scenes under the same judge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from pydantic import Field, ValidationError, model_validator

from spatialspec.core.errors import BadInput
from spatialspec.io.files import read_config
from spatialspec.measure.documents import Strict
from spatialspec.measure.intervals import mean_over_prompts
from spatialspec.models import WEIGHTS
from spatialspec.quality.quality_results import Interval, Quality
from spatialspec.quality.scenes.judge import SceneJudge
from spatialspec.quality.scenes.scene import CATEGORIES, prompts

SHIPPED = WEIGHTS / "scene-judge"
MOST = 1_000_000  # scenes
FIELDS = {"scenes": CATEGORIES} | {f"scenes_{category}": (category,) for category in CATEGORIES}
"""Figures of a method, and the categories that each is the mean over."""


class Count(Strict):
    """Number of scenes that passed, and of all scenes."""

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
    """Scores of composed scenes by category: upper and lower bound of the scores under a judge.

    Attributes:
        own: with their own captions.
        wrong: with captions that are wrong in the one point that the category is about.
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


def read_references(path: Path) -> dict[str, Reference]:
    """Read the scores of composed scenes by split.

    Raises:
        BadInput: the file is missing or damaged.
    """
    rows = read_config(path, advice="train it again")
    try:
        return {name: Reference.model_validate(row) for name, row in rows.items()}
    except ValidationError as error:
        got = f"figures of another form ({str(error).splitlines()[0]})"
        raise BadInput(got, "those of a scene judge", "train it again", path) from error


class SceneTest:
    """Scenes to draw, and their judge.

    Args:
        judge: "icons", the judge that ships with the package, or the folder of another.
        count: of scenes.

    Attributes:
        prompts: of the scenes, the categories in turn.
        own, wrong: scores of composed scenes of held-out drawings, with their own and with wrong captions.

    Raises:
        NotInstalled: the package with the frozen network is missing.
        BadInput: no such judge, or a file of it is damaged.
    """

    def __init__(self, judge: str, count: int) -> None:
        from spatialspec.quality.encoders import load_efficientnet

        folder = SHIPPED if judge == "icons" else Path(judge)
        if not (folder / "config.json").is_file():
            advice = "train one with `spatialspec train scene-judge`"
            raise BadInput(f"--scenes {judge}", "icons or the folder of a scene judge", advice)
        self._judge = SceneJudge.load(folder)
        load_efficientnet()
        scenes = prompts(self._judge.config.concepts, self._judge.config.styles, count)
        self._scenes = {scene.prompt: scene for scene in scenes}
        self.prompts = tuple(scene.prompt for scene in scenes)
        left_out = [r for name, r in read_references(folder / "figures.json").items() if name != "train"]
        self.own = _row("real scenes", [reference.own for reference in left_out])
        self.wrong = _row("wrong captions", [reference.wrong for reference in left_out])

    def __call__(self, pixels: UInt8[np.ndarray, "N H W 3"], captions: Sequence[str]) -> list[bool]:
        """Whether each image shows the scene of its prompt."""
        return self._judge.shows(pixels, [self._scenes[caption] for caption in captions]).tolist()

    def of(self, figure: str, prompt: str) -> bool:
        """Whether a prompt counts for a figure."""
        return self._scenes[prompt].category in FIELDS[figure]


def _row(name: str, counts: Sequence[Mapping[str, Count]]) -> Quality:
    """Figures of composed scenes, with intervals over scenes."""
    figures: dict[str, Any] = {}
    intervals: dict[str, Interval] = {}
    for figure, categories in FIELDS.items():
        parts = [c for one in counts for category, c in one.items() if category in categories]
        passed, total = sum(c.passed for c in parts), sum(c.of for c in parts)
        mean = mean_over_prompts([1.0] * passed + [0.0] * (total - passed), range(total), bounds=(0, 1))
        if mean is not None and mean.interval is not None:
            figures[figure], intervals[figure] = mean.value, mean.interval
    images = sum(count.of for one in counts for count in one.values())
    return Quality(method=name, images=images, intervals=intervals, **figures)
