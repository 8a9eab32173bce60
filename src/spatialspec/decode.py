"""The loop that serves every decoder: draft, score in one pass of the target, verify, keep, learn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from spatialspec.core.errors import NotFinite
from spatialspec.core.interfaces import Drafter, Session, Verifier
from spatialspec.core.proposal import Proposal, Verdict
from spatialspec.core.sampling import Sampling
from spatialspec.core.state import State


@dataclass
class Image:
    """One image being decoded; `state` moves on with every pass.

    Attributes:
        state: what is written.
        drafter: its own, with what it has observed.
        verifier: its own, with the noise of the image's seed.
        sampling: how distributions are made from logits.
        written: tokens of its first cells from an earlier run; the first pass reads them and takes them as they are.
    """

    state: State
    drafter: Drafter
    verifier: Verifier
    sampling: Sampling
    written: Sequence[int] = ()

    def propose(self) -> Proposal:
        """What the drafter guesses; in the first pass what is written already."""
        if self.written and not self.state.frontier:
            asked = getattr(self.drafter, "blocks", ())  # states that a drafter reads wherever a cell was written
            return replace(Proposal.chain(0, list(self.written), final=True), blocks=asked)
        return self.drafter.propose(self.state)

    def verify(self, proposal: Proposal, p: Float[Tensor, "R V"]) -> Verdict:
        """What the verifier says; a final block stays as it stands.

        Raises:
            NotFinite: scores of the target that are no numbers.
        """
        verdict = self.verifier.verify(proposal, p, self.state)
        named = (verdict.token or 0, *(verdict.refined or ()), *(token for _, token in verdict.ahead))
        if max(named) == p.shape[-1]:  # no token: `best` and `inverse_cdf` found none
            raise NotFinite(self._broken(proposal, p), self.state.passes)
        if proposal.final:
            return Verdict(tuple(range(len(proposal))), refined=verdict.refined, score=verdict.score)
        return verdict

    def _broken(self, proposal: Proposal, p: Float[Tensor, "R V"]) -> int:
        """The first cell whose distribution is not one."""
        after = [cell + 1 for cell in (*(self.state.pending or (-1,)), *proposal.cells)]
        finite = p.isfinite().all(-1).tolist()
        return next((cell for cell, whole in zip(after, finite, strict=True) if not whole), self.state.frontier)


@dataclass(frozen=True)
class Step:
    """What one pass read and wrote for one image.

    Attributes:
        image: index of the image.
        proposal: what was drafted.
        verdict: what stayed.
        state: after the pass.
        rows: cells that the pass scored.
    """

    image: int
    proposal: Proposal
    verdict: Verdict
    state: State
    rows: int


@torch.inference_mode()
def decode(session: Session, images: Sequence[Image]) -> Iterator[Step]:
    """Write all images, each at its own pace, one target pass over all open ones at a time.

    AR is this loop with empty proposals.
    """
    open_images = list(range(len(images)))
    while open_images:
        states = [images[i].state for i in open_images]
        proposals = [images[i].propose() for i in open_images]
        scored = session.score(states, proposals)  # the one pass of the target
        for place, (i, proposal, scores) in enumerate(zip(open_images, proposals, scored, strict=True)):
            image = images[i]
            p = image.sampling.distribution(scores.logits)
            verdict = image.verify(proposal, p)
            image.drafter.observe(image.state, proposal, verdict, p, scores)
            image.state = image.state.extend(proposal, verdict)
            session.keep(place, proposal, verdict, image.state)
            yield Step(i, proposal, replace(verdict, score=None), image.state, len(p))  # whoever keeps it keeps little
        session.close([place for place, i in enumerate(open_images) if images[i].state.complete])
        open_images = [i for i in open_images if not images[i].state.complete]
