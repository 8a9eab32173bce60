"""A small random transformer and sessions over it; sessions that tests take apart; random trees."""

from __future__ import annotations

import copy
import random
from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import torch
from torch import Tensor

from spatialspec.core.grid import Grid
from spatialspec.core.proposal import ROOT, Proposal
from spatialspec.core.state import State
from spatialspec.targets.engine import Prompt
from spatialspec.targets.grid_engine import GridEngine
from spatialspec.targets.icons.transformer import GridTransformer, GridTransformerConfig
from spatialspec.targets.session import TargetSession

CODES = 13
GRIDS = ("4x4", "3x5", "6x3")  # of the configuration; others have interpolated places
CLOSE = {"atol": 1e-5, "rtol": 0.0}


@cache
def model() -> GridTransformer:
    """Every weight random: the shipped start has zeros where attention and SwiGLU come out."""
    torch.manual_seed(0)
    config = GridTransformerConfig(
        codes=CODES, width=32, layers=3, heads=2, mlp_width=48, rows=4, columns=4, prefix=5, text_vocabulary=11,
        sketch_width=24, sketch_layers=1,
    )  # fmt: skip
    made = GridTransformer(config).eval().requires_grad_(False)
    for block in made.blocks:
        torch.nn.init.normal_(block.attention.out.weight, std=0.3)
        torch.nn.init.normal_(block.down.weight, std=0.3)
    torch.nn.init.normal_(made.row_place, std=0.5)
    torch.nn.init.normal_(made.column_place, std=0.5)
    torch.nn.init.normal_(made.code_embedding.weight)
    torch.nn.init.normal_(made.told_sketch.around.weight)
    return made


class Target(GridEngine):
    """The transformer as sessions and drafters see it."""

    def __init__(self) -> None:
        self.model = model()


def texts(images: int) -> Tensor:
    """(images * 2, P), conditional stream first."""
    return torch.randint(11, (2 * images, 5), generator=torch.Generator().manual_seed(1))


def session_of(grid: str, rows: Sequence[int], streams: int = 2) -> TargetSession:
    """A session over some images, made while memory that nobody has written holds NaN."""
    text = torch.cat([texts(3)[2 * row : 2 * row + streams] for row in rows])
    shape = Grid.parse(grid)
    prefix, told = model().encode_text(text), model().conditioning(text, shape.rows, shape.columns)
    torch.use_deterministic_algorithms(True)  # this fills new memory with NaN
    try:
        images = [slice(i, i + streams) for i in range(0, len(text), streams)]
        return TargetSession(Target(), [Prompt(list(prefix[image]), shape, told[image]) for image in images])
    finally:
        torch.use_deterministic_algorithms(False)


def copied(session: TargetSession) -> TargetSession:
    """The same session once more, with a cache and notes of its own."""
    other = copy.copy(session)
    other.cache = copy.deepcopy(session.cache)
    other.images, other._moves = [replace(image) for image in session.images], dict(session._moves)
    return other


def random_tree(state: State, nodes: int, draw: random.Random) -> Proposal:
    """Cells behind the frontier, siblings with different tokens."""
    tree = Proposal()
    while len(tree) < nodes:
        parent = draw.randrange(-1, len(tree))
        cell = state.frontier if parent == ROOT else tree.cells[parent] + 1
        if cell < state.layout.cells:
            tree.add(cell, draw.randrange(CODES), parent)
    return tree


def path_to(tree: Proposal, node: int) -> tuple[int, ...]:
    path: list[int] = []
    while node != ROOT:
        path.insert(0, node)
        node = tree.parents[node]
    return tuple(path)
