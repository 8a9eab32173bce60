"""One pass of the target for one image: what it scored, what a verifier decided, and the record of both."""

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
    """What one target pass computed for one image.

    Attributes:
        logits: (streams, slots, V), conditional stream first.
        hidden: (streams, slots, d), pre-norm states; slot i outputs the cell after its own.
        layers: number of a block, counted from 1 -> states after it, in the same slots; those that the drafter reads.
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
        """Of every image the slots that it used, the first of those that the batch was padded to."""
        return [
            cls(logits[i, :, :n], hidden[i, :, :n], {layer: states[i, :, :n] for layer, states in layers.items()})
            for i, n in enumerate(counts)
        ]


@dataclass(frozen=True)
class Verdict:
    """What a verifier decided about one pass.

    Attributes:
        path: accepted nodes, each the child of the one before.
        token: the target's own token for the cell after the path; None where a block is committed or refined as it is.
        refined: the rule's own token for the cell after every slot, given the drafts as they stand; None where a rule
            has none. A verdict that commits nothing is a refinement round.
        ahead: (cell, token) committed elsewhere, out of raster order.
        elsewhere: accepted nodes that do not start at the frontier; they are committed at their cells, and their keys
            and values of this pass are kept.
        ranking: scores by which tokens were ranked for the cell after every slot; None where a rule ranks none.
    """

    path: tuple[int, ...] = ()
    token: int | None = None
    refined: tuple[int, ...] | None = None
    ahead: tuple[tuple[int, int], ...] = ()
    elsewhere: tuple[int, ...] = ()
    ranking: Float[Tensor, "R V"] | None = field(default=None, compare=False, repr=False)

    @classmethod
    def all(cls, proposal: Proposal) -> Verdict:
        """Every node of a chain as it stands."""
        return cls(tuple(range(len(proposal))))

    @property
    def commits(self) -> bool:
        """Whether anything was written."""
        return bool(self.path or self.ahead or self.elsewhere) or self.token is not None

    def tokens(self, proposal: Proposal) -> list[int]:
        """Tokens committed at the frontier, in raster order."""
        drafted = [proposal.tokens[i] for i in self.path]
        return drafted if self.token is None else [*drafted, self.token]

    @property
    def named(self) -> set[int]:
        """All tokens that the rule named itself; one of them is V where it met scores that are no numbers."""
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
    """One pass of the target for one image: all that it read, computed and wrote.

    Whoever keeps a step keeps its tensors, those of the proposal and the verdict too; `written` and `after` are small.

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
