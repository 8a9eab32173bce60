"""LANTERN's tables of neighbours: made once for a codebook and k, in 32 bits, and gone with the codebook."""

from __future__ import annotations

import gc
import math
import weakref
from types import SimpleNamespace

import pytest
import torch

from helpers.tiny import CODES, tiny_target
from spatialspec.core.context import DecodeContext
from spatialspec.core.grid import Grid
from spatialspec.core.noise import Noise
from spatialspec.core.sampling import Sampling
from spatialspec.methods import lantern
from spatialspec.methods.lantern import Lantern, LanternOptions, neighbours
from spatialspec.methods.rejection import Rejection


def book(seed: int) -> torch.Tensor:
    return torch.randn(12, 2, generator=torch.Generator().manual_seed(seed))


def verifier_of(codes: torch.Tensor, k: int) -> Lantern:
    """Of a target that is a codebook and nothing else."""
    noise, target = Noise(0, 4, 12), SimpleNamespace(codebook=codes)
    context = DecodeContext(target, [], Sampling(), Grid(2, 2), noise)  # type: ignore[arg-type]
    return Lantern(context, LanternOptions(k=k), Rejection(noise))


def test_tables_are_made_once_and_are_small(monkeypatch: pytest.MonkeyPatch) -> None:
    made, honest = [], lantern.nearest
    monkeypatch.setattr(lantern, "nearest", lambda codes, k: made.append(k) or honest(codes, k))
    codes, equal = book(0), book(0)
    for k in (3, 5, 3):
        assert neighbours(codes, k).dtype == torch.int32 and neighbours(codes, k).shape == (12, k)
    assert made == [3, 5]
    assert neighbours(equal, 3).equal(neighbours(codes, 3)) and made == [3, 5, 3], "another codebook, the same codes"


def test_tables_go_with_the_codebook() -> None:
    codes = book(1)
    verifier = verifier_of(codes, 3)
    table, of_codes = weakref.ref(neighbours(codes, 3)), weakref.ref(codes)
    assert table() is verifier.near
    del codes, verifier
    gc.collect()
    assert of_codes() is None and table() is None


def test_neighbours_against_loops() -> None:
    # whole coordinates: many equal distances, and several codes at the same place
    codes = torch.randint(0, 4, (40, 2), generator=torch.Generator().manual_seed(0)).float()
    book = codes.tolist()
    for k in (0, 1, 8, 39, 1000):
        for x, found in enumerate(neighbours(codes, k).tolist()):
            assert found == sorted(set(range(40)) - {x}, key=lambda c: (math.dist(book[c], book[x]), c))[:k]
    assert neighbours(codes, 8) is neighbours(codes, 8), "made once"
    big = torch.randn(2100, 3, generator=torch.Generator().manual_seed(1))
    assert neighbours(big, 5)[2050].tolist() == (big - big[2050]).double().norm(dim=-1).argsort()[1:6].tolist()
    assert verifier_of(big, -1).near.shape == (2100, 131)


def test_the_codebook_is_the_tokenizers() -> None:
    target = tiny_target()
    assert target.codebook.shape == (CODES, target.vq.config.code_width)
    assert target.vq.nearest(target.codebook).tolist() == list(range(CODES))
