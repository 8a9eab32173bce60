"""Settings of `spatialspec train target`: stages on growing grids, and the rate of every step."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from spatialspec.core.errors import BadInput, shown
from spatialspec.drafts.limits import check_memory, check_settings
from spatialspec.lab.icons.sketch import SketchRecipe
from spatialspec.targets.icons.transformer import GridTransformerConfig

LARGEST = 256  # cells a side: of images of 1,024 pixels
DIGITS = 10  # of a number on the command line


@dataclass(frozen=True)
class Stage:
    """A part of the training on one grid.

    Attributes:
        side: cells a side.
        batch: images per step.
        steps: optimiser steps.
    """

    side: int
    batch: int
    steps: int

    def __post_init__(self) -> None:
        check_settings(self, side=1, batch=1, steps=1)
        if self.side > LARGEST:
            raise BadInput(f"side {self.side}", f"1 to {LARGEST} cells", "choose another")


def parse_stages(text: str) -> tuple[Stage, ...]:
    """Read `SIDE:BATCH:STEPS`, several with commas.

    Raises:
        BadInput: not three whole numbers, or one out of range.
    """
    stages = []
    for part in text.split(","):
        numbers = part.strip().split(":")
        if len(numbers) != 3 or not all(n.isdecimal() and len(n) <= DIGITS and int(n) for n in numbers):
            raise BadInput(f"stage {shown(part)}", "SIDE:BATCH:STEPS, whole numbers from 1, as in 12:32:700")
        stages.append(Stage(*map(int, numbers)))
    return tuple(stages)


@dataclass(frozen=True)
class TargetRecipe:
    """Settings of the target's training.

    Attributes:
        stages: in order.
        sketch: settings of the step before them.
        muon_rate: learning rate of matrices inside layers.
        adam_rate: learning rate of everything else.
        warmup: steps of linear warm-up.
        fall: share of all steps over which the rate falls to zero.
        shift: largest shift of an image in pixels, each way.
        noise: share of input tokens replaced by those of another cell of the same image.
        drop: share of captions replaced by the empty one, for classifier-free guidance.
        seed: of everything random.
        compile: compile the loss with torch.compile.
    """

    stages: tuple[Stage, ...] = (Stage(12, 256, 400), Stage(24, 128, 4075))
    sketch: SketchRecipe = field(default_factory=SketchRecipe)
    muon_rate: float = 2.5e-3
    adam_rate: float = 1.5e-3
    warmup: int = 50
    fall: float = 0.25
    shift: int = 3
    noise: float = 0.1
    drop: float = 0.1
    seed: int = 0
    compile: bool = True

    def __post_init__(self) -> None:
        check_settings(self, warmup=1, shift=0, seed=0)
        if not self.stages:
            raise BadInput("no stages", "one or more", "give SIDE:BATCH:STEPS")

    @property
    def steps(self) -> int:
        """Steps of all stages."""
        return sum(stage.steps for stage in self.stages)

    def stage_at(self, step: int) -> Stage:
        """The stage that a step belongs to."""
        for stage in self.stages:
            if step < stage.steps:
                return stage
            step -= stage.steps
        return self.stages[-1]

    @property
    def fall_steps(self) -> int:
        """Steps over which the rate falls."""
        return max(1, int(self.fall * self.steps))

    def falls(self, step: int) -> bool:
        """Whether the rate has begun to fall."""
        return step >= self.steps - self.fall_steps

    def facts(self) -> dict[str, Any]:
        """Everything that the result depends on, by name."""
        return {name: value for name, value in asdict(self).items() if name != "compile"}

    def facts_before_the_fall(self, step: int) -> dict[str, Any]:
        """What a state before the fall depends on; a longer recipe with the same facts may resume from it.

        Of the stages it contains only the steps before the state. A recipe whose rate falls earlier has other facts.
        """
        left, seen = min(step, self.steps - self.fall_steps), []
        for stage in self.stages:
            seen.append([stage.side, stage.batch, min(left, stage.steps)])
            left -= seen[-1][-1]
        return self.facts() | {"fall": None, "stages": [part for part in seen if part[-1]]}

    def rate_at(self, step: int) -> float:
        """Learning rate as a share of its peak."""
        return min(1.0, (step + 1) / self.warmup, (self.steps - step) / self.fall_steps)


def check_room(config: GridTransformerConfig, recipe: TargetRecipe, patch: int) -> None:
    """Refuse a model, or a batch, that certainly does not fit into memory.

    Args:
        config: sizes of the model.
        recipe: stages and batches.
        patch: pixels a side of a cell.

    Raises:
        BadInput: it does not fit.
    """
    numbers = config.layers * (4 * config.width + 2 * config.mlp_width) * config.width
    numbers += config.text_vocabulary * config.width
    check_memory(12 * numbers, f"a model of width {config.width} and {config.layers} layers", "make it smaller")
    for stage in recipe.stages:
        per_image = stage.side**2 * (4 * config.width * config.layers + 3 * 5 * patch**2)
        check_memory(stage.batch * per_image, f"{stage.batch} images of {stage.side} cells a side", "take fewer")
