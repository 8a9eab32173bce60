"""Lesson of the spatial draft model (docs/papers/spatial-model.md): windows of open cells all over every picture.

Keys and values of a picture's cells are made once for all of its windows (`windows.py`); what a window may see of them
is its mask.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import partial
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from spatialspec.core.distribution import Sampling
from spatialspec.core.protocols import Target
from spatialspec.drafters.spatial_model_network import SpatialModelConfig, SpatialNetwork
from spatialspec.training.acceptance import by_coupling, by_rejection
from spatialspec.training.corpus_lesson import OBJECTIVES, CorpusLesson
from spatialspec.training.lesson import Best, Recipe
from spatialspec.training.windows import Rule, Windows, accepted

EVALUATED = 8  # windows of a held-out picture
SHOWN = ("right 1", "right 2", "right 4", "right 8", "right 16", "down 1", "down 2", "window")
SHIFT = 2.0**20  # the digits of a lot that did not decide whether the caption was dropped


@dataclass(frozen=True, kw_only=True)
class SpatialModelRecipe(Recipe):
    """Settings; those of the network are in :class:`SpatialModelConfig`.

    Attributes:
        window: open cells that are guessed behind a frontier.
        frontiers: windows of a picture in a step.
        objective: one of OBJECTIVES; see `objectives.py`.
        drop: share of captions that are dropped, so that drafts serve both streams of guidance.
    """

    layers: int = 2
    head_width: int = 64
    expansion: int = 2
    rows: int = 3
    columns: int = 6
    positions: str = "2-d"
    attention: str = "local"
    directions: str = "both"
    window: int = 32
    frontiers: int = 16
    objective: str = "cross-entropy"
    drop: float = 0.1
    steps: int = 600
    batch: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.objective not in OBJECTIVES:
            raise ValueError(f"got objective {self.objective!r}, expected one of {', '.join(OBJECTIVES)}")
        if self.window < 1 or self.frontiers < 1:
            raise ValueError(f"got window {self.window} and frontiers {self.frontiers}, expected at least 1")
        if not 0 <= self.drop <= 1:
            raise ValueError(f"got drop {self.drop}, expected a share from 0 to 1")

    def config(self, width: int) -> SpatialModelConfig:
        """Sizes of the network for a target of this width.

        Raises:
            ValueError: it cannot be built.
        """
        own = {field.name: getattr(self, field.name) for field in fields(SpatialModelConfig) if field.name != "width"}
        return SpatialModelConfig(width, **own)


@dataclass(frozen=True)
class Batch:
    """States, tokens and windows of some pictures."""

    hidden: Float[Tensor, "B cells d"]
    codes: Int[Tensor, "B cells"]
    windows: Windows


def guesses(
    target: Target,
    drafts: SpatialNetwork,
    hidden: Float[Tensor, "B cells d"],
    codes: Int[Tensor, "B cells"],
    windows: Windows,
) -> Float[Tensor, "B M d"]:
    """States at the open cells of all windows, in fp32 like the network, from the target's states and the tokens."""
    c, columns = drafts.config, target.grid.columns
    known = torch.arange(hidden.shape[1], device=hidden.device)
    slots = drafts.read(hidden.float(), target.embed(codes).float(), c.rotation(known, columns))
    mask = c.visible(columns, known.expand_as(codes), windows.cells, windows.frontier)
    cos, sin = c.rotation(windows.cells.clamp(min=0), columns)
    return drafts(slots, (cos[:, None], sin[:, None]), mask[:, None])


def laws(
    target: Target,
    drafts: SpatialNetwork,
    sampling: Sampling,
    hidden: Float[Tensor, "G B cells d"],
    codes: Int[Tensor, "B cells"],
    windows: Windows,
) -> Float[Tensor, "B M V"]:
    """q at the open cells of all windows, from the target's states in every stream."""
    found = torch.stack([guesses(target, drafts, stream, codes, windows).to(stream.dtype) for stream in hidden])
    return sampling.distribution(target.output(target.norm(found)))


class SpatialModelLesson(CorpusLesson):
    """The network learns the target's laws at open cells, from the target's states and tokens at known ones."""

    recipe: SpatialModelRecipe
    Recipe: ClassVar[type[SpatialModelRecipe]] = SpatialModelRecipe
    note: ClassVar[str] = (
        "accepted probability: mean of sum min(p, q) over windows of held-out pictures, no guidance, temperature 1; "
        "right k: cells k to the right of the last known one, down k: cells with no known one in their row and the "
        "nearest above k rows up; guided: under the target's recommended sampling, by rejection (sum min(p, q)) and "
        "under coupled noise"
    )

    @property
    def config(self) -> SpatialModelConfig:
        """Sizes of the network."""
        return self.recipe.config(self.target.width)

    def build(self) -> SpatialNetwork:
        """An untrained network."""
        return SpatialNetwork(self.config)

    def batch(self, chosen: Int[Tensor, "B"], lots: Float[Tensor, "B"]) -> Batch:
        """See :class:`Lesson`."""
        r = self.recipe
        hidden = self.features(chosen, lots < r.drop)
        windows = Windows.spread((SHIFT * lots).frac().to(hidden.device), r.frontiers, r.window, hidden.shape[1])
        return Batch(hidden, self.corpus.codes[chosen].long().to(hidden.device), windows)

    def loss(self, drafts: SpatialNetwork, batch: Batch) -> Float[Tensor, ""]:
        """See :class:`Lesson`; every picture counts the same, however many of its windows are cut."""
        guess = guesses(self.target, drafts, batch.hidden, batch.codes, batch.windows)
        parts = []
        for i, there in enumerate(batch.windows.there):
            cells = batch.windows.cells[i, there]
            hidden, codes = batch.hidden[i, cells], batch.codes[i, cells]
            parts.append(self.objective(guess[i, there], self.target_logits, hidden, hidden, codes))
        return torch.stack(parts).mean()

    def evaluate(self, drafts: SpatialNetwork) -> dict[str, float]:
        """Mean probability that rejection accepts a draft, by distance, without guidance, at temperature 1."""
        return self._accepted(drafts, Sampling(), {"": by_rejection})[""]

    def _accepted(
        self, drafts: SpatialNetwork, sampling: Sampling, rules: Mapping[str, Rule]
    ) -> dict[str, dict[str, float]]:
        q = partial(laws, self.target, drafts, sampling)
        found = accepted(self.target, self.held_out, sampling, q, rules, EVALUATED, self.recipe.window)
        return {rule: {name: means[name] for name in SHOWN if name in means} for rule, means in found.items()}

    def score(self, figures: Mapping[str, float]) -> float:
        """Mean over the window."""
        return figures["window"]

    @property
    def summary(self) -> str:
        """One sentence for the card."""
        c = self.config
        reach = f"{c.rows} rows up and {c.columns} columns to either side" if c.attention == "local" else "everywhere"
        return (
            f"{c.layers} layers, {c.positions} positions, attention {reach}, directions: {c.directions}; "
            f"windows of {self.recipe.window} cells, trained on {self.source}"
        )

    def figures(self, drafts: SpatialNetwork, best: Best) -> dict[str, float]:
        """Accepted probabilities for the card."""
        assert best.figures is not None
        own = {f"accepted probability, {name}": value for name, value in best.figures.items()}
        guided = self._accepted(drafts, self.target.default, {"rejection": by_rejection, "coupled": by_coupling})
        names = guided["rejection"]
        return own | {f"guided, {name}, {rule}": guided[rule][name] for name in names for rule in guided}
