"""The random numbers and the distributions: published vectors, naive references, properties."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from spatialspec.core.noise import Noise, Purpose, inverse_cdf, philox, unit
from spatialspec.core.sampling import Sampling

KNOWN = [  # Random123, kat_vectors, philox4x32-10: counter, key, words
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]


def words(text: str) -> list[int]:
    return [int(word, 16) for word in text.split()]


@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN, ids=["zeros", "ones", "pi"])
def test_philox_known_answers(counter: str, key: str, expected: str) -> None:
    low, high = words(key)
    got = philox(low + (high << 32), torch.tensor([words(counter), [1, 2, 3, 4]]))
    assert got[0].tolist() == words(expected)


def test_unit_is_strictly_inside() -> None:
    u = unit(torch.tensor([0, 1, 2**31, 2**32 - 1]))
    assert u.dtype == torch.float32
    assert 0 < u[0] < u[1] < u[2] < u[3] < 1


def test_uniform_moments_and_streams() -> None:
    """False-alarm odds below 1e-8 (six standard errors, fewer than 100 figures)."""
    noise, n = Noise(7, 4000, 5), 4000
    streams = [
        noise.uniform(purpose, pass_index, list(range(n)), [candidate] * n).double()
        for purpose, pass_index, candidate in product((Purpose.DRAFT, Purpose.ACCEPT, Purpose.RESIDUAL), (0, 1), (0, 1))
    ]
    for u in streams:
        for power in (1, 2, 3, 4):
            error = math.sqrt(1 / (2 * power + 1) - 1 / (power + 1) ** 2) / math.sqrt(n)
            assert abs((u**power).mean() - 1 / (power + 1)) < 6 * error
        assert abs(torch.corrcoef(torch.stack((u[1:], u[:-1])))[0, 1]) < 6 / math.sqrt(n)
    cross = torch.corrcoef(torch.stack(streams)) - torch.eye(len(streams))
    assert cross.abs().max() < 6 / math.sqrt(n)


def test_gumbel_moments() -> None:
    """False-alarm odds below 1e-8; the variance of a squared deviation is 4.4 times the squared variance."""
    noise = Noise(3, 999, 37)
    g = noise.gumbel(list(range(1000))).double()
    assert abs(g.mean() - 0.5772156649) < 6 * math.sqrt(math.pi**2 / 6 / g.numel())
    assert abs(g.var() - math.pi**2 / 6) < 6 * math.pi**2 / 6 * math.sqrt(4.4 / g.numel())
    wide = Noise(3, 49, 4096).gumbel(list(range(50))).double()
    assert (torch.corrcoef(wide) - torch.eye(50)).abs().max() < 6 / math.sqrt(wide.shape[1])
    assert abs(torch.corrcoef(torch.stack((g[1:].flatten(), g[:-1].flatten())))[0, 1]) < 6 / math.sqrt(g.numel())


def test_noise_behind_the_picture_is_let_go() -> None:
    """As a decoder goes on, the noise of the cells around it is all that is kept; an earlier cell is made again."""
    noise = Noise(11, 500, 6)
    for first in range(440):
        noise.gumbel(list(range(first, first + 60)))
        assert len(noise._chunks) <= 4
    assert torch.equal(noise.gumbel([3, 499, 70]), Noise(11, 500, 6).gumbel(list(range(500)))[[3, 499, 70]])


def test_numbers_depend_on_their_key_only() -> None:
    whole = Noise(11, 70, 6).gumbel(list(range(71)))
    other = Noise(11, 70, 6)
    assert torch.equal(other.gumbel([64, 3]), whole[[64, 3]])
    assert torch.equal(other.gumbel([3]), whole[3:4])
    assert torch.equal(other.gumbel(torch.tensor([70, 0])), whole[[70, 0]])
    assert torch.equal(Noise(11, 500, 4).gumbel([9]), whole[9:10, :4]), "neither grid nor vocabulary is in the key"
    assert not torch.isclose(Noise(12, 70, 6).gumbel(list(range(71))), whole).any()

    key = {"purpose": Purpose.DRAFT, "pass_index": 2, "cells": 5, "candidates": 1}
    base = float(other.uniform(Purpose.DRAFT, 2, [5], [1]))
    assert float(other.uniform(Purpose.DRAFT, 2, [1, 5, 5], [1, 0, 1])[2]) == base
    for name, value in (("purpose", Purpose.ACCEPT), ("pass_index", 3), ("cells", 6), ("candidates", 0)):
        changed = key | {name: value}
        u = other.uniform(changed["purpose"], changed["pass_index"], [changed["cells"]], [changed["candidates"]])
        assert float(u) != base, name


def test_large_seeds_differ() -> None:
    seeds = (0, 1, 2**32, 2**32 + 1, 2**63 - 1)
    assert len({float(Noise(seed, 1, 1).gumbel([0])) for seed in seeds}) == len(seeds)
    for seed in (-1, 2**63):
        with pytest.raises(ValueError, match=rf"got seed {seed}, expected 0 to"):
            Noise(seed, 1, 1)


shares = st.lists(st.sampled_from([0.0, 0.0, 1e-6, 0.1, 0.5, 1.0, 3.0]), min_size=1, max_size=9).filter(any)
edge = st.sampled_from([0, 1, 2**31, 2**32 - 2, 2**32 - 1])


@given(shares, st.one_of(st.integers(0, 2**32 - 1), edge))
@settings(max_examples=300, deadline=None)
def test_inverse_cdf_against_a_walk_and_never_without_mass(weights: list[float], word: int) -> None:
    p = torch.tensor(weights)
    p = p / p.sum()
    u = unit(torch.tensor([word]))
    chosen = int(inverse_cdf(p[None], u))
    assert p[chosen] > 0
    total = sum(p.double().tolist())
    walked = 0.0
    for token, mass in enumerate(p.double().tolist()):  # noqa: B007
        walked += mass
        if walked > float(u) * total:
            break
    assert chosen == token


def naive(logits: list[list[float]], s: Sampling) -> list[float]:
    """One distribution by the book, with sets and loops."""
    guided = logits[0]
    if len(logits) == 2:
        guided = [u + s.guidance * (c - u) for c, u in zip(*logits, strict=True)]
    if s.temperature == 0:
        return [float(i == guided.index(max(guided))) for i in range(len(guided))]
    scaled = [x / s.temperature for x in guided]
    if s.top_k:
        border = sorted(scaled, reverse=True)[min(s.top_k, len(scaled)) - 1]
        scaled = [x if x >= border else -math.inf for x in scaled]
    weight = [math.exp(x - max(scaled)) for x in scaled]
    p = [w / sum(weight) for w in weight]
    kept: set[int] = set()
    for i in sorted(range(len(p)), key=lambda i: -p[i]):
        if sum(p[j] for j in kept) < s.top_p - 1e-12:
            kept.add(i)
    kept = {i for i in kept if p[i] >= s.min_p * max(p)}
    mass = sum(p[i] for i in kept)
    return [p[i] / mass if i in kept else 0.0 for i in range(len(p))]


samplings = st.builds(
    Sampling,
    guidance=st.sampled_from([0.0, 0.5, 1.0, 3.0]),
    temperature=st.sampled_from([0.0, 0.3, 0.7, 1.0, 2.0]),
    top_k=st.integers(0, 8),
    top_p=st.sampled_from([0.05, 0.51, 0.83, 0.999, 1.0]),
    min_p=st.sampled_from([0.0, 0.02, 0.3, 1.0]),
)


@given(samplings, st.integers(1, 7), st.integers(0, 2**31))
@settings(max_examples=300, deadline=None)
def test_distribution_against_the_naive_one(sampling: Sampling, vocabulary: int, seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(sampling.streams, 3, vocabulary, generator=draw, dtype=torch.float64)
    got = sampling.distribution(logits)
    expected = [naive([stream[i].tolist() for stream in logits], sampling) for i in range(3)]
    torch.testing.assert_close(got, torch.tensor(expected, dtype=torch.float64), atol=1e-9, rtol=0)


@given(samplings, st.lists(st.integers(-4, 4), min_size=2, max_size=9))
@settings(max_examples=300, deadline=None)
def test_distribution_properties(sampling: Sampling, values: list[int]) -> None:
    """Ties included: mass one, the likeliest kept, min-p a border, top-p the smallest set that reaches its mass."""
    logits = torch.tensor([values] * sampling.streams, dtype=torch.float32)
    p = sampling.distribution(logits)
    assert abs(float(p.sum()) - 1) < 1e-6 and bool((p >= 0).all())
    assert p[int(logits[0].argmax())] > 0
    assert p[p > 0].min() >= (sampling.min_p - 1e-6) * p.max()
    p = replace(sampling, min_p=0.0).distribution(logits)
    if sampling.temperature == 0:
        assert p.max() == 1 and p.argmax() == logits[0].argmax()
        return
    whole = Sampling(sampling.guidance, sampling.temperature, sampling.top_k).distribution(logits)
    kept = whole[p > 0]
    assert kept.sum() >= sampling.top_p - 1e-5
    assert kept.sum() - kept.min() <= sampling.top_p + 1e-5 or len(kept) == 1
    assert bool((kept.min() >= whole[p == 0]).all())


def test_nearly_no_temperature_is_greedy() -> None:
    logits: Tensor = torch.tensor([[[1.0, 80.0, 79.0], [-5.0, -5.5, -90.0]]])
    for temperature in (1e-300, 1e-40, 1e-9, 1e-3):
        p = Sampling(temperature=temperature).distribution(logits)
        assert p.tolist() == [[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]], temperature


@pytest.mark.parametrize(
    ("name", "value"),
    [(n, v) for n in ("guidance", "temperature", "top_k", "top_p", "min_p") for v in (-1, math.nan, math.inf)]
    + [("top_p", 0.0), ("top_p", 1.001), ("min_p", 1.001), ("guidance", 101.0)],
)
def test_sampling_refuses(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=rf"^got {name} {value}, expected [\d(]"):
        Sampling(**{name: value})
