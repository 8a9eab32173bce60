"""One pass of the target for one image: its scores, the verdict, and the record of both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from jaxtyping import Float
from torch import Tensor

from spatialspec.core.proposal import Proposal

if TYPE_CHECKING:
    from spatialspec.core.state import State


@dataclass(frozen=True)
class Scores:
    """Scores of one target pass for one image.

    Attributes:
        logits: (streams, slots, V), conditional stream first.
        hidden: (streams, slots, d), pre-norm states; slot i outputs the cell after its token.
        layers: number of a hidden layer, counted from 1 -> states after it in the same slots, for drafters.
    """

    logits: Float[Tensor, "G R V"]
    hidden: Float[Tensor, "G R d"]
    layers: Mapping[int, Float[Tensor, "G R d"]] = field(default_factory=dict)

    @classmethod
    def of_batch(
        cls,
        logits: Float[Tensor, "B G R V"],
        hidden: Float[Tensor, "B G R d"],
        layers: Mapping[int, Float[Tensor, "B G R d"]],
        counts: Sequence[int],
    ) -> list[Scores]:
        """Split a padded batch into images; image i used the first `counts[i]` slots."""
        return [
            cls(logits[i, :, :n], hidden[i, :, :n], {layer: states[i, :, :n] for layer, states in layers.items()})
            for i, n in enumerate(counts)
        ]


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
        ranking: scores by which tokens were ranked for the cell after every slot; None where the rule ranks none.
    """

    path: tuple[int, ...] = ()
    token: int | None = None
    refined: tuple[int, ...] | None = None
    ahead: tuple[tuple[int, int], ...] = ()
    elsewhere: tuple[int, ...] = ()
    ranking: Float[Tensor, "R V"] | None = field(default=None, compare=False, repr=False)

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
        p: the target's distribution for the cell after every slot.
        scores: logits and hidden states of every slot.
        verdict: what was accepted.
        after: state of the image after the pass.
    """

    image: int
    before: State
    proposal: Proposal
    p: Float[Tensor, "R V"] = field(repr=False)
    scores: Scores = field(repr=False)
    verdict: Verdict
    after: State

    @classmethod
    def of(
        cls,
        image: int,
        before: State,
        proposal: Proposal,
        p: Float[Tensor, "R V"],
        scores: Scores,
        verdict: Verdict,
    ) -> Step:
        """The record of a pass, with the state that follows from it."""
        return cls(image, before, proposal, p, scores, verdict, before.extend(proposal, verdict))

    @property
    def written(self) -> list[int]:
        """Tokens committed at the frontier, in raster order."""
        return self.verdict.tokens(self.proposal)
