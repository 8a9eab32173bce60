"""Many codes and many cells cost the host no more: what it does in a pass is counted, not timed."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import pytest
from torch.utils._python_dispatch import _disable_current_modes

from helpers.operators import counted
from helpers.tiny_causal import tiny_simplear
from spatialspec.core.grid import Grid
from spatialspec.core.interfaces import Target
from spatialspec.core.state import State
from spatialspec.decode import decode
from spatialspec.generation import assemble
from spatialspec.methods.method import Method
from spatialspec.request import Request
from spatialspec.targets.cosmos import LEVELS
from spatialspec.targets.loading import load_target
from spatialspec.targets.noise_buffer import NoiseBuffer
from spatialspec.targets.runners import Runner
from spatialspec.targets.session import TargetSession

PASSES = 2
EMU35 = 131_072  # codes of the largest published vocabulary


class Work(NamedTuple):
    """Most of a pass: operators inside its function and outside, reads, bytes read, and bytes taken on the host."""

    inside: int
    outside: int
    reads: int
    readout: int
    memory: int


def work(target: Target, grid: Grid, begun: int, method: str, top_k: int, patch: pytest.MonkeyPatch) -> Work:
    """Passes behind `begun` cells, whose keys and values are zeros: what they are does not matter here."""
    request = Request(["a cat"], [3], replace(target.default, top_k=top_k), grid)
    images, session = assemble(target, [], Method.parse(method), request), request.session(target)
    assert isinstance(session, TargetSession)
    passes, found = decode(session, images), Work(0, 0, 0, 0, 0)
    next(passes)
    image = images[0]
    image.state = State(image.state.layout, tuple(cell % 240 for cell in range(begun)), 1, (begun - 1,))
    session.cache.room(begun)
    session.cache.lengths = [length + begun - 1 for length in session.cache.lengths]
    next(passes)  # makes the noise of these cells
    sizes, scored, call = list[int](), list[int](), Runner.__call__

    def run(self: Runner, inputs: object) -> object:
        with _disable_current_modes(), counted(patch) as operators:
            results = call(self, inputs)  # type: ignore[arg-type]
        sizes.append(results.host.numel() * 4 // results.host.shape[1])  # type: ignore[union-attr]
        scored.append(len(operators))
        return results

    with patch.context() as patched:
        patched.setattr(Runner, "__call__", run)
        patched.setattr(NoiseBuffer, "_hold", uncounted(NoiseBuffer._hold))  # noise, made for 32 cells at a time
        for _ in range(PASSES):
            with counted(patch) as operators:
                tracemalloc.start()
                next(passes)
                peak = tracemalloc.get_traced_memory()[1]
                tracemalloc.stop()
            found = Work(*map(max, found, Work(scored[-1], len(operators), operators.reads, sizes[-1], peak)))
    return found


def uncounted(honest: object) -> object:
    def make(*args: object) -> object:
        with _disable_current_modes():
            return honest(*args)  # type: ignore[operator]

    return make


@pytest.fixture(scope="module")
def targets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Target, Target]]:
    """Few codes, as `icons` has, and many."""
    folder = tmp_path_factory.mktemp("host")
    few = load_target(tiny_simplear(folder / "few", positions=16_384))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(LEVELS, EMU35, (64, 64, 32))
        yield few, load_target(tiny_simplear(folder / "many", decoder=False, codes=EMU35, positions=16_384))


@pytest.mark.parametrize(("method", "top_k"), [("ar", 200), ("jacobi:length=8", 0), ("spatial:budget=8", 0)])
def test_codes_and_cells(
    method: str, top_k: int, targets: tuple[Target, Target], monkeypatch: pytest.MonkeyPatch
) -> None:
    few = work(targets[0], Grid(24, 24), 400, method, top_k, monkeypatch)
    many = work(targets[1], Grid(96, 96), 9000, method, top_k, monkeypatch)
    assert many[1:4] == few[1:4], "outside of the pass"
    search = 32 * 7 if top_k else 0  # operators on the device: the border of top-k is searched for, bit by bit
    assert few.inside <= many.inside <= few.inside + search and (search or many.inside == few.inside)
    assert many.memory - few.memory < 32 * 9216, "the image's tokens, in a few lists"
