"""The loop of every method: draft, score in one target pass, verify, observe, commit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch

from spatialspec.core.clock import UNTIMED, Clock
from spatialspec.core.errors import NotFinite
from spatialspec.core.interfaces import Drafter, Session, Verifier
from spatialspec.core.proposal import Proposal
from spatialspec.core.sampler import Sampler
from spatialspec.core.sampling import Sampling
from spatialspec.core.state import State
from spatialspec.core.step import Scores, Step, Verdict


@dataclass
class Image:
    """One image being decoded; every pass replaces `state`.

    Attributes:
        state: committed tokens.
        drafter: of this image.
        verifier: of this image, with the noise of its seed.
        sampling: how distributions are made from logits.
        written: tokens of its first cells from an earlier run; the first pass reads and commits them.
    """

    state: State
    drafter: Drafter
    verifier: Verifier
    sampling: Sampling
    written: Sequence[int] = ()

    @cached_property
    def sampler(self) -> Sampler:
        """What every pass makes of its logits."""
        return Sampler(self.sampling, self.verifier.ranks, self.drafter.ranked, self.verifier.tolerance > 0)

    @property
    def drafts(self) -> bool:
        """Whether the drafter proposes in the next pass."""
        return bool(self.state.frontier or (self.drafter.drafts_first_cell and not self.written))

    def propose(self) -> Proposal:
        """The drafter's proposal; in the first pass the tokens of an earlier run."""
        if self.drafts:
            return self.drafter.propose(self.state)
        return Proposal.chain(0, list(self.written), final=bool(self.written))

    def verify(self, proposal: Proposal, scores: Scores) -> Verdict:
        """The verifier's verdict; a final block is accepted without it.

        Raises:
            NotFinite: a score of the target is NaN or infinite.
        """
        verdict = Verdict.all(proposal) if proposal.final else self.verifier.verify(proposal, scores, self.state)
        p = scores.p
        if p.shape[-1] in {*verdict.named, *verdict.tokens(proposal)}:  # V stands for a score that is not finite
            after = [cell + 1 for cell in (*(self.state.pending or (-1,)), *proposal.cells)]
            broken = [cell for cell, slot in zip(after, p, strict=True) if not slot.isfinite().all()]
            raise NotFinite(f"scores of cell {min(broken, default=self.state.frontier)}", self.state.passes)
        return verdict


@torch.inference_mode()
def one_pass(session: Session, images: Mapping[int, Image], clock: Clock = UNTIMED) -> Iterator[Step]:
    """One pass of the target for the images of a session; between two passes images may join and leave it.

    Args:
        session: holds these images, in this order.
        images: index in the record -> image.
        clock: of the stages.

    Yields:
        The record of the pass of each image.
    """
    drafting = [image for image in images.values() if image.drafts]
    for kind in dict.fromkeys(type(image.drafter) for image in drafting):
        alike = [image for image in drafting if type(image.drafter) is kind]
        kind.prepare([image.drafter for image in alike], [image.state for image in alike])
    states, proposals = [image.state for image in images.values()], [image.propose() for image in images.values()]
    samplers = [image.sampler for image in images.values()]
    layers = {layer for image in images.values() for layer in image.drafter.layers}
    scored = session.score(states, proposals, layers, samplers, clock)  # the one pass of the target
    clock.mark("read")
    for index, ((i, image), proposal, scores) in enumerate(zip(images.items(), proposals, scored, strict=True)):
        step = Step.of(i, image.state, proposal, scores, image.verify(proposal, scores))
        clock.mark("verify")
        image.state = step.after
        image.drafter.observe(step)
        session.keep(index, step)
        clock.mark("keep")
        yield step


@torch.inference_mode()
def decode(session: Session, images: Sequence[Image], clock: Clock = UNTIMED) -> Iterator[Step]:
    """Decode all images; each target pass serves all open ones, which advance independently.

    AR is this loop with empty proposals.

    Yields:
        The record of each pass of each image.
    """
    open_images = dict(enumerate(images))
    clock.start()
    while open_images:
        yield from one_pass(session, open_images, clock)
        session.drop([index for index, image in enumerate(open_images.values()) if image.state.complete])
        open_images = {i: image for i, image in open_images.items() if not image.state.complete}
