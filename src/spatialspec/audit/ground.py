"""Where methods are tried: a toy with its law and AR's images, and a model with AR's images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int

from spatialspec import arguments
from spatialspec.audit.cases import Case, Plan
from spatialspec.audit.chi_square import fit, variation
from spatialspec.audit.findings import CaseResult
from spatialspec.audit.replicas import Table, TableNoise, Trial, codes
from spatialspec.audit.toys import Remembered
from spatialspec.generation import Request, assemble, generate
from spatialspec.measure.distance import Drawn, Target, explained
from spatialspec.methods.method import Method
from spatialspec.pipeline import SpatialPipeline
from spatialspec.progress import Progress

AR = Method.parse("ar")
HEADS = 16  # of random draft weights in each direction: the most that a method may ask for
ROWS = 250  # images of a large batch


class ToyGround:
    """A case made ready.

    Args:
        case: toy and sampling.
        plan: numbers of images.
        table: random numbers of at least `case.images` images.
    """

    def __init__(self, case: Case, plan: Plan, table: Table) -> None:
        s = case.sampling
        self.case, self.plan, self.table, self.toy = case, plan, table, case.toy()
        self.sampling = Remembered(s.guidance, s.temperature, s.top_k, s.top_p)
        self.law = self.toy.law(s)

    def _trial(self, method: Method, verifier: str) -> Trial:
        return Trial(str(method), verifier, self.sampling, self.toy, count=HEADS)

    def _noises(self, images: int) -> list[TableNoise]:
        return [TableNoise(self.table.first + i, self.table) for i in range(images)]

    def draw(self, method: Method, verifier: str, images: int) -> Int[np.ndarray, "images cells"]:
        """Tokens of the first images: some in threes, each at its own pace, the others as rows of larger batches."""
        trial, noises, threes = self._trial(method, verifier), self._noises(images), self.plan.threes
        parts = (noises[:threes], 3), (noises[threes:], ROWS)
        return np.concatenate([trial.tokens(some, batch) for some, batch in parts])

    @cached_property
    def reference(self) -> list[Drawn]:
        """AR's first images, all in large batches."""
        noises, grid = self._noises(self.plan.others), self.toy.grid.grids[-1]
        images = self._trial(AR, "coupled").tokens(noises, ROWS).tolist()
        drawn = zip(noises, images, strict=True)
        return [Drawn("", "", self.sampling, grid, noise.seed, tuple(tokens)) for noise, tokens in drawn]

    def compare(self, tokens: Int[np.ndarray, "images cells"]) -> CaseResult:
        """Count images against the law, from the first cell and from the last."""
        shape = (self.toy.vocabulary,) * self.toy.grid.cells
        counts = np.bincount(codes(tokens, self.toy.vocabulary), minlength=len(self.law))
        fits = fit(counts, self.law), fit(_turned(counts, shape), _turned(self.law, shape))
        worst = min(fits, key=lambda found: found.p)
        distance, expected = variation(counts, self.law)
        return CaseResult(
            case=str(self.case),
            images=len(tokens),
            chi_square=None if math.isinf(worst.chi_square) else worst.chi_square,
            freedom=worst.freedom,
            p=worst.p,
            total_variation=distance,
            expected_variation=expected,
        )


def _turned(values: Float[np.ndarray, "images"], shape: tuple[int, ...]) -> Float[np.ndarray, "images"]:
    """The same with the last cell as the first digit."""
    return values.reshape(shape).T.ravel()


class ModelGround:
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

    def check(self, method: Method) -> None:
        """Find out whether the model can run a method.

        Raises:
            BadInput: it lacks the drafts.
        """
        assemble(self.target, self.drafts, method, self.request)

    def draw(self, method: Method) -> list[tuple[int, ...]]:
        """Tokens of every image."""
        tokens, _ = generate(
            self.target,
            self.drafts,
            method,
            self.request,
            lambda step: self.report(str(method), len(step.written)),
        )
        return tokens

    @cached_property
    def reference(self) -> list[Drawn]:
        """AR's images."""
        r = self.request
        drawn = zip(r.prompts, r.seeds, self.draw(AR), strict=True)
        return [Drawn(prompt, "", r.sampling, r.grid, seed, tokens) for prompt, seed, tokens in drawn]


def departures(target: Target, reference: Sequence[Drawn], images: Sequence[Sequence[int]]) -> tuple[int, int]:
    """How many images leave AR's at a tie, and how many without one."""
    left = [(own, tokens) for own, tokens in zip(reference, images, strict=True) if own.tokens != tuple(tokens)]
    ties = sum(explained(target, own, tokens) for own, tokens in left)
    return ties, len(left) - ties
