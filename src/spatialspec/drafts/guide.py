"""Training task of the guide of `spatial` (docs/papers/spatial.md): KL to the target's distribution, on its own passes.

The target draws the training images with `spatial`; what its passes read and found is kept (`passes.py`). In every
window some tokens are not those that stand there in the end. The network learns p of a cell after the final tokens,
from the states that a pass found after its own. Slots before the first change are right already, and left out; slot i
of a window counts 1 / (1 + i / 12), as the last ones are seldom reached.

What follows a token is learned before what a change of it changes, or the network learns its few images by heart: in
the first steps there are no states, and the network learns the next token of images, real ones if there are any.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from spatialspec.core.interfaces import Target
from spatialspec.drafts import objectives
from spatialspec.drafts.acceptance import by_coupling
from spatialspec.drafts.card import Origin
from spatialspec.drafts.corpus import Corpus, from_images
from spatialspec.drafts.features import Streamed
from spatialspec.drafts.limits import check_settings
from spatialspec.drafts.passes import NONE, GuideBatch, Passes, record
from spatialspec.drafts.recipes import Recipe
from spatialspec.drafts.task import HELD_OUT, DraftTask
from spatialspec.drafts.training_data import TrainingData
from spatialspec.methods.spatial.trained_guide import GuideConfig, GuideNetwork, unguided
from spatialspec.targets.images import ReadsImages

DRAWN = 512  # images of the training set, by default
COLDEST = 0.1  # temperature in the objective of a greedy target
FADE = 12  # slots after which a weight is halved
CHUNK = 32  # windows of a batch in evaluations
SHIFT = 2.0**20  # frac(SHIFT * u) is independent of what u decides


@dataclass(frozen=True, kw_only=True)
class GuideRecipe(Recipe):
    """Settings.

    Attributes:
        layers: of the network, 1 to 4.
        expansion: of its layers, 1 to 8.
        windows: passes of each image that are kept.
        alone: share of the steps, the first ones, without states.
    """

    layers: int = 2
    expansion: int = 2
    windows: int = 32
    alone: float = 0.3
    steps: int = 6000
    batch: int = 16
    peak_rate: float = 1.5e-3
    warmup: int = 100
    evaluate_every: int = 500
    save_every: int = 500

    def __post_init__(self) -> None:
        super().__post_init__()
        check_settings(self, windows=1)

    def draw(self, step: int, examples: int) -> tuple[Int[np.ndarray, "B"], Float[np.ndarray, "B"]]:
        """See :class:`Recipe`; the sample is less than `alone` in the first steps, and not less in the others."""
        chosen, uniform = super().draw(step, examples)
        first = step < self.alone * self.steps
        return chosen, uniform * self.alone if first else self.alone + uniform * (1 - self.alone)

    def config(self, target: Target) -> GuideConfig:
        """Sizes of the network for a target: it reads the row above.

        Raises:
            BadInput: they do not fit the target.
        """
        return GuideConfig(target.width, self.layers, expansion=self.expansion, known=target.grid.columns + 2)


class GuideTask(DraftTask):
    """The network learns what a change of tokens changes.

    Attributes:
        passes: of all images, the held-out ones last.
        images: tokens of images for the steps without states.
    """

    recipe: GuideRecipe
    passes: Passes
    images: Int[Tensor, "N cells"]
    recipe_type: ClassVar[type[Recipe]] = GuideRecipe
    drawn = True
    note: ClassVar[str] = (
        "accepted probability: coupled noise, the target's recommended sampling, cells of windows of held-out images; "
        "changed: right behind a token that another has replaced, equal 1: one cell further; before: of the pass alone"
    )

    @classmethod
    def make(cls, data: TrainingData, recipe: GuideRecipe) -> Self:
        """See :class:`DraftTask`; the images are drawn here."""
        target = data.target
        recipe.config(target)
        prompts, rows, last = data.words(recipe.seed, DRAWN, HELD_OUT)
        folder, known = data.work / "passes", len(prompts) - last
        passes = record(target, prompts, recipe.windows, folder, recipe.seed, data.report, data.together)
        corpus = Corpus(prompts, passes.tokens, rows, before=passes.tokens.shape[1] - target.grid.cells)
        parts = corpus[:known], corpus[known:]
        source, origin = f"{known} images that the target drew itself with `spatial`", data.origin(parts, drawn=True)
        images = parts[0].image
        if data.images is not None and isinstance(target, ReadsImages):
            real, _ = from_images(target, data.images, recipe.seed, None, 1, data.report, data.bar)
            others, images = data.origin([real], drawn=False), real.codes
            source = f"{source}, after the tokens of {len(real)} real images"
            origin = Origin((*origin.lines, *others.lines), origin.shipped and others.shipped)
        task = cls(target, *parts, Streamed(target, corpus), recipe, source, origin)
        task.passes, task.images = passes, images
        return task

    def build(self) -> GuideNetwork:
        """A network that corrects nothing."""
        return GuideNetwork(self.recipe.config(self.target))

    def batch(self, chosen: Int[Tensor, "B"], uniform: Float[Tensor, "B"]) -> GuideBatch:
        """See :class:`DraftTask`: one window of each image."""
        if uniform[0] < self.recipe.alone:
            return self.alone(uniform / self.recipe.alone)
        return self.windows(chosen, ((SHIFT * uniform).frac() * self.recipe.windows).long())

    @property
    def _slots(self) -> Int[Tensor, "N"]:
        """Slot 0 reads the first open cell of a window, slot -1 the last known one."""
        return torch.arange(-self.recipe.config(self.target).known, self.passes.read.shape[-1])

    def alone(self, uniform: Float[Tensor, "B"]) -> GuideBatch:
        """Windows of images without states."""
        images = self.images[((SHIFT * uniform).frac() * len(self.images)).long()].long()
        slots, last = self._slots, images.shape[1]
        cells = (uniform * last).long()[:, None] + slots
        there = (cells >= 0) & (cells < last)
        new, after = (images.gather(1, index.clamp(0, last - 1)) for index in (cells, cells + 1))
        states = torch.zeros(*cells.shape, self.target.width)
        weight = (there & (slots >= 0) & (cells + 1 < last)).float()
        return GuideBatch.of(self.target.device, states, new, new, cells, there, torch.empty(0), after, weight)

    def windows(self, images: Int[Tensor, "B"], chosen: Int[Tensor, "B"]) -> GuideBatch:
        """Some windows, by image and number."""
        p, slots, rows = self.passes, self._slots, images[:, None]
        known, first, last = int((slots < 0).sum()), self.corpus.before, p.tokens.shape[1]
        cells = p.frontiers[images, chosen].long()[:, None] + slots
        read = torch.cat((torch.full((len(images), known), NONE), p.read[images, chosen].long()), dim=1)
        there = (cells >= first) & (cells < last) & ((slots < 0) | (read != NONE))
        new, after = (p.tokens[rows, index.clamp(0, last - 1)].long() for index in (cells, cells + 1))
        old = torch.where((slots < 0) | ~there, new, read)
        true = p.states[rows, (cells + 1).clamp(0, last - 1)].float()
        states = torch.cat((true[:, : known - 1], p.found[images, chosen].float()), dim=1) * there[..., None]
        changed = ((new != old).long().cumsum(1) > 0) & there & (cells + 1 < last)
        weight = changed / (1 + slots.clamp(min=0) / FADE)
        return GuideBatch.of(self.target.device, states, new, old, cells - first, there, true, after, weight)

    def corrected(self, drafts: GuideNetwork, batch: GuideBatch) -> Float[Tensor, "B N d"]:
        """States that the network makes of a batch."""
        cos, sin = drafts.config.layer.rotation(batch.cells, self.target.grid.columns)
        embedding = self.target.embed(torch.stack((batch.new, batch.old))).float()
        return drafts(batch.states, embedding[0], embedding[1], (cos[:, None], sin[:, None]), batch.mask)

    def distributions(self, states: Float[Tensor, "*N d"]) -> Float[Tensor, "*N V"]:
        """Of guided normed states, under the target's recommended sampling."""
        logits = self.target.output(states.to(self.target.dtype))
        return unguided(self.target.default).distribution(logits[None])

    def loss(self, drafts: GuideNetwork, batch: GuideBatch) -> Float[Tensor, ""]:
        """See :class:`DraftTask`; without filters, under which an objective is not finite."""
        learned, sampling = batch.weight > 0, unguided(self.target.default).unfiltered
        states, dtype = self.corrected(drafts, batch), self.target.dtype
        if not learned.any():
            return 0 * states.sum()
        logits = self.target.output(states[learned].to(dtype)).float() / max(sampling.temperature, COLDEST)
        if len(batch.true):
            p = sampling.distribution(self.target.output(batch.true[learned].to(dtype))[None])
            each = objectives.kl_each(logits, p)
        else:
            each = F.cross_entropy(logits, batch.after[learned], reduction="none")
        weight = batch.weight[learned]
        return (each * weight).sum() / weight.sum()

    @torch.no_grad()
    def evaluate(self, drafts: GuideNetwork) -> dict[str, float]:
        """Mean probability that a guess is right under coupled noise, by the number of equal tokens before it."""
        known, count = len(self.corpus), len(self.held_out)
        sums: dict[str, list[float]] = {}
        images = torch.arange(known, known + count).repeat_interleave(self.recipe.windows)
        numbers = torch.arange(self.recipe.windows).repeat(count)
        for part, chosen in zip(images.split(CHUNK), numbers.split(CHUNK), strict=True):
            batch = self.windows(part, chosen)
            states, equal = self.corrected(drafts, batch), batch.equal
            for name, index in (("changed", 0), ("equal 1", 1)):
                cells = (batch.weight > 0) & (equal == index)
                p = self.distributions(batch.true[cells])
                for kind, found in ((name, states), (f"{name}, before", batch.states)):
                    sums.setdefault(kind, []).extend(by_coupling(p, self.distributions(found[cells])).tolist())
        return {name: sum(values) / (len(values) or 1) for name, values in sums.items()}

    def guided(self, drafts: GuideNetwork) -> dict[str, float]:
        """Those of `evaluate` are under this sampling already."""
        return {}

    def score(self, figures: Mapping[str, float]) -> float:
        """Of guesses right behind a change."""
        return figures["changed"]

    @property
    def summary(self) -> str:
        """See :class:`DraftTask`."""
        return f"{self.recipe.layers} layers, windows of {self.passes.read.shape[-1]} guesses, trained on {self.source}"
