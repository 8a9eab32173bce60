"""Trees of candidates: their shape, decided before anything is drawn, as rejection requires; then the proposal.

A node is the path of ranks to it: (0, 2) is the third candidate of the second cell, after the first of the first cell.
A shape is a list of paths, level by level, siblings in order; with a path it has the parent and the siblings before it.

`likeliest` fills the slots of a pass. Candidate r = 1, 2, .. of a cell is accepted with a probability of about
(2 r)^(-3/2) if its parent is (Hawk's heads on `icons`: docs/log.md, 2026-11-30). So the likeliest nodes are those with
the smallest product of 2 r over their path.

| variable | symbol |
|---|---|
| `cost` | product of 2 r over a path |
| `plan` | for each cell the candidates, each an index of q |
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from functools import lru_cache
from heapq import heappop, heappush

import torch
from jaxtyping import Float, Int
from torch import Tensor

from spatialspec.core.interfaces import Verifier
from spatialspec.core.noise import rows
from spatialspec.core.proposal import ROOT, Proposal, unread
from spatialspec.core.state import State

Path = tuple[int, ...]  # ranks, from 0, of the candidates on the way to a node
Shape = tuple[Path, ...]


@lru_cache(maxsize=256)
def product(candidates: tuple[int, ...]) -> Shape:
    """Every candidate of a cell after every one of the cell before.

    Args:
        candidates: of each cell; the tree ends before a cell that has none.
    """
    levels = [range(count) for count in candidates]
    return tuple(path for depth in range(1, len(levels) + 1) for path in itertools.product(*levels[:depth]))


@lru_cache(maxsize=256)
def comb(candidates: tuple[int, ...]) -> Shape:
    """A chain of first candidates, with the further ones beside it; arguments as for `product`."""
    return tuple((*[0] * level, rank) for level, count in enumerate(candidates) for rank in range(count))


@lru_cache(maxsize=256)
def likeliest(candidates: tuple[int, ...], nodes: int) -> Shape:
    """The nodes of `product` with the smallest cost, at most `nodes`; of equal ones first the nearest to the root."""
    shape: list[Path] = []
    border: list[tuple[int, int, Path]] = []  # cost, level and path of nodes whose parent and last sibling are in

    def consider(path: Path, cost_of_parent: int) -> None:
        level, rank = len(path) - 1, path[-1]
        if level < len(candidates) and rank < candidates[level]:
            heappush(border, (cost_of_parent * 2 * (rank + 1), level, path))

    consider((0,), 1)
    while border and len(shape) < nodes:
        cost, _, path = heappop(border)
        shape.append(path)
        consider((*path[:-1], path[-1] + 1), cost // (2 * (path[-1] + 1)))
        consider((*path, 0), cost)
    return tuple(sorted(shape, key=lambda path: (len(path), path)))


def used(shape: Shape) -> list[int]:
    """Number of candidates of each cell that a shape has."""
    levels = itertools.groupby(shape, key=len)
    return [1 + max(path[-1] for path in level) for _, level in levels]


def proposal(
    shape: Shape, plan: Sequence[Sequence[int]], q: Float[Tensor, "Q V"], verifier: Verifier, state: State
) -> Proposal:
    """Draw the candidates of a shape, and only these, and make the tree; the host does not read their tokens.

    So two candidates with the same token are two nodes.

    Args:
        shape: of the tree.
        plan: for each cell from the frontier on an index of q for every candidate that the shape has.
        q: distributions that candidates are drawn from.
        verifier: draws them.
        state: before the pass.
    """
    indices = [index for level in plan for index in level]
    cells = [state.frontier + j for j, level in enumerate(plan) for _ in level]
    codes = iter(unread(len(indices)))
    drawn = [[(next(codes), index) for index in level] for level in plan]
    tree = Proposal(q=q, drafts=verifier.draw(q, indices, cells, state.passes))
    placed: dict[Path, int] = {(): ROOT}
    for path in shape:
        level = len(path) - 1
        code, index = drawn[level][path[-1]]
        placed[path] = tree.add(state.frontier + level, code, placed[path[:-1]], index)
    return tree


# A level of the tree, from 0, and for every node before it that has children: the index of its parent among such nodes
# of the level before, and its token -> q of the level's sources after each of them.
Expand = Callable[[int, list[int], Int[Tensor, "P"]], Float[Tensor, "P S V"]]


def grown(
    shape: Shape,
    plan: Sequence[Sequence[int]],
    expand: Expand,
    last: Int[Tensor, "1"],
    verifier: Verifier,
    state: State,
) -> Proposal:
    """As `proposal`, level after level: the q of a candidate may depend on the drafted tokens before it.

    Exact: candidates of a node are independent samples of a q that depends on its path alone.

    Args:
        shape: of the tree.
        plan: for each cell from the frontier on, for every candidate that the shape has, the index of its source.
        expand: called once for every cell.
        last: the token before the frontier, as that of the root.
        verifier: draws candidates.
        state: before the pass.
    """
    tree, drafts, distributions, count = Proposal(), list[Tensor](), list[Tensor](), 0
    placed: dict[Path, int] = {(): ROOT}
    parents: dict[Path, int] = {(): 0}  # index of every node with children among those of its level
    drawn: dict[Path, int] = {(): 0}  # index of every node among all of its level
    tokens = last  # of the level before
    for level, group in itertools.groupby(shape, key=len):
        paths = [*group]
        inner = {path: i for i, path in enumerate(dict.fromkeys(path[:-1] for path in paths))}
        q = expand(level - 1, [parents[path[:-1]] for path in inner], rows(tokens, [drawn[path] for path in inner]))
        sources, cell = q.shape[1], state.frontier + level - 1
        indices = [sources * inner[path[:-1]] + plan[level - 1][path[-1]] for path in paths]
        tokens = verifier.draw(q.flatten(0, 1), indices, [cell] * len(paths), state.passes)
        for path, code, index in zip(paths, unread(len(paths), len(tree)), indices, strict=True):
            placed[path] = tree.add(cell, code, placed[path[:-1]], count + index)
        parents, drawn, count = inner, {path: i for i, path in enumerate(paths)}, count + sources * len(inner)
        drafts.append(tokens)
        distributions.append(q.flatten(0, 1))
    tree.q, tree.drafts = torch.cat(distributions), torch.cat(drafts)
    return tree
