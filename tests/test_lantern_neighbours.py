"""LANTERN's tables of neighbours: made once for a code book and k, in 32 bits, and gone with the code book."""

from __future__ import annotations

import gc
import weakref
from types import SimpleNamespace

import pytest
import torch

from spatialspec.core.context import DecodeContext
from spatialspec.core.grid import Grid
from spatialspec.core.noise import Noise
from spatialspec.core.sampling import Sampling
from spatialspec.methods import lantern
from spatialspec.methods.lantern import Lantern, LanternOptions, neighbours
from spatialspec.methods.rejection import Rejection


def book(seed: int) -> torch.Tensor:
    return torch.randn(12, 2, generator=torch.Generator().manual_seed(seed))


def test_tables_are_made_once_and_are_small(monkeypatch: pytest.MonkeyPatch) -> None:
    made, honest = [], lantern.nearest
    monkeypatch.setattr(lantern, "nearest", lambda codes, k: made.append(k) or honest(codes, k))
    codes, equal = book(0), book(0)
    for k in (3, 5, 3):
        assert neighbours(codes, k).dtype == torch.int32 and neighbours(codes, k).shape == (12, k)
    assert made == [3, 5]
    assert neighbours(equal, 3).equal(neighbours(codes, 3)) and made == [3, 5, 3], "another code book, the same codes"


def test_tables_go_with_the_code_book() -> None:
    codes = book(1)
    noise, target = Noise(0, 4, 12), SimpleNamespace(codebook=codes)
    context = DecodeContext(target, [], Sampling(), Grid(2, 2), noise)  # type: ignore[arg-type]
    verifier = Lantern(context, LanternOptions(k=3), Rejection(noise))
    table, of_codes = weakref.ref(neighbours(codes, 3)), weakref.ref(codes)
    assert table() is verifier.near
    del codes, target, context, verifier
    gc.collect()
    assert of_codes() is None and table() is None
