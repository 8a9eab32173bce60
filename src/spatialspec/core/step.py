"""One pass of the target for one image: its scores, the verdict, and the record of both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from spatialspec.core.proposal import Proposal

if TYPE_CHECKING:
    from spatialspec.core.state import State


class Readout:
    """What the host reads of the slots of one image, under coupled noise: columns of one array.

    Args:
        columns: of every slot: winner, best tokens, their scores, then the figures of a tolerance; whole numbers as
            the bits of floats.
        ranked: tokens that the pass ranked.
        count: of them, those that this image reads.
    """

    def __init__(self, columns: Float[np.ndarray, "R columns"], ranked: int, count: int) -> None:
        self._columns, self._ranked, self._count = columns, ranked, count

    @cached_property
    def winners(self) -> list[int]:
        """argmax(log p + g) of every slot: the target's token; V where a score is not finite."""
        winners: list[int] = self._columns[:, 0].view(np.int32).tolist()
        return winners

    @property
    def best(self) -> tuple[Int[np.ndarray, "R K"], Float[np.ndarray, "R K"]]:
        """The best tokens of every slot and their scores log p + g, best first; of a single one 0 for the score."""
        if self._ranked == 1:
            return self._columns[:, :1].view(np.int32), np.zeros((len(self._columns), 1), np.float32)
        columns = self._columns[:, 1 : 1 + 2 * self._ranked].reshape(len(self._columns), 2, -1)[:, :, : self._count]
        return columns[:, 0].view(np.int32), columns[:, 1]

    @property
    def near(self) -> tuple[Float[np.ndarray, "R"], Float[np.ndarray, "R"], Float[np.ndarray, "R"]]:
        """For the token of every slot: entropy of p before it, score behind the best, surprise -log p; in nats."""
        entropy, behind, surprise = self._columns[:, -3:].T
        return entropy, behind, surprise


@dataclass(frozen=True)
class Scores:
    """Scores of one target pass for one image.

    Attributes:
        logits: (streams, slots, V), conditional stream first.
        hidden: (streams, slots, d), pre-norm states; slot i outputs the cell after its token.
        layers: number of a hidden layer, counted from 1 -> states after it in the same slots, for drafters.
        drawn: the target's distribution for the cell after every slot; None if the pass had no sampler.
        readout: what the host reads of them under coupled noise; None under rejection.
        tokens: that the slots read, on the device; None if the host knows all.
    """

    logits: Float[Tensor, "G R V"]
    hidden: Float[Tensor, "G R d"]
    layers: Mapping[int, Float[Tensor, "G R d"]] = field(default_factory=dict)
    drawn: Float[Tensor, "R V"] | None = None
    readout: Readout | None = None
    tokens: Int[Tensor, "R"] | None = None

    @property
    def p(self) -> Float[Tensor, "R V"]:
        """The target's distribution for the cell after every slot."""
        assert self.drawn is not None, "this pass had no sampler"
        return self.drawn

    @property
    def winners(self) -> list[int]:
        """argmax(log p + g) of every slot, under coupled noise: the target's token; V where a score is not finite."""
        assert self.readout is not None, "this pass had no coupled noise"
        return self.readout.winners


@dataclass(frozen=True)
class Verdict:
    """Decision of a verifier about one pass.

    Attributes:
        path: accepted nodes, each the child of the one before.
        token: the target's token for the cell after the path; None where a block is committed or refined.
        refined: the target's token for the cell after every slot, given the drafts that it read; None where the rule
            computes none. A verdict that commits nothing is a refinement round.
        ahead: (cell, token) committed out of raster order.
        elsewhere: accepted nodes that do not start at the frontier; they are committed at their cells, with the keys
            and values of this pass.
    """

    path: tuple[int, ...] = ()
    token: int | None = None
    refined: tuple[int, ...] | None = None
    ahead: tuple[tuple[int, int], ...] = ()
    elsewhere: tuple[int, ...] = ()

    @classmethod
    def all(cls, proposal: Proposal) -> Verdict:
        """Accept every node of a chain."""
        return cls(tuple(range(len(proposal))))

    @property
    def commits(self) -> bool:
        """Whether a token was committed."""
        return bool(self.path or self.ahead or self.elsewhere) or self.token is not None

    def tokens(self, proposal: Proposal) -> list[int]:
        """Tokens committed at the frontier, in raster order."""
        drafted = [proposal.tokens[i] for i in self.path]
        return drafted if self.token is None else [*drafted, self.token]

    @property
    def named(self) -> set[int]:
        """All tokens of the target in this verdict; one of them is V where a score was not finite."""
        return {
            *(self.refined or ()),
            *(token for _, token in self.ahead),
            *([] if self.token is None else [self.token]),
        }

    def slots(self) -> list[int]:
        """Slots of the pass whose states output the tokens committed at the frontier, in raster order."""
        slots = [0, *(i + 1 for i in self.path)]
        return slots if self.token is not None else slots[:-1]


@dataclass(frozen=True)
class Step:
    """Record of one pass of the target for one image.

    A step holds all tensors of its pass, those of proposal and verdict too; `written` and `after` are small.

    Attributes:
        image: index of the image.
        before: state of the image before the pass.
        proposal: what was drafted.
        scores: of every slot: logits, hidden states, distributions.
        verdict: what was accepted.
        after: state of the image after the pass.
    """

    image: int
    before: State
    proposal: Proposal
    scores: Scores = field(repr=False)
    verdict: Verdict
    after: State

    @classmethod
    def of(
        cls,
        image: int,
        before: State,
        proposal: Proposal,
        scores: Scores,
        verdict: Verdict,
    ) -> Step:
        """The record of a pass, with the state that follows from it."""
        return cls(image, before, proposal, scores, verdict, before.extend(proposal, verdict))

    @property
    def p(self) -> Float[Tensor, "R V"]:
        """The target's distribution for the cell after every slot."""
        return self.scores.p

    @property
    def written(self) -> list[int]:
        """Tokens committed at the frontier, in raster order."""
        return self.verdict.tokens(self.proposal)
