"""Toy targets and replicas of the audit, under the name that the tests use, and the law test that files share."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np

from spatialspec.audit.cases import Case, Plan
from spatialspec.audit.chi_square import fit
from spatialspec.audit.replicas import NoiseTable, TableNoise, Trial, codes
from spatialspec.audit.toys import CachedSampling, ToySession, ToyTarget
from spatialspec.core.noise import Noise
from spatialspec.core.sampling import Sampling
from spatialspec.decode import Image, decode

__all__ = [
    "TWO",
    "CachedSampling",
    "NoiseTable",
    "TableNoise",
    "ToySession",
    "ToyTarget",
    "Trial",
    "check_law",
    "codes",
    "noise_of",
    "run",
    "table",
]

REPLICAS, ALIKE = 800, 60
TWO = Plan(
    (
        Case(False, "2x1+2x2", 4, Sampling(guidance=1.5), 300, deviation=0.2),
        Case(False, "1x3+3x1", 4, Sampling(), 200, deviation=0.2),
    ),
    others=200,
    threes=30,
)


def noise_of(target: ToyTarget, seed: int = 0) -> Noise:
    """The random numbers of one image."""
    return Noise(seed, target.grid.cells, target.vocabulary)


def run(target: ToyTarget, images: Sequence[Image]) -> list[Image]:
    """Decode images to the end."""
    for _ in decode(ToySession(target, images[0].sampling.streams), images):
        pass
    return list(images)


@cache
def table(vocabulary: int, turns: int) -> NoiseTable:
    """Random numbers of REPLICAS images, for up to `turns` passes each."""
    return NoiseTable(REPLICAS, turns, vocabulary)


def check_law(
    method: str, sampling: Sampling, grid: str, vocabulary: int, deviation: float, level: float, turns: int
) -> None:
    """The target's law under rejection (chi-square p above `level`), AR's very tokens under coupled noise.

    `turns` is at least the number of passes that a picture may take.
    """
    target = ToyTarget.random(grid, vocabulary, 1, deviation=deviation)
    noises = [TableNoise(seed, table(vocabulary, turns)) for seed in range(REPLICAS)]
    images, law = Trial(method, "rejection", sampling, target).tokens(noises), target.joint(sampling)
    found = fit(np.bincount(codes(images, vocabulary), minlength=len(law)), law)
    print(f"{method}: {found.chi_square:.0f} on {found.freedom}, p = {found.p:.0e}")
    assert found.p > level
    coupled, ar = (Trial(name, "coupled", sampling, target).tokens(noises[:ALIKE]) for name in (method, "ar"))
    assert (coupled == ar).all()
