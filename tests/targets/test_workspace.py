"""Buffers that sessions use one after another: no image captures passes again, and each reads its own tables."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from helpers.real_targets import MAKES
from helpers.replays import replayed
from spatialspec import Grid
from spatialspec.decode import decode
from spatialspec.generation import assemble, generate
from spatialspec.methods.method import Method
from spatialspec.request import Request
from spatialspec.targets.cache import Cache
from spatialspec.targets.draft_buffer import DraftBuffer
from spatialspec.targets.inbox import Inbox
from spatialspec.targets.loading import load_target
from spatialspec.targets.noise_buffer import NoiseBuffer
from spatialspec.targets.runners import Runner
from spatialspec.targets.workspace import Workspace


def test_values_stay_in_their_place() -> None:
    cpu = torch.device("cpu")
    space = Workspace(Cache([cpu], 1), Inbox(cpu, 1), NoiseBuffer(2, cpu), DraftBuffer(cpu))
    first = space.hold("a", torch.zeros(3, 2))
    fewer, more = space.hold("a", torch.ones(2, 2)), space.hold("a", torch.full((4, 2), 2.0))
    assert fewer.data_ptr() == first.data_ptr() and fewer.tolist() == [[1.0, 1.0]] * 2
    assert more.data_ptr() != first.data_ptr() and more.tolist() == [[2.0, 2.0]] * 4
    for others in (torch.zeros(1, 3), torch.zeros(1, 2, dtype=torch.bfloat16)):
        held = space.hold("a", others)
        assert held.shape == others.shape and held.dtype == others.dtype
    assert space.hold("b", first).data_ptr() == first.data_ptr()


@pytest.mark.parametrize("name", ["icons", "emu3"])
def test_a_second_image_captures_nothing(name: str, tmp_path: Path) -> None:
    """Of another prompt: icons has a table for each prompt, Emu3 one of row ends."""
    kind, how = MAKES[name], replayed()
    target = load_target(kind.make(tmp_path / name))
    grid = target.grid if kind.size is None else Grid.parse(kind.size)
    drawn, captures = {}, []
    for target.runner in (how, Runner()):  # type: ignore[attr-defined]
        for prompt in kind.prompts:
            request = Request([prompt], [3], target.default, grid)
            drawn[target.runner.name, prompt] = generate(target, [], Method.parse("ar"), request)[0]
            captures.append(how.captures)
    assert captures[0] == captures[-1] > 0
    assert all(drawn["captured", prompt] == drawn["eager", prompt] for prompt in kind.prompts)


@pytest.mark.parametrize("name", ["icons", "emu3"])
def test_buffers_come_back_however_a_session_ends(name: str, tmp_path: Path) -> None:
    """An image that is given up, then two sessions that take turns: nothing is captured twice."""
    kind, how = MAKES[name], replayed()
    target = load_target(kind.make(tmp_path / name))
    grid, target.runner = (target.grid if kind.size is None else Grid.parse(kind.size)), how  # type: ignore[attr-defined]
    request = Request([kind.prompts[0]], [3], target.default, grid)
    other = Request([kind.prompts[1]], [4], target.default, grid)  # whose noise and keys must not be seen again
    (given_up,), _ = generate(target, [], Method.parse("ar"), other, interrupted=lambda: True)
    (first,), _ = generate(target, [], Method.parse("ar"), request)
    captures = how.captures
    target.runner = Runner()  # type: ignore[attr-defined]
    assert generate(target, [], Method.parse("ar"), request)[0] == [first]
    target.runner = how  # type: ignore[attr-defined]
    assert len(given_up) == 1 and captures > 0
    runs = [decode(request.session(target), assemble(target, [], Method.parse("ar"), request)) for _ in range(2)]
    ends = [list(pair)[-1] for pair in zip(*zip(*runs, strict=True), strict=True)]
    assert all(step.after.tokens == first for step in ends)
    del runs, ends
    assert how.captures == 2 * captures, "the second of them has buffers of its own, and its own captures"
    generate(target, [], Method.parse("ar"), request)
    assert how.captures == 2 * captures
