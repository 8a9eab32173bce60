"""Lesson of the spatial draft model (docs/papers/spatial-model.md): windows of open cells all over every picture.

Keys and values of a picture's cells are made once for all of its windows (`windows.py`); what a window may see of them
is its mask.
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
from spatialspec.drafts.acceptance import by_coupling, by_rejection
from spatialspec.drafts.corpus_lesson import OBJECTIVES, CorpusLesson
from spatialspec.drafts.lesson import Best, Recipe
from spatialspec.drafts.windows import Rule, Windows, accepted
from spatialspec.methods.spatial_model.config import SpatialModelConfig, SpatialModelSizes
from spatialspec.methods.spatial_model.drafter import depth
from spatialspec.methods.spatial_model.network import SpatialNetwork
from spatialspec.methods.spatial_model.vocabulary import NOT_COVERED, DraftVocabulary, output_rows

EVALUATED = 8  # windows of a held-out picture
SHOWN = ("right 1", "right 2", "right 4", "right 8", "right 16", "down 1", "down 2", "window")
SHIFT = 2.0**20  # the digits of a lot that did not decide whether the caption was dropped


@dataclass(frozen=True, kw_only=True)
class SpatialModelRecipe(SpatialModelSizes, Recipe):
    """Settings, with the options of the network among them.

    Attributes:
        window: open cells that are guessed behind a frontier.
        frontiers: windows of a picture in a step.
        objective: one of OBJECTIVES; see `objectives.py`.
        drop: share of captions that are dropped, so that drafts serve both streams of guidance.
    """

    window: int = 32
    frontiers: int = 16
    objective: str = "kl"
    drop: float = 0.1
    steps: int = 600
    batch: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.objective not in OBJECTIVES:
            raise BadInput(f"objective {self.objective!r}", f"one of {', '.join(OBJECTIVES)}")
        if self.window < 1 or self.frontiers < 1:
            raise BadInput(f"window {self.window} and frontiers {self.frontiers}", "at least 1")
        if not 0 <= self.drop <= 1:
            raise BadInput(f"drop {self.drop}", "a share from 0 to 1")

    def config(self, target: Target) -> SpatialModelConfig:
        """Sizes of the network for a target.

        Raises:
            BadInput: it cannot be built, or needs what the target does not give.
        """
        made = SpatialModelConfig(target.width, **{f.name: getattr(self, f.name) for f in fields(SpatialModelSizes)})
        made.layers_read(depth(target))
        if made.vocabulary:
            output_rows(target, made.vocabulary)
        return made


@dataclass(frozen=True)
class Batch:
    """States (all that are read, joined), tokens and windows of some pictures."""

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


def laws(
    target: Target,
    drafts: SpatialNetwork,
    sampling: Sampling,
    hidden: Float[Tensor, "G B cells joined"],
    codes: Int[Tensor, "B cells"],
    windows: Windows,
) -> Float[Tensor, "B M V"]:
    """q at the open cells of all windows, from the target's states in every stream."""
    found = torch.stack([guesses(target, drafts, stream, codes, windows).to(stream.dtype) for stream in hidden])
    return drafts.vocabulary.distributions(target, sampling, found)


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

    @classmethod
    def blocks(cls, target: Target, recipe: SpatialModelRecipe) -> Sequence[int]:
        """See :class:`CorpusLesson`."""
        return recipe.config(target).layers_read(depth(target))

    def __post_init__(self) -> None:
        super().__post_init__()
        self.config = self.recipe.config(self.target)
        size, codes = self.recipe.vocabulary, self.corpus.codes
        self.vocabulary = DraftVocabulary.most_frequent(size, codes).to(self.target.device)

    def build(self) -> SpatialNetwork:
        """An untrained network."""
        network = SpatialNetwork(self.config)
        network.vocabulary.load_state_dict(self.vocabulary.state_dict())
        return network

    def target_logits(self, hidden: Float[Tensor, "*N d"]) -> Float[Tensor, "*N v"]:
        """Logits of the target's pre-norm states, or of a guess, for the tokens that are covered."""
        return self.vocabulary.logits(self.target, hidden).float()

    def batch(self, chosen: Int[Tensor, "B"], lots: Float[Tensor, "B"]) -> Batch:
        """See :class:`Lesson`."""
        r = self.recipe
        hidden = self.features(chosen, lots < r.drop)
        windows = Windows.spread((SHIFT * lots).frac().to(hidden.device), r.frontiers, r.window, hidden.shape[1])
        return Batch(hidden, self.corpus.codes[chosen].long().to(hidden.device), windows)

    def loss(self, drafts: SpatialNetwork, batch: Batch) -> Float[Tensor, ""]:
        """See :class:`Lesson`; every picture counts the same, however many of its windows are cut.

        Cells whose token is not covered are left out.
        """
        guess = guesses(self.target, drafts, batch.hidden, batch.codes, batch.windows)
        last, places = batch.hidden[..., -self.config.width :], self.vocabulary.positions(batch.codes, self.target)
        parts = []
        for i, cells in enumerate(batch.windows.cells):
            learned = batch.windows.there[i] & (places[i, cells] != NOT_COVERED)
            hidden, codes = last[i, cells[learned]], places[i, cells[learned]]
            if len(codes):
                parts.append(self.objective(guess[i, learned], self.target_logits, hidden, hidden, codes))
            else:
                parts.append(0 * guess[i].sum())
        return torch.stack(parts).mean()

    def evaluate(self, drafts: SpatialNetwork) -> dict[str, float]:
        """Mean probability that rejection accepts a draft, by distance, without guidance, at temperature 1."""
        return self._accepted(drafts, Sampling(), {"": by_rejection})[""]

    def _accepted(
        self, drafts: SpatialNetwork, sampling: Sampling, rules: Mapping[str, Rule]
    ) -> dict[str, dict[str, float]]:
        q = partial(laws, self.target, drafts, sampling)
        blocks = self.blocks(self.target, self.recipe)
        found = accepted(self.target, self.held_out, sampling, q, rules, EVALUATED, self.recipe.window, blocks)
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
        if self.recipe.vocabulary:
            codes = self.held_out.codes.long().to(self.target.device)
            covered = self.vocabulary.positions(codes, self.target) != NOT_COVERED
            own["share of cells whose token is covered"] = covered.double().mean().item()
        guided = self._accepted(drafts, self.target.default, {"rejection": by_rejection, "coupled": by_coupling})
        names = guided["rejection"]
        return own | {f"guided, {name}, {rule}": guided[rule][name] for name in names for rule in guided}
