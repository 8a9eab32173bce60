"""Memory of keys and values: known before a pass, equal to what is allocated, and too much is refused with figures."""

from __future__ import annotations

import pytest
import torch

from helpers.language import Toy
from helpers.tiny import tiny_target
from spatialspec.core.errors import BadInput
from spatialspec.core.grid import Grid
from spatialspec.core.proposal import Proposal
from spatialspec.core.sampling import Sampling
from spatialspec.core.state import State
from spatialspec.pipeline import SpatialPipeline
from spatialspec.targets import room
from spatialspec.targets.session import TargetSession

GRID = Grid(3, 4)


def sessions() -> dict[str, TargetSession]:
    icons = tiny_target()
    made = {kind: Toy(kind).session(GRID, [0, 1, 2], 0) for kind in ("llama", "emu3", "chameleon")}
    return made | {"icons": icons.session(["a", "b", "c"], [""] * 3, Sampling(2.0), GRID)}


@pytest.mark.parametrize("kind", ["llama", "emu3", "chameleon", "icons"])
def test_what_is_known_before_is_what_is_allocated(kind: str) -> None:
    session = sessions()[kind]
    (each,) = session.cache.sequence_bytes().values()
    session.score([State(GRID)] * 3, [Proposal()] * 3)
    stores = session.cache._stores.values()
    assert each * 6 == sum(store.nbytes for store in stores) > 0


def test_too_many_images_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = SpatialPipeline(tiny_target())
    (each,) = pipe.target.session(["a"], [""], Sampling(2.0), pipe.target.grid).cache.sequence_bytes().values()
    monkeypatch.setattr(room, "free_memory", lambda device: 2 * each * 5 + each)
    assert len(pipe(["a"] * 5, method="ar", seed=0).images) == 5
    with pytest.raises(BadInput, match=r"got 6 images, whose keys and values take .* GB.*draw at most 5 at once"):
        pipe(["a"] * 6, method="ar", seed=0)
    monkeypatch.setattr(room, "free_memory", lambda device: each)
    with pytest.raises(BadInput, match=r"GB, which cpu has free: draw a smaller grid, or free memory"):
        pipe("a", method="ar", seed=0)
    monkeypatch.setattr(room, "free_memory", lambda device: None)
    assert pipe("a", method="ar", seed=0, size="1x1").images, "a device that does not say what it has"


def test_images_that_join_need_room_too(monkeypatch: pytest.MonkeyPatch) -> None:
    target = tiny_target()
    first, other = (target.session(["a"], [""], Sampling(2.0), GRID) for _ in range(2))
    monkeypatch.setattr(room, "free_memory", lambda device: 0)
    with pytest.raises(BadInput, match="got 1 images"):
        first.admit(other)
    assert len(first.images) == 1 and len(first.cache.lengths) == 2, "nothing was added"


def test_free_memory_of_this_machine() -> None:
    free = room.free_memory(torch.device("cpu"))
    assert free is not None and 0 < free < 1 << 50
