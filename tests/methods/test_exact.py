"""Variants of methods, most of which the audit does not list, and bugs of our own, which must be seen.

Every test is one chi-square test at the level 1e-6 / (number of tests) / CAUTION: a false alarm anywhere in this file
has odds below 1e-6 (see `analysis.chi_square`). Seeds are fixed, hence so is every outcome.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest
from torch import Tensor

from helpers.toys import CachedSampling, NoiseTable, TableNoise, ToyTarget, Trial, codes
from spatialspec.audit.chi_square import CAUTION, Fit, fit, survival
from spatialspec.core.noise import Noise, Purpose, inverse_cdf
from spatialspec.core.proposal import Proposal
from spatialspec.core.sampling import Sampling
from spatialspec.core.state import State
from spatialspec.core.step import Scores, Verdict
from spatialspec.methods.rejection import Rejection
from spatialspec.methods.scd import SCD
from spatialspec.methods.sjd import SJD

PLAIN = Sampling()
GUIDED = Sampling(guidance=2.0)
COOL = Sampling(temperature=0.7)
TOP_K = Sampling(guidance=0.5, top_k=2)
TOP_P = Sampling(temperature=1.3, top_p=0.8)
ALL = Sampling(guidance=1.5, temperature=0.7, top_k=3, top_p=0.95)

EXACT = [  # method, verifier, sampling, grid, vocabulary, deviation of the toy
    ("hawk:horizontal=3:depth=3:vertical_samples=2", "coupled", COOL, "2x3", 4, 0.2),
    ("medusa:horizontal=3:depth=3:horizontal_samples=1", "rejection", GUIDED, "3x2", 3, 0.7),
    ("hawk-vertical:vertical_samples=1", "rejection", ALL, "2x3", 4, 0.7),
    ("hawk:depth=1", "rejection", TOP_K, "2x3", 3, 0.7),
    ("hawk:vertical_samples=2", "rejection", TOP_P, "3x2", 4, 0.7),
    ("hawk:horizontal_samples=2", "rejection", ALL, "2x3", 4, 0.7),
    ("hawk:horizontal=3:depth=3", "rejection", COOL, "2x3", 3, 0.7),
    ("hawk:vertical=3:horizontal=3:depth=3:vertical_samples=2:budget=24", "rejection", PLAIN, "3x2", 3, 0.7),
    ("sjd:length=2:start=above", "rejection", TOP_P, "3x2", 4, 0.7),
    ("scd:length=3:start=above", "rejection", GUIDED, "2x3", 3, 0.7),
    ("scd:length=4:form=gumbel", "rejection", ALL, "3x2", 4, 0.7),
    ("scd:length=3:form=gumbel:start=above", "rejection", TOP_P, "3x2", 4, 0.7),
    ("sjd-pac:width=2:depth=4", "rejection", COOL, "2x3", 3, 0.7),
    ("sjd-pac:length=4:width=2:start=above", "rejection", PLAIN, "3x2", 4, 0.2),
    ("jacobi:length=3", "coupled", GUIDED, "3x2", 4, 0.2),
    ("spatial:budget=3", "coupled", GUIDED, "3x2", 4, 0.2),
    ("spatial:budget=3:start=hawk", "coupled", TOP_P, "3x2", 4, 0.2),
]
LEVEL = 1e-6 / len(EXACT) / CAUTION
REPLICAS, FEWER = 1500, 600


@cache
def table(vocabulary: int) -> NoiseTable:
    return NoiseTable(REPLICAS, 6, vocabulary)


def compare(images: np.ndarray, target: ToyTarget, sampling: Sampling) -> Fit:
    law = target.joint(sampling)
    return fit(np.bincount(codes(images, target.vocabulary), minlength=len(law)), law)


@pytest.mark.law
@pytest.mark.parametrize(("method", "verifier", "sampling", "grid", "vocabulary", "deviation"), EXACT)
def test_law(method: str, verifier: str, sampling: Sampling, grid: str, vocabulary: int, deviation: float) -> None:
    """The law of the target; under coupled noise the very tokens of AR besides."""
    target = ToyTarget.random(grid, vocabulary, 1, deviation=deviation)
    remembered = CachedSampling(**asdict(sampling))
    noises = [TableNoise(seed, table(vocabulary)) for seed in range(FEWER)]
    images = Trial(method, verifier, remembered, target).tokens(noises)
    assert compare(images, target, sampling).p > LEVEL
    if verifier == "coupled":
        assert (images == Trial("ar", verifier, remembered, target).tokens(noises)).all()


def test_the_table_holds_the_shipped_numbers() -> None:
    for vocabulary, seed in ((3, 0), (4, REPLICAS - 1)):
        shipped, looked_up = Noise(seed, 6, vocabulary), TableNoise(seed, table(vocabulary))
        assert shipped.gumbel(list(range(7))).equal(looked_up.gumbel(list(range(7))))
        for purpose in (Purpose.DRAFT, Purpose.ACCEPT, Purpose.RESIDUAL):
            for pass_index, candidates in (
                (4, [0, 4, 1]),
                (7, [0, 4, 1]),
                (4, [0, 9, 1]),
            ):  # the table lacks the last two
                key = purpose, pass_index, [5, 0, 3], candidates
                assert shipped.uniform(*key).equal(looked_up.uniform(*key))
    late = NoiseTable(3, 6, 4, first=2**40)
    assert Noise(2**40 + 2, 6, 4).gumbel([5]).equal(TableNoise(2**40 + 2, late).gumbel([5]))


Patch = pytest.MonkeyPatch


def argmax_drafts(patch: Patch) -> None:
    """Tested with the full q all the same."""
    patch.setattr(Rejection, "draw", lambda self, q, rows, cells, pass_index: q[list(rows)].argmax(-1))


def draw_with(patch: Patch, key: Callable[[Sequence[int]], tuple[list[int], list[int]]]) -> None:
    """Candidates drawn with the numbers of other cells and candidates."""

    def draw(self: Rejection, q: Tensor, rows: Sequence[int], cells: Sequence[int], pass_index: int) -> Tensor:
        return inverse_cdf(q[list(rows)], self.noise.uniform(Purpose.DRAFT, pass_index, *key(cells)))

    patch.setattr(Rejection, "draw", draw)


def shared_stream(patch: Patch) -> None:
    """Both candidates of a cell are drawn with the same number."""
    draw_with(patch, lambda cells: (list(cells), [0] * len(cells)))


def reused_sample(patch: Patch) -> None:
    """One number for a candidate of the first cell and for the candidate of the next."""

    def key(cells: Sequence[int]) -> tuple[list[int], list[int]]:
        seen: Counter[int] = Counter()
        return [cells[0]] * len(cells), [(seen.update([cell]), seen[cell] - 1)[1] for cell in cells]

    draw_with(patch, key)


def draft_again(patch: Patch) -> None:
    """The number that drew the draft also draws what replaces it."""
    honest = TableNoise.numbers

    def numbers(self: TableNoise, purpose: Purpose | list[Purpose], *key: Any) -> np.ndarray:
        purposes = np.array(purpose)
        return honest(self, np.where(purposes == Purpose.RESIDUAL, Purpose.DRAFT, purposes).tolist(), *key)

    patch.setattr(TableNoise, "numbers", numbers)


def other_q(patch: Patch) -> None:
    """Every candidate is tested with the q of the last one: the horizontal."""
    honest = Rejection.verify

    def verify(self: Rejection, proposal: Proposal, scores: Scores, state: State) -> Verdict:
        proposal.tests = {row: [(node, tests[-1][1]) for node, _ in tests] for row, tests in proposal.tests.items()}
        return honest(self, proposal, scores, state)

    patch.setattr(Rejection, "verify", verify)


def column_noise(patch: Patch) -> None:
    """Coupled noise without the row in its key, on a grid of two columns."""
    honest = TableNoise.gumbel
    patch.setattr(TableNoise, "gumbel", lambda self, cells: honest(self, [int(cell) % 2 for cell in cells]))


def forgotten_law(patch: Patch) -> None:
    """New cells are drawn from the law of the cell above, and tested as if they were uniform."""
    honest = SJD.window

    def window(self: SJD, state: State) -> tuple[range, Tensor, list[int], Tensor | None]:
        cells, q, codes, drafts = honest(self, state)
        q[[cell >= self.scored for cell in cells]] = 1.0 / self.q.shape[1]
        return cells, q, codes, drafts

    patch.setattr(SJD, "window", window)


def one_gumbel(patch: Patch) -> None:
    """Every cell's draft is drawn with the Gumbel numbers of its column."""
    honest = SCD._best
    patch.setattr(SCD, "_best", lambda self, law, cells: honest(self, law, [cell % 2 for cell in cells]))


@dataclass(frozen=True)
class Bug:
    """A faulty part, a method and a toy that show it; deviation 0.2 has p and q much the same everywhere."""

    plant: Callable[[Patch], None]
    method: str
    verifier: str = "rejection"
    replicas: int = REPLICAS
    deviation: float = 0.2


PLANTED = {
    "argmax drafts": Bug(argmax_drafts, "hawk", replicas=FEWER),
    "one stream, two candidates": Bug(shared_stream, "medusa"),
    "one sample, two depths": Bug(reused_sample, "medusa:horizontal_samples=1"),
    "one sample, draft and residual": Bug(draft_again, "medusa:horizontal_samples=1"),
    "horizontal q, vertical test": Bug(other_q, "hawk", replicas=FEWER, deviation=1.0),
    "noise by column": Bug(column_noise, "ar", verifier="coupled", replicas=FEWER),
    "law of the cell above, tested as uniform": Bug(forgotten_law, "sjd:length=2:start=above", deviation=2.0),
    "Gumbel drafts, noise by column": Bug(one_gumbel, "scd:length=3:form=gumbel:start=above"),
}


@pytest.mark.law
@pytest.mark.parametrize("name", PLANTED)
def test_planted_bug_is_seen(name: str, monkeypatch: Patch) -> None:
    """Missed with odds below 0.001 under other seeds too: five standard deviations between statistic and threshold."""
    bug = PLANTED[name]
    bug.plant(monkeypatch)
    target = ToyTarget.random("3x2", 4, 1, deviation=bug.deviation)
    noises = [TableNoise(seed, table(4)) for seed in range(bug.replicas)]
    found = compare(Trial(bug.method, bug.verifier, CachedSampling(), target).tokens(noises), target, PLAIN)
    print(f"{name}: {found.chi_square:.0f} on {found.freedom}, p = {found.p:.0e}")
    deviation = (2 * (2 * found.chi_square - found.freedom)) ** 0.5  # of a noncentral chi-square with this mean
    assert found.chi_square == np.inf or survival(found.chi_square - 5 * deviation, found.freedom) < LEVEL
