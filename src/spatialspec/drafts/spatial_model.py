"""Training task of the spatial draft model (docs/papers/spatial-model.md): windows of open cells in every image.

Keys and values of an image's cells are computed once for all of its windows (`windows.py`); the mask of a window
selects those that it attends to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from spatialspec.core.errors import BadInput
from spatialspec.core.interfaces import Target
from spatialspec.core.sampling import Sampling
from spatialspec.drafts import objectives
from spatialspec.drafts.acceptance import RULES, Rule, by_rejection
from spatialspec.drafts.recipes import Recipe
from spatialspec.drafts.task import DraftTask
from spatialspec.drafts.windows import Windows, accepted
from spatialspec.methods.spatial_model.config import SpatialModelConfig, SpatialModelSizes, depth
from spatialspec.methods.spatial_model.network import SpatialNetwork
from spatialspec.methods.spatial_model.vocabulary import NOT_COVERED, DraftVocabulary, output_rows

EVALUATED = 8  # windows of a held-out image
SHOWN = ("right 1", "right 2", "right 4", "right 8", "right 16", "down 1", "down 2", "window")
SHIFT = 2.0**20  # frac(SHIFT * u) is independent of the decision u < drop


@dataclass(frozen=True, kw_only=True)
class SpatialModelRecipe(SpatialModelSizes, Recipe):
    """Settings, with the options of the network among them.

    Attributes:
        window: open cells that are predicted after a frontier.
        frontiers: windows of an image in a step.
        objective: one of objectives.NAMES.
        drop: share of dropped captions, so that drafts also learn the unconditional stream.
    """

    window: int = 32
    frontiers: int = 16
    objective: str = "kl"
    drop: float = 0.1
    steps: int = 600
    batch: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        objectives.check(self.objective)
        if self.window < 1 or self.frontiers < 1:
            raise BadInput(f"window {self.window} and frontiers {self.frontiers}", "at least 1")

    def config(self, target: Target) -> SpatialModelConfig:
        """Sizes of the network for a target.

        Raises:
            BadInput: it cannot be built, or the target lacks what it needs.
        """
        sizes = {f.name: getattr(self, f.name) for f in fields(SpatialModelSizes)}
        config = SpatialModelConfig(target.width, **sizes)
        config.layers_read(depth(target))
        if config.vocabulary:
            output_rows(target, config.vocabulary)
        return config


@dataclass(frozen=True)
class SpatialModelBatch:
    """States (pre-norm ones last), tokens and windows of some images."""

    hidden: Float[Tensor, "B cells joined"]
    codes: Int[Tensor, "B cells"]
    windows: Windows


def guesses(
    target: Target,
    drafts: SpatialNetwork,
    hidden: Float[Tensor, "B cells joined"],
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


def distributions(
    target: Target,
    drafts: SpatialNetwork,
    sampling: Sampling,
    hidden: Float[Tensor, "G B cells joined"],
    codes: Int[Tensor, "B cells"],
    windows: Windows,
) -> Float[Tensor, "B M V"]:
    """q at the open cells of all windows, from the target's states in every stream."""
    guess = torch.stack([guesses(target, drafts, stream, codes, windows).to(stream.dtype) for stream in hidden])
    return drafts.vocabulary.distributions(target, sampling, guess)


class SpatialModelTask(DraftTask):
    """The network learns the target's distributions at open cells, from its states and the tokens at known cells."""

    recipe: SpatialModelRecipe
    kind: ClassVar[str] = "SpatialModelLesson"
    recipe_type: ClassVar[type[Recipe]] = SpatialModelRecipe
    note: ClassVar[str] = (
        "accepted probability: mean of sum min(p, q) over windows of held-out images, no guidance, temperature 1; "
        "right k: cells k to the right of the last known one, down k: cells with no known one in their row and the "
        "nearest above k rows up; guided: under the target's recommended sampling, by rejection (sum min(p, q)) and "
        "under coupled noise"
    )

    @classmethod
    def layers(cls, target: Target, recipe: SpatialModelRecipe) -> Sequence[int]:
        """See :class:`DraftTask`."""
        return recipe.config(target).layers_read(depth(target))

    def __post_init__(self) -> None:
        super().__post_init__()
        self.config = self.recipe.config(self.target)
        size, codes = self.recipe.vocabulary, self.corpus.image
        self.vocabulary = DraftVocabulary.most_frequent(size, codes).to(self.target.device)

    def build(self) -> SpatialNetwork:
        """An untrained network."""
        network = SpatialNetwork(self.config)
        network.vocabulary.load_state_dict(self.vocabulary.state_dict())
        return network

    def target_logits(self, hidden: Float[Tensor, "*N d"]) -> Float[Tensor, "*N v"]:
        """Logits of pre-norm states, of the target or predicted, for the covered tokens."""
        return self.vocabulary.logits(self.target, hidden).float()

    def batch(self, chosen: Int[Tensor, "B"], uniform: Float[Tensor, "B"]) -> SpatialModelBatch:
        """See :class:`DraftTask`."""
        r = self.recipe
        hidden = self.features(chosen, uniform < r.drop)
        windows = Windows.evenly((SHIFT * uniform).frac().to(hidden.device), r.frontiers, r.window, hidden.shape[1])
        return SpatialModelBatch(hidden, self.corpus.image[chosen].long().to(hidden.device), windows)

    def loss(self, drafts: SpatialNetwork, batch: SpatialModelBatch) -> Float[Tensor, ""]:
        """See :class:`DraftTask`; a mean over images, whatever the number of their cells inside windows.

        Cells whose token is not covered are left out.
        """
        guess = guesses(self.target, drafts, batch.hidden, batch.codes, batch.windows)
        last, positions = batch.hidden[..., -self.config.width :], self.vocabulary.positions(batch.codes, self.target)
        parts = []
        for i, cells in enumerate(batch.windows.cells):
            learned = batch.windows.inside[i] & (positions[i, cells] != NOT_COVERED)
            hidden, codes = last[i, cells[learned]], positions[i, cells[learned]]
            if len(codes):
                parts.append(self.objective(guess[i, learned], self.target_logits, hidden, hidden, codes))
            else:
                parts.append(0 * guess[i].sum())
        return torch.stack(parts).mean()

    def evaluate(self, drafts: SpatialNetwork) -> dict[str, float]:
        """Mean probability that rejection accepts a draft, by distance, without guidance, at temperature 1."""
        return self._accepted(drafts, Sampling(), {"": by_rejection})[""]

    def guided(self, drafts: SpatialNetwork) -> dict[str, float]:
        """Mean probability that a draft is accepted under the target's default sampling, by distance and rule."""
        means = self._accepted(drafts, self.target.default, RULES)
        return {f"{name}, {rule}": means[rule][name] for name in means["rejection"] for rule in means}

    def _accepted(
        self, drafts: SpatialNetwork, sampling: Sampling, rules: Mapping[str, Rule]
    ) -> dict[str, dict[str, float]]:
        q = partial(distributions, self.target, drafts, sampling)
        layers = self.layers(self.target, self.recipe)
        means = accepted(self.target, self.held_out, sampling, q, rules, EVALUATED, self.recipe.window, layers)
        return {rule: {name: by_name[name] for name in SHOWN if name in by_name} for rule, by_name in means.items()}

    def score(self, figures: Mapping[str, float]) -> float:
        """Mean over the window."""
        return figures["window"]

    @property
    def summary(self) -> str:
        """See :class:`DraftTask`."""
        c = self.config
        reach = f"{c.rows} rows up and {c.columns} columns to either side" if c.attention == "local" else "everywhere"
        return (
            f"{c.layers} layers, {c.positions} positions, attention {reach}, directions: {c.directions}; "
            f"windows of {self.recipe.window} cells, trained on {self.source}"
        )

    def figures(self, drafts: SpatialNetwork, evaluated: Mapping[str, float]) -> dict[str, float]:
        """See :class:`DraftTask`, and the coverage of the vocabulary."""
        figures = super().figures(drafts, evaluated)
        if self.recipe.vocabulary:
            codes = self.held_out.image.long().to(self.target.device)
            covered = self.vocabulary.positions(codes, self.target) != NOT_COVERED
            figures["share of cells whose token is covered"] = covered.double().mean().item()
        return figures
