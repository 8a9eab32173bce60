"""Environments of the audit: a toy with its distribution and AR's images, and a model with AR's images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from functools import cached_property

import numpy as np
from jaxtyping import Int, Num

from spatialspec import arguments
from spatialspec.audit.cases import Case, Plan
from spatialspec.audit.chi_square import fit, variation
from spatialspec.audit.findings import CaseResult
from spatialspec.audit.replicas import NoiseTable, TableNoise, Trial, codes
from spatialspec.audit.toys import CachedSampling
from spatialspec.core.progress import Progress
from spatialspec.generation import generate
from spatialspec.measure.distance import Drawn, Scorer, explained
from spatialspec.methods.ar import METHOD as AR
from spatialspec.methods.method import Method
from spatialspec.pipeline import SpatialPipeline
from spatialspec.request import Request

HEADS = 16  # of random draft weights in each direction: the maximum of any method
BATCH = 250  # images of a large batch


class ToyEnvironment:
    """A toy with its random numbers.

    Args:
        case: toy and sampling.
        plan: numbers of images.
        table: random numbers of at least `case.images` images.
    """

    def __init__(self, case: Case, plan: Plan, table: NoiseTable) -> None:
        s = case.sampling
        self.case, self.plan, self.table, self.toy = case, plan, table, case.toy()
        self.sampling = CachedSampling(**asdict(s))
        self.joint = self.toy.joint(s)

    def _trial(self, method: Method, verifier: str) -> Trial:
        return Trial(str(method), verifier, self.sampling, self.toy, count=HEADS)

    def _noises(self, images: int) -> list[TableNoise]:
        return [TableNoise(self.table.first + i, self.table) for i in range(images)]

    def draw(self, method: Method, verifier: str, images: int) -> Int[np.ndarray, "images cells"]:
        """Tokens of the first images: `plan.threes` in batches of three, the others in larger batches."""
        trial, noises, threes = self._trial(method, verifier), self._noises(images), self.plan.threes
        parts = (noises[:threes], 3), (noises[threes:], BATCH)
        return np.concatenate([trial.tokens(part, batch) for part, batch in parts])

    @cached_property
    def reference(self) -> list[Drawn]:
        """AR's first images, all in large batches."""
        noises, grid = self._noises(self.plan.others), self.toy.grid.grids[-1]
        images = self._trial(AR, "coupled").tokens(noises, BATCH).tolist()
        drawn = zip(noises, images, strict=True)
        return [Drawn("", "", self.sampling, grid, noise.seed, tuple(tokens)) for noise, tokens in drawn]

    def compare(self, tokens: Int[np.ndarray, "images cells"]) -> CaseResult:
        """Count images against their distribution, from the first cell and from the last."""
        shape = (self.toy.vocabulary,) * self.toy.grid.cells
        counts = np.bincount(codes(tokens, self.toy.vocabulary), minlength=len(self.joint))
        fits = fit(counts, self.joint), fit(_reversed(counts, shape), _reversed(self.joint, shape))
        worst = min(fits, key=lambda result: result.p)
        distance, expected = variation(counts, self.joint)
        return CaseResult(
            case=str(self.case),
            images=len(tokens),
            chi_square=None if math.isinf(worst.chi_square) else worst.chi_square,
            freedom=worst.freedom,
            p=worst.p,
            total_variation=distance,
            expected_variation=expected,
        )


def _reversed(values: Num[np.ndarray, "images"], shape: tuple[int, ...]) -> Num[np.ndarray, "images"]:
    """Values in the enumeration with the last cell as the first digit."""
    return values.reshape(shape).T.ravel()


class ModelEnvironment:
    """Images of a model, all in one batch.

    Args:
        pipeline: target and drafts.
        plan: prompts and size.
        seed: of the first image.
        report: called with a method and a number of tokens.
    """

    def __init__(self, pipeline: SpatialPipeline, plan: Plan, seed: int, report: Progress) -> None:
        self.target, self.drafts, self.report = pipeline.target, pipeline.drafts, report
        self.request = Request(
            prompts=plan.prompts,
            seeds=[seed + i for i in range(len(plan.prompts))],
            sampling=pipeline.target.default,
            grid=arguments.grid(pipeline.target, plan.size or None),
        )

    def draw(self, method: Method) -> list[tuple[int, ...]]:
        """Tokens of every image."""
        return generate(
            self.target, self.drafts, method, self.request, lambda step: self.report(str(method), len(step.written))
        )[0]

    @cached_property
    def reference(self) -> list[Drawn]:
        """AR's images."""
        r = self.request
        drawn = zip(r.prompts, r.seeds, self.draw(AR), strict=True)
        return [Drawn(prompt, "", r.sampling, r.grid, seed, tokens) for prompt, seed, tokens in drawn]


def departures(target: Scorer, reference: Sequence[Drawn], images: Sequence[Sequence[int]]) -> tuple[int, int]:
    """Number of images that differ from AR's first at a tie, and without a tie."""
    pairs = zip(reference, images, strict=True)
    ties = [explained(target, ar, tokens) for ar, tokens in pairs if ar.tokens != tuple(tokens)]
    return sum(ties), len(ties) - sum(ties)
