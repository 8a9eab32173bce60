"""Where the new cells of `spatial` start: guesses for cells that no pass of the target has scored yet.

    q       law of a draft model for the cell, from what is written
    guess   argmax(log q + g), g the coupled noise of the cell; candidate k is the next best of log q + g

| `start` | q |
|---|---|
| `copy` | none: the cell copies the token above it |
| `hawk` | of Hawk's head to the right where it reaches, else of the head down from the nearest known row |
| `spatial-model` | of the spatial draft model, one pass of it for the whole main path |

A cell that no head reaches copies, too. Candidate k is taken to be right with probability
softmax((log q + g) / tau)_k, tau as of a row of the memory that read other tokens.

| variable | symbol |
|---|---|
| `Candidates.tau` | tau |
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from spatialspec.core.interfaces import Drafter, Verifier
from spatialspec.core.proposal import Proposal, Scores, Verdict
from spatialspec.core.setting import Setting
from spatialspec.core.state import State
from spatialspec.methods.ar import Nothing
from spatialspec.methods.hawk import Hawk, HawkHeads, HawkShape
from spatialspec.methods.spatial.memory import Candidates, Row, Said
from spatialspec.methods.spatial_model.drafter import SpatialModel, SpatialModelSettings


class Start:
    """Base, and the plain choice: no cell has a law.

    Args:
        setting: of the image.
        verifier: of the image.
        count: candidates for a cell.

    Attributes:
        drafter: whose laws are asked.
        blocks: of the target, whose states it reads.
    """

    drafter: Drafter = Nothing()
    blocks: tuple[int, ...] = ()

    def __init__(self, setting: Setting, verifier: Verifier, count: int) -> None:
        self.setting, self.count = setting, count

    def observe(
        self, state: State, proposal: Proposal, verdict: Verdict, p: Float[Tensor, "R V"], scores: Scores
    ) -> None:
        """Learn from a pass, as a drafter does."""
        self.drafter.observe(state, proposal, verdict, p, scores)

    def laws(self, window: range, new: Sequence[int]) -> dict[int, Float[Tensor, "V"]]:
        """Laws of new cells, as far as there are any.

        Args:
            window: open cells from the frontier on.
            new: those of them that no pass has scored, at least one.
        """
        return {}

    def guesses(self, window: range, new: Sequence[int]) -> dict[int, Candidates]:
        """Candidates for those new cells that have a law; see :meth:`laws`."""
        laws = self.laws(window, new) if new else {}
        if not laws:
            return {}
        score = torch.stack([*laws.values()]).log() + self.setting.noise.gumbel([*laws])
        said = Said.of(score, self.count)
        return {cell: Row(said, number).candidates(equal=0, age=0) for number, cell in enumerate(laws)}


class HawkStart(Start):
    """From all of Hawk's heads that there are."""

    def __init__(self, setting: Setting, verifier: Verifier, count: int) -> None:
        super().__init__(setting, verifier, count)
        sizes = setting.find(HawkHeads, "hawk").config
        self.drafter: Hawk = Hawk.make(setting, HawkShape(sizes.horizontal, sizes.vertical), verifier)

    def laws(self, window: range, new: Sequence[int]) -> dict[int, Float[Tensor, "V"]]:
        """See :class:`Start`."""
        states: dict[int, Float[Tensor, "G d"]] = {}
        for cell in new:
            sources: list[Float[Tensor, "G d"]] = []
            if rows := self.drafter.pool(cell, cell - window.start, sources, []):
                states[cell] = sources[rows[-1]]  # the head to the right comes last, of those down the nearest first
        if not states:
            return {}
        target, sampling = self.setting.target, self.setting.sampling
        return dict(zip(states, sampling.distribution(target.output(torch.stack([*states.values()], 1))), strict=True))


class SpatialModelStart(Start):
    """From the spatial draft model."""

    def __init__(self, setting: Setting, verifier: Verifier, count: int) -> None:
        super().__init__(setting, verifier, count)
        self.drafter: SpatialModel = SpatialModel.make(setting, SpatialModelSettings(), verifier)
        self.blocks = self.drafter.blocks

    def laws(self, window: range, new: Sequence[int]) -> dict[int, Float[Tensor, "V"]]:
        """See :class:`Start`."""
        q = self.drafter.laws(window.start, len(window), skip=new[0] - window.start)
        return {cell: q[cell - new[0]] for cell in new}


STARTS: dict[str, type[Start]] = {"copy": Start, "hawk": HawkStart, "spatial-model": SpatialModelStart}
