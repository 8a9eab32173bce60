"""Bugs to plant, all taken from public code for accelerating image generators: each must make the audit fail."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from spatialspec.audit import replicas
from spatialspec.core import sampling as distribution
from spatialspec.core.noise import Purpose, inverse_cdf
from spatialspec.core.proposal import Proposal
from spatialspec.core.step import Step, Verdict
from spatialspec.decode import Image
from spatialspec.methods import rejection
from spatialspec.methods.rejection import Rejection
from spatialspec.targets.session import TargetSession

Patch = pytest.MonkeyPatch
TABLE, FEW_TOKENS, CACHE = 0, 1, 2  # the cases of the quick audit


def residual_warped_twice(patch: Patch) -> None:
    """Temperature 0.7 once more."""
    patch.setattr(Rejection, "refuse", lambda self, p, q, tokens: (p - q).clamp(min=0) ** (1 / 0.7))


def clamped_rows(patch: Patch) -> None:
    """All images of a batch go on from the smallest acceptance; those that had more draw again there."""

    def clamp(image: Image, proposal: Proposal, verdict: Verdict, p: Tensor, shortest: int) -> Verdict:
        if len(verdict.tokens(proposal)) == shortest:
            return verdict
        path, state = verdict.path[: shortest - 1], image.state
        if not isinstance(image.verifier, Rejection):
            return Verdict(path, verdict.tokens(proposal)[shortest - 1])  # coupled noise draws the same again
        cell = state.frontier + len(path)
        u = image.verifier.noise.uniform(Purpose.RESIDUAL, state.passes, [cell], [1])
        return Verdict(path, int(inverse_cdf(p[path[-1] + 1 if path else 0], u[0])))

    @torch.inference_mode()
    def clamped(session: TargetSession, images: Sequence[Image]) -> Iterator[Step]:
        still = list(images)
        while still:
            proposals = [image.propose() for image in still]
            samplers = [image.sampler for image in still]
            scored = session.score([image.state for image in still], proposals, (), samplers)
            judged = [image.verify(x, scores) for image, x, scores in zip(still, proposals, scored, strict=True)]
            shortest = min(len(verdict.tokens(x)) for verdict, x in zip(judged, proposals, strict=True))
            passes = zip(still, proposals, scored, judged, strict=True)
            for index, (image, x, scores, verdict) in enumerate(passes):
                step = Step.of(index, image.state, x, scores, clamp(image, x, verdict, scores.p, shortest))
                image.drafter.observe(step)
                image.state = step.after
                session.keep(index, step)
                yield step
            session.drop([index for index, image in enumerate(still) if image.state.complete])
            still = [image for image in still if not image.state.complete]

    patch.setattr(replicas, "decode", clamped)


def reseeded(patch: Patch) -> None:
    """A generator is seeded in the accept loop: every test of an image gets the same numbers."""

    honest = Rejection._uniform

    def uniform(self: Rejection, cells: Sequence[int], numbers: Sequence[int], *others: Any) -> Tensor:
        same = torch.rand(64, generator=torch.Generator().manual_seed(self.noise.seed), dtype=torch.float64)
        return torch.cat((same[list(numbers)], honest(self, cells, numbers, *others)[len(numbers) :]))

    patch.setattr(Rejection, "_uniform", uniform)


def top_p_of_probabilities(patch: Patch) -> None:
    """A filter that expects logits gets probabilities, and takes their softmax."""

    def nucleus(p: Tensor, mass: float) -> Tensor:
        ordered, order = p.softmax(-1).sort(dim=-1, descending=True, stable=True)
        cut = (ordered.cumsum(-1) - ordered >= mass).gather(-1, order.argsort(-1))
        kept = p.masked_fill(cut, 0.0)
        return kept / kept.sum(-1, keepdim=True)

    patch.setattr(distribution, "_nucleus", nucleus)


def uniform_fallback(patch: Patch) -> None:
    """The residual is not normalised, so a second candidate often leaves nothing of it; then any token will do."""

    def refuse(self: Rejection, p: Tensor, q: Tensor, tokens: Tensor) -> Tensor:
        rest = (p - q).clamp(min=0)
        return rest.where(rest.sum(-1, keepdim=True) > 0, 1 / p.shape[-1])

    patch.setattr(Rejection, "refuse", refuse)
    patch.setattr(rejection, "normalise", lambda weights: weights)


def unconditional_not_rolled_back(patch: Patch) -> None:
    """Rejected drafts stay in the cache of the unconditional stream."""
    honest = TargetSession.keep

    def keep(self: TargetSession, index: int, step: Step) -> None:
        image = self.images[index]
        last = image.sequences[-1]
        before = self.cache.lengths[last]
        read = len(step.before.pending) + len(step.proposal) + (0 if before else len(image.prompt.prefixes[-1]))
        honest(self, index, step)
        if len(image.sequences) == 2 and step.verdict.commits:
            self.cache.lengths[last] = before + read

    patch.setattr(TargetSession, "keep", keep)


@dataclass(frozen=True)
class Bug:
    """A bug and where it shows.

    Attributes:
        plant: replaces a part.
        method: that is audited.
        case: of the quick audit, one that the method draws in its turn.
    """

    plant: Callable[[Patch], None]
    method: str
    case: int


PLANTED = {
    "residual warped twice": Bug(residual_warped_twice, "hawk", TABLE),
    "rows of a batch clamped to the smallest acceptance": Bug(clamped_rows, "hawk", TABLE),
    "generator seeded in the accept loop": Bug(reseeded, "hawk", FEW_TOKENS),
    "top-p fed probabilities": Bug(top_p_of_probabilities, "medusa", CACHE),
    "uniform fallback where the residual vanishes": Bug(uniform_fallback, "hawk", FEW_TOKENS),
    "unconditional cache not rolled back": Bug(unconditional_not_rolled_back, "medusa", CACHE),
}
