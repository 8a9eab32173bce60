"""Hawk's cache of vertical predictions: of the paper's size, and as good as keeping everything."""

from __future__ import annotations

import pytest

from helpers.remembering import SAMPLING, Remembering
from helpers.toys import ToyTarget, noise_of, run
from spatialspec.core.context import DecodeContext
from spatialspec.core.state import State
from spatialspec.decode import Image
from spatialspec.methods.coupled import Coupled
from spatialspec.methods.hawk import Hawk, HawkHeads, HawkOptions
from spatialspec.methods.rejection import Rejection


@pytest.mark.parametrize("grid", ["5x4", "4x2", "3x5"])
@pytest.mark.parametrize("vertical", [1, 2, 3])
@pytest.mark.parametrize("horizontal", [0, 2, 3])
@pytest.mark.parametrize("verifier", ["coupled", "rejection"])
def test_hawk_against_one_that_never_forgets(grid: str, vertical: int, horizontal: int, verifier: str) -> None:
    """Row 0, row ends and last rows included; the cache is of the paper's size."""
    target = ToyTarget.random(grid, 4, 6)
    heads = target.drafts("hawk", vertical)
    assert isinstance(heads, HawkHeads)
    options = HawkOptions(
        horizontal=horizontal, vertical=vertical, depth=horizontal or 3, vertical_samples=2, horizontal_samples=1
    )
    for seed in range(3):
        noise = noise_of(target, seed)
        rule = (Coupled if verifier == "coupled" else Rejection)(noise)
        hawk = Hawk(DecodeContext(target, [heads], SAMPLING, target.grid, noise), options, rule)
        assert sum(len(store) for store in hawk._cache) == target.grid.columns * vertical * (vertical + 1) // 2
        naive = Remembering(hawk, heads, rule)
        (one,) = run(target, [Image(State(target.grid), naive, rule, SAMPLING)])
        assert one.state.complete
        assert naive.sources_seen >= set(range(min(vertical, target.grid.rows - 1) + 1))
