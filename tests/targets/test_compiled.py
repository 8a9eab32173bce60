"""Fixed shapes and torch.compile: one graph for all passes behind the first, and the same tokens."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from torch.fx import GraphModule

from helpers.tiny_chameleon import write_anole, write_lumina
from helpers.tiny_checkpoints import tiny_emu3, tiny_janus
from spatialspec.core.grid import Grid
from spatialspec.core.interfaces import Target
from spatialspec.core.sampling import Sampling
from spatialspec.generation import generate
from spatialspec.methods.method import Method
from spatialspec.request import Request
from spatialspec.targets.loading import load_target

BUDGET = "spatial:budget=10"
MAKES = {  # folder, grid, slots of a pass, among them the row ends that ride along
    "janus": (tiny_janus, Grid(4, 4), 11),
    "emu3": (tiny_emu3, Grid(3, 5), 21),
    "anole": (write_anole, Grid(6, 6), 11),
    "lumina": (write_lumina, Grid(4, 6), 21),
}


def draw(target: Target, grid: Grid, method: str, prompts: int = 1) -> list[tuple[int, ...]]:
    words = ["a red apple", "two cats on a mat"][:prompts]
    request = Request(words, list(range(prompts)), Sampling(guidance=3.0), grid)
    return generate(target, [], Method.parse(method), request)[0]


@pytest.mark.parametrize("kind", MAKES)
def test_one_graph(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two pictures side by side that finish at different passes, then two more; a break or a second graph raises."""
    make, grid, width = MAKES[kind]
    plain, target = load_target(make(tmp_path / kind)), load_target(tmp_path / kind)
    graphs: list[GraphModule] = []

    def backend(graph: GraphModule, inputs: list[torch.Tensor]) -> Callable[..., object]:
        graphs.append(graph)
        return graph.forward

    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=backend))
    target.fix_shapes(width)  # type: ignore[attr-defined]
    torch._dynamo.reset()
    with torch._dynamo.config.patch(error_on_recompile=True):
        for _ in range(2):
            made = draw(target, grid, BUDGET, 2)
            assert made == draw(plain, grid, BUDGET, 2) == draw(plain, grid, "ar", 2)
    assert len(graphs) == 1


@pytest.mark.slow
@pytest.mark.parametrize("kind", MAKES)
def test_with_the_default_compiler(kind: str, tmp_path: Path) -> None:
    make, grid, width = MAKES[kind]
    plain, target = load_target(make(tmp_path / kind)), load_target(tmp_path / kind)
    target.fix_shapes(width)  # type: ignore[attr-defined]
    torch._dynamo.reset()
    with torch._dynamo.config.patch(error_on_recompile=True):
        assert draw(target, grid, BUDGET) == draw(plain, grid, "ar")
