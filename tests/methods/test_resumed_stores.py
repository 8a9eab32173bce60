"""What drafters keep of a pass over more cells than they have places for: each place is written once, by the last."""

from __future__ import annotations

import pytest
import torch

from helpers.passes import pass_of
from helpers.toys import ToyTarget
from spatialspec.core.context import DecodeContext
from spatialspec.core.noise import Noise
from spatialspec.core.proposal import Proposal
from spatialspec.core.sampling import Sampling
from spatialspec.core.state import State
from spatialspec.core.step import Scores, Step, Verdict
from spatialspec.methods.coupled import Coupled
from spatialspec.methods.hawk import Hawk, HawkConfig, HawkHeads, HawkOptions
from spatialspec.methods.method import Method
from spatialspec.methods.sjd import SJD

TARGET = ToyTarget.random("3x2", 4, 1, deviation=0.4)
SAMPLING = Sampling(guidance=1.5)
WRITTEN = [0, 1, 2, 3, 0]  # tokens of an earlier run: five of six cells
CHAIN = Proposal.chain(0, WRITTEN, final=True)


def resumed(p: torch.Tensor, hidden: torch.Tensor) -> Step:
    """The pass that reads those tokens."""
    return pass_of(State(TARGET.grid), CHAIN, Verdict.all(CHAIN), p, Scores(torch.zeros(2, 6, 4), hidden))


class WrittenOnce(dict):
    """A store that takes no place twice in one assignment."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size, self.device = size, torch.device("cpu")

    def __len__(self) -> int:
        return self.size

    def __setitem__(self, places: list[int] | torch.Tensor, rows: torch.Tensor) -> None:
        places = [int(place) for place in places]
        assert len(set(places)) == len(places) == len(rows)
        self.update(zip(places, rows, strict=True))


@pytest.mark.parametrize("method", ["sjd:length=2", "scd:length=2", "gsd:length=2"])
def test_a_window_keeps_the_laws_of_the_last_cells(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    noise = Noise(1, 6, 4)
    drafter, _ = Method.parse(method).make(DecodeContext(TARGET, [], SAMPLING, TARGET.grid, noise), "rejection")
    assert isinstance(drafter, SJD) and drafter.size == 4 and len(drafter.q) == 5
    kept = WrittenOnce(4)
    monkeypatch.setattr(drafter, "q", kept)
    p = torch.rand(6, 4, generator=torch.Generator().manual_seed(0)).softmax(-1)
    drafter.observe(resumed(p, torch.zeros(2, 6, TARGET.width)))
    assert {place: row.tolist() for place, row in kept.items()} == {cell % 4: p[cell].tolist() for cell in range(2, 6)}


def test_hawk_keeps_the_heads_of_the_last_cells() -> None:
    heads = HawkHeads(HawkConfig(TARGET.width, vertical=2)).requires_grad_(False)
    context = DecodeContext(TARGET, [heads], SAMPLING, TARGET.grid, Noise(1, 6, 4))
    hawk = Hawk(context, HawkOptions(), Coupled(context.noise))
    hawk._cache = stores = [WrittenOnce(2), WrittenOnce(4)]  # type: ignore[assignment]
    hidden = torch.randn(2, 6, TARGET.width, generator=torch.Generator().manual_seed(0))
    step = resumed(torch.zeros(6, 4), hidden)
    hawk.observe(step)
    states = TARGET.norm(hidden)[:, step.verdict.slots()].transpose(0, 1)  # heads of zeros hand on what they are given
    for store in stores:
        assert set(store) == {cell % len(store) for cell in range(5)}
        for cell in range(5 - len(store), 5):
            assert torch.equal(store[cell % len(store)], states[cell])
