"""The three distances: by hand, on AR's own samples, and on decoders that are wrong in known ways.

Samples come from fixed seeds, so a test that passes once always passes. Had the seeds been drawn at random, the gap
would fail with probability below 1e-8 (six standard errors) and the KS test with at most 1e-6 (bound of Dvoretzky,
Kiefer and Wolfowitz).
"""

import math
from dataclasses import replace

import pytest
import torch

from helpers.tiny import CODES, tiny_target
from spatialspec.core.grid import Grid
from spatialspec.core.noise import Noise
from spatialspec.core.sampling import Sampling
from spatialspec.core.step import Scores
from spatialspec.measure.distance import Drawn, distance, explained, first_divergence, ks, measure, weigh
from spatialspec.pipeline import SpatialPipeline

IMAGES = 32


def critical(cells: int, alarm: float = 1e-6) -> float:
    """KS distance that uniform values exceed with at most this probability."""
    return math.sqrt(math.log(2 / alarm) / (2 * cells))


@pytest.fixture(scope="module")
def target():
    return tiny_target()


def drawn(target, sampling: Sampling, seed: int = 0) -> list[Drawn]:
    """AR's images under a sampling."""
    out = SpatialPipeline(target)(
        ["red apple, 3d"] * IMAGES,
        method="ar",
        seed=seed,
        guidance_scale=sampling.guidance,
        temperature=sampling.temperature,
        top_k=sampling.top_k,
        top_p=sampling.top_p,
    )
    return [Drawn("red apple, 3d", "", sampling, target.grid, seed + i, t) for i, t in enumerate(out.tokens)]


def gap_and_error(cells) -> tuple[float, float]:
    difference = torch.cat([c.surprisal - c.entropy for c in cells])
    return float(difference.mean()), float(difference.std() / len(difference) ** 0.5)


def test_one_cell_by_hand():
    p = torch.tensor([[0.5, 0.3, 0.2]]).expand(3, 3)
    cells = weigh(p, torch.tensor([0, 1, 2]), torch.tensor([0.4, 0.4, 0.4]))
    assert cells.surprisal.tolist() == pytest.approx([-math.log(0.5), -math.log(0.3), -math.log(0.2)])
    entropy = -sum(x * math.log(x) for x in (0.5, 0.3, 0.2))
    assert cells.entropy.tolist() == pytest.approx([entropy] * 3)
    assert cells.pit.tolist() == pytest.approx([0.4 * 0.5, 0.5 + 0.4 * 0.3, 0.8 + 0.4 * 0.2])


def test_equally_likely_tokens_share_the_unit_interval():
    p, u = torch.full((4, 4), 0.25), torch.full((4,), 0.5)
    assert weigh(p, torch.arange(4), u).pit.tolist() == pytest.approx([0.125, 0.375, 0.625, 0.875])


def test_no_mass_gives_no_infinity():
    cells = weigh(torch.tensor([[1.0, 0.0]]), torch.tensor([1]), torch.tensor([0.5]))
    assert math.isfinite(cells.surprisal.item()) and cells.surprisal.item() > 700
    assert cells.entropy.item() == 0.0 and cells.pit.item() == 1.0


@pytest.mark.parametrize(("values", "expected"), [([0.1, 0.2], 0.8), ([0.25, 0.75], 0.25), ([0.5], 0.5), ([1.0], 1.0)])
def test_ks_by_hand(values, expected):
    assert ks(torch.tensor(values)) == pytest.approx(expected)


@pytest.mark.parametrize("sampling", [Sampling(guidance=1.5), Sampling(), Sampling(3.0, 0.7)], ids=str)
def test_ar_has_no_distance(target, sampling):
    cells = [measure(target, image) for image in drawn(target, sampling)]
    gap, error = gap_and_error(cells)
    assert error > 0 and abs(gap) < 6 * error
    far = distance(cells)
    assert far.likelihood_gap == pytest.approx(gap)
    assert far.pit_ks < critical(IMAGES * target.grid.cells)
    assert far.entropy == pytest.approx(float(torch.cat([c.entropy for c in cells]).mean()))


@pytest.mark.parametrize(
    ("made_with", "sign"),
    [
        (Sampling(1.5, 0.0), -1),
        (Sampling(1.5, 0.7), -1),
        (Sampling(1.5, 1.5), 1),
        (Sampling(1.5, 1.0, top_k=8), -1),
        (Sampling(1.5, 1.0, top_p=0.7), -1),
    ],
    ids=str,
)
def test_decoders_that_seek_the_mode_or_flee_it_are_seen(target, made_with, sign):
    judged = [replace(image, sampling=Sampling(1.5)) for image in drawn(target, made_with)]
    cells = [measure(target, image) for image in judged]
    gap, error = gap_and_error(cells)
    assert sign * gap > 6 * error
    assert distance(cells).pit_ks > critical(IMAGES * target.grid.cells)


def test_top_k_does_not_count_in_p(target):
    image = drawn(target, Sampling(1.5))[0]
    plain, cut = measure(target, image), measure(target, replace(image, sampling=Sampling(1.5, 1.0, 4, 0.5)))
    assert torch.equal(plain.surprisal, cut.surprisal) and torch.equal(plain.pit, cut.pit)


def test_greedy_has_no_distance_and_an_unfinished_image_is_refused(target):
    image = drawn(target, Sampling(1.5, 0.0))[0]
    assert measure(target, image) is None and distance([None, None]) is None and distance([]) is None
    with pytest.raises(ValueError, match="got 3 tokens, expected the 36"):
        measure(target, replace(image, tokens=image.tokens[:3]))


def test_first_divergence():
    assert first_divergence((1, 2, 3), (1, 2, 3)) is None
    assert first_divergence((1, 2, 3), (1, 0, 4)) == 1


class Fixed:
    """A target and session with the same logits at every cell."""

    def __init__(self, logits: torch.Tensor) -> None:
        self.logits, self.vocabulary = logits, logits.shape[-1]

    def session(self, prompts, negatives, sampling, grid):
        return self

    def layout(self, grid):
        return grid

    def score(self, states, proposals):
        rows = 1 + len(proposals[0])
        return [Scores(self.logits.expand(1, rows, -1), torch.zeros(1, rows, 1))]


@pytest.mark.parametrize(("apart", "tie"), [(0.0, True), (5e-5, True), (3e-4, False), (1.0, False)])
def test_only_a_tie_explains_a_divergence(apart, tie):
    grid, seed = Grid(1, 3), 7
    noise = Noise(seed, grid.cells, 4).gumbel([1])[0]
    logits = torch.tensor([0.0, -5.0, -5.0, -apart]) - noise  # at cell 1 tokens 0 and 3 are this far apart
    reference = Drawn("a", "", Sampling(), grid, seed, (1, 0, 2))
    assert explained(Fixed(logits), reference, (1, 0, 2))
    assert explained(Fixed(logits), reference, (1, 3, 0)) is tie
    greedy = replace(reference, sampling=Sampling(temperature=0.0))
    assert explained(Fixed(torch.tensor([0.0, -5.0, -5.0, -apart])), greedy, (1, 3, 0)) is tie


def test_scores_cut_by_top_k_are_no_tie(target):
    image = drawn(target, Sampling(1.5, 1.0, top_k=1))[0]
    other = (*image.tokens[:5], (image.tokens[5] + 1) % CODES, *image.tokens[6:])
    assert not explained(target, image, other)
