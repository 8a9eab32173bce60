"""First tokens of new cells in `spatial`: guesses for cells that no pass of the target has scored.

    q       distribution of a draft model for the cell, given the committed tokens
    guess   argmax(log q + g), g the coupled noise of the cell; candidate k is the next best of log q + g

| `start` | q |
|---|---|
| `copy` | none: the cell copies the token above it |
| `hawk` | of Hawk's horizontal head where it reaches the cell, else of the vertical head from the nearest known row |
| `spatial-model` | of the spatial draft model, one pass of it for the whole main path |

A cell that no head reaches copies, and so do cells before the spatial model's first pass in a grid. Candidate k counts
as right with probability softmax((log q + g) / tau)_k, tau as of a memory entry with no equal token.

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
    """Base class, and the start `copy`: no cell has a q.

    Args:
        context: of the image.
        verifier: of the image.
        count: candidates for a cell.

    Attributes:
        drafter: source of the distributions; None for `copy`.
    """

    drafter: Drafter | None = None

    def __init__(self, context: DecodeContext, verifier: Verifier, count: int) -> None:
        self.context, self.count = context, count

    @property
    def layers(self) -> tuple[int, ...]:
        """Hidden layers of the target that the drafter reads."""
        return self.drafter.layers if self.drafter is not None else ()

    def observe(self, step: Step) -> None:
        """See :meth:`Drafter.observe`."""
        if self.drafter is not None:
            self.drafter.observe(step)

    def distributions(self, window: range, new: Sequence[int]) -> dict[int, Float[Tensor, "V"]]:
        """q by cell, of those new cells that have one.

        Args:
            window: open cells from the frontier on.
            new: cells of the window that no pass has scored, at least one.
        """
        return {}

    def guesses(self, window: range, new: Sequence[int]) -> dict[int, Candidates]:
        """Candidates for those new cells that have a q; see :meth:`distributions`."""
        q = self.distributions(window, new) if new else {}
        if not q:
            return {}
        score = torch.stack([*q.values()]).log() + self.context.noise.gumbel([*q])
        best = score.topk(min(self.count, score.shape[-1]), dim=-1)
        ranking = Ranking.of(best.indices.cpu().numpy(), best.values.cpu().numpy())
        return {cell: Entry(ranking, index).candidates(equal=0, age=0) for index, cell in enumerate(q)}


class HawkStart(Start):
    """The start `hawk`: all heads of the draft weights."""

    def __init__(self, context: DecodeContext, verifier: Verifier, count: int) -> None:
        super().__init__(context, verifier, count)
        sizes = context.find(HawkHeads, "hawk").config
        self.hawk = Hawk(context, HawkOptions(horizontal=sizes.horizontal, vertical=sizes.vertical), verifier)
        self.drafter = self.hawk

    def distributions(self, window: range, new: Sequence[int]) -> dict[int, Float[Tensor, "V"]]:
        """See :class:`Start`."""
        states: dict[int, Float[Tensor, "G d"]] = {}
        for cell in new:
            if pool := self.hawk.pool(cell, cell - window.start):
                states[cell] = self.hawk.source(cell, pool[-1])  # of the horizontal head, else the nearest vertical
        if not states:
            return {}
        target, sampling = self.context.target, self.context.sampling
        return dict(zip(states, sampling.distribution(target.output(torch.stack([*states.values()], 1))), strict=True))


class SpatialModelStart(Start):
    """The start `spatial-model`."""

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
