"""Where the new cells of `spatial` start: guesses for cells that no pass of the target has scored yet.

    q       distribution of a draft model for the cell, from what is written
    guess   argmax(log q + g), g the coupled noise of the cell; candidate k is the next best of log q + g

| `start` | q |
|---|---|
| `copy` | none: the cell copies the token above it |
| `hawk` | of Hawk's head to the right where it reaches, else of the head down from the nearest known row of the image |
| `spatial-model` | of the spatial draft model, one pass of it for the whole main path |

A cell that no head reaches copies, too, and so does one of a grid that the spatial model has not begun. Candidate k is
taken to be right with probability softmax((log q + g) / tau)_k, tau as of an entry of the memory that read other
tokens.

| variable | symbol |
|---|---|
| `Candidates.tau` | tau |
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from spatialspec.core.context import DecodeContext
from spatialspec.core.interfaces import Drafter, Verifier
from spatialspec.core.step import Step
from spatialspec.methods.hawk import Hawk, HawkHeads, HawkOptions
from spatialspec.methods.spatial.memory import Candidates, Entry, Ranking
from spatialspec.methods.spatial_model.drafter import SpatialModel, SpatialModelOptions


class Start:
    """Base, and the plain choice: no cell has a q.

    Args:
        context: of the image.
        verifier: of the image.
        count: candidates for a cell.

    Attributes:
        drafter: whose distributions are asked for; None where cells copy.
    """

    drafter: Drafter | None = None

    def __init__(self, context: DecodeContext, verifier: Verifier, count: int) -> None:
        self.context, self.count = context, count

    @property
    def layers(self) -> tuple[int, ...]:
        """Of the target, whose states the drafter reads."""
        return self.drafter.layers if self.drafter is not None else ()

    def observe(self, step: Step) -> None:
        """Learn from a pass, as a drafter does."""
        if self.drafter is not None:
            self.drafter.observe(step)

    def distributions(self, window: range, new: Sequence[int]) -> dict[int, Float[Tensor, "V"]]:
        """q of new cells, as far as there are any.

        Args:
            window: open cells from the frontier on.
            new: those of them that no pass has scored, at least one.
        """
        return {}

    def guesses(self, window: range, new: Sequence[int]) -> dict[int, Candidates]:
        """Candidates for those new cells that have a q; see :meth:`distributions`."""
        q = self.distributions(window, new) if new else {}
        if not q:
            return {}
        ranking = Ranking.of(torch.stack([*q.values()]).log() + self.context.noise.gumbel([*q]), self.count)
        return {cell: Entry(ranking, index).candidates(equal=0, age=0) for index, cell in enumerate(q)}


class HawkStart(Start):
    """From all of Hawk's heads that there are."""

    def __init__(self, context: DecodeContext, verifier: Verifier, count: int) -> None:
        super().__init__(context, verifier, count)
        sizes = context.find(HawkHeads, "hawk").config
        self.hawk = Hawk(context, HawkOptions(horizontal=sizes.horizontal, vertical=sizes.vertical), verifier)
        self.drafter = self.hawk

    def distributions(self, window: range, new: Sequence[int]) -> dict[int, Float[Tensor, "V"]]:
        """See :class:`Start`."""
        states: dict[int, Float[Tensor, "G d"]] = {}
        for cell in new:
            sources: list[Float[Tensor, "G d"]] = []
            if indices := self.hawk.pool(cell, cell - window.start, sources, []):
                states[cell] = sources[indices[-1]]  # the head to the right comes last, of those down the nearest first
        if not states:
            return {}
        target, sampling = self.context.target, self.context.sampling
        return dict(zip(states, sampling.distribution(target.output(torch.stack([*states.values()], 1))), strict=True))


class SpatialModelStart(Start):
    """From the spatial draft model."""

    def __init__(self, context: DecodeContext, verifier: Verifier, count: int) -> None:
        super().__init__(context, verifier, count)
        self.model = SpatialModel(context, SpatialModelOptions(), verifier)
        self.drafter = self.model

    def distributions(self, window: range, new: Sequence[int]) -> dict[int, Float[Tensor, "V"]]:
        """See :class:`Start`."""
        count = min(len(window), self.model.reach(window.start))
        reached = [cell for cell in new if cell < window.start + count]
        if not reached:
            return {}
        q = self.model.distributions(window.start, count, skip=new[0] - window.start)
        return {cell: q[cell - new[0]] for cell in reached}


STARTS: dict[str, type[Start]] = {"copy": Start, "hawk": HawkStart, "spatial-model": SpatialModelStart}
