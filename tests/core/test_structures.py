"""Grid, proposal, state and cache against naive versions of themselves."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spatialspec.core.grid import Grid
from spatialspec.core.proposal import ROOT, Proposal, unread
from spatialspec.core.state import State
from spatialspec.core.step import Verdict
from spatialspec.targets.cache import Cache


def test_grid() -> None:
    assert Grid.parse("24X16") == Grid(24, 16) and str(Grid(3, 2)) == "3x2" and Grid(3, 2).cells == 6
    for text in ("24", "24x", "x", "-1x4", "2x2x2", "axb", " 2 x 2", "2.0x2"):
        with pytest.raises(ValueError, match="expected ROWSxCOLUMNS"):
            Grid.parse(text)
    with pytest.raises(ValueError, match="got a grid with rows 0, expected at least 1x1"):
        Grid.parse("0x3")


def test_proposal_merges_siblings_and_keeps_their_tests() -> None:
    tree = Proposal()
    a = tree.add(4, 7, ROOT, 0)
    b = tree.add(4, 8, ROOT, 1)
    assert tree.add(4, 7, ROOT, 1) == a, "the same token from two sources is one node"
    c = tree.add(5, 7, a, 2)
    d = tree.add(5, 7, b, 2)
    assert c != d, "the same token behind different parents is two nodes"
    assert tree.add(5, 9, a) == 4
    assert (tree.cells, tree.tokens, tree.parents) == ([4, 4, 5, 5, 5], [7, 8, 7, 7, 9], [ROOT, ROOT, a, b, a])
    assert tree.tests == {0: [(a, 0), (b, 1), (a, 1)], 1 + a: [(c, 2)], 1 + b: [(d, 2)]}, "tested once per source"
    assert tree.find(ROOT, 4, 8) == b and tree.find(a, 5, 9) == 4 and tree.find(a, 5, 8) is None
    assert tree.find(ROOT, 5, 8) is None, "the same token at another cell"
    assert len(tree) == 5 and len(Proposal()) == 0 and Proposal().ancestors().shape == (0, 0)


def test_a_proposal_that_is_built_directly_finds_its_nodes() -> None:
    assert Proposal([5], [7], [ROOT]).find(ROOT, 5, 7) == 0
    tree = Proposal([5, 5, 6, 6], [7, 8, 7, 7], [ROOT, ROOT, 0, 1])
    assert [tree.find(ROOT, 5, 8), tree.find(0, 6, 7), tree.find(1, 6, 7)] == [1, 2, 3]
    assert tree.find(ROOT, 5, 9) is None and tree.find(2, 7, 7) is None
    assert tree.add(6, 7, 1) == 3 and tree.add(7, 7, 3) == 4 == tree.find(3, 7, 7), "goes on as one that was added to"
    cut = replace(tree, cells=tree.cells[:2], codes=tree.codes[:2], parents=tree.parents[:2])
    assert cut.find(ROOT, 5, 8) == 1 and cut.find(0, 6, 7) is None
    assert Proposal([5, 5], [7, 7], [ROOT, ROOT]).find(ROOT, 5, 7) == 0, "the first of two that are alike"


def test_tokens_on_the_device() -> None:
    """Nodes are laid out by codes; tokens come with the results of the pass, or are read when they are needed."""
    drafts = torch.tensor([9, 8, 8])
    tree = Proposal(drafts=drafts)
    for code in (7, *unread(3)):
        tree.add(4, code, ROOT)
    tree.add(5, -2, 1)
    assert tree.codes == [7, -1, -2, -3, -2] and unread(2, 1) == [-2, -3]
    assert tree.tokens == [7, 9, 8, 8, 8] and tree.drafts is None, "two drafts of the same token are two nodes"
    assert tree.find(ROOT, 4, 8) == 2 and tree.find(1, 5, 8) == 4 and tree.find(ROOT, 4, -2) is None
    chain = Proposal.chain(6, drafts)
    assert chain.drafts is drafts and chain.codes == [-1, -2, -3]
    chain.settle([1, 2, 3])
    assert chain.tokens == [1, 2, 3] and chain.find(1, 8, 3) == 2


def test_chain() -> None:
    q = torch.ones(3, 10) / 10
    chain = Proposal.chain(6, [1, 1, 2], q)
    assert (chain.cells, chain.tokens, chain.parents) == ([6, 7, 8], [1, 1, 2], [ROOT, 0, 1])
    assert chain.tests == {0: [(0, 0)], 1: [(1, 1)], 2: [(2, 2)]}
    assert Proposal.chain(6, [1, 1], final=True).tests == {} and Proposal.chain(6, [1], final=True).final


trees = st.lists(st.tuples(st.integers(-1, 30), st.integers(0, 3)), max_size=14)


@given(trees)
@settings(max_examples=200, deadline=None)
def test_ancestors_against_climbing(edges: list[tuple[int, int]]) -> None:
    tree = Proposal()
    for up, token in edges:
        parent = min(up, len(tree) - 1)
        cell = tree.cells[parent] + 1 if parent != ROOT else 0
        tree.add(cell, token, parent)
    mask = tree.ancestors()
    for node in range(len(tree)):
        climbed, at = set(), node
        while at != ROOT:
            climbed.add(at)
            at = tree.parents[at]
        assert set(mask[node].nonzero()[0].tolist()) == climbed


def test_verdict_and_state() -> None:
    tree = Proposal()
    a = tree.add(0, 5, ROOT)
    tree.add(0, 6, ROOT)
    c = tree.add(1, 4, a)
    own = Verdict((a, c), 9)
    assert own.tokens(tree) == [5, 4, 9] and own.slots() == [0, 1 + a, 1 + c]
    block = Verdict((a, c))
    assert block.tokens(tree) == [5, 4] and block.slots() == [0, 1 + a]
    assert Verdict(refined=(1, 2, 3)).tokens(tree) == [] and Verdict(refined=(1,)).slots() == []

    start = State(Grid(2, 2))
    assert (start.frontier, start.pending, start.complete) == (0, (), False)
    later = start.extend(tree, own)
    assert (later.tokens, later.passes, later.pending, later.complete) == ((5, 4, 9), 1, (2,), False)
    done = later.extend(Proposal(), Verdict((), 1))
    assert done.complete and done.frontier == 4 and done.passes == 2
    assert later.extend(tree, Verdict(refined=(0, 0, 0))) == State(Grid(2, 2), later.tokens, 2, (2,))
    assert start.tokens == (), "states are never changed"


def test_rows_ahead_of_the_prefix() -> None:
    """Two rows at once on 3 x 3: samples, an accepted node, a placeholder that nobody keeps, rows that meet."""
    state = State(Grid(3, 3), (5, 6), 2, (1,))
    placeholder = Proposal([2], [6], [ROOT])
    state = state.extend(placeholder, Verdict(token=7, ahead=((3, 8),)))
    assert (state.tokens, state.ahead, state.pending) == ((5, 6, 7, 8), {}, (3, 2)), "the end of row 0 is read once"

    state = state.extend(Proposal(), Verdict(token=9, ahead=((6, 1),)))
    assert (state.tokens, state.ahead, state.pending) == ((5, 6, 7, 8, 9), {6: 1}, (4, 6))
    assert [state.token(cell) for cell in (0, 4, 5, 6, 7)] == [5, 9, None, 1, None]

    chain = Proposal([7, 8], [2, 3], [ROOT, 0])
    once = state.extend(chain, Verdict(elsewhere=(0,)))
    assert (once.frontier, once.ahead, once.pending) == (5, {6: 1, 7: 2}, (4, 7)), "6 has served: 7 is written"
    both = state.extend(chain, Verdict(elsewhere=(0, 1)))
    assert both.pending == (4,), "nothing comes after the last cell"
    assert state.extend(chain, Verdict(ahead=((7, 2),))).pending == (4, 7) and not Verdict().commits
    assert Verdict(elsewhere=(0,)).commits and Verdict(ahead=((7, 2),)).commits

    done = both.extend(Proposal(), Verdict(token=4))
    assert done.complete and done.tokens == (5, 6, 7, 8, 9, 4, 1, 2, 3) and not done.ahead
    assert state.ahead == {6: 1}, "states are never changed"


passes = st.lists(
    st.tuples(st.integers(1, 5), st.lists(st.sets(st.integers(0, 4)), min_size=3, max_size=3), st.booleans()),
    min_size=1,
    max_size=6,
)


@given(passes, st.booleans())
@settings(max_examples=100, deadline=None)
def test_cache_against_lists(plan: list[tuple[int, list[set[int]], bool]], alike: bool) -> None:
    """Rows progress at their own pace, or all alike; a row is dropped now and then. Every slot holds its number."""
    layers, heads, width, counter = 2, 2, 3, 0
    cache = Cache([torch.device("cpu")] * layers, 4)  # it grows
    cache.add(3)
    naive: list[list[int]] = [[], [], []]  # the number written into each committed slot
    moves: list[list[tuple[int, int]]] = [[], [], []]
    for n, keeps, drop in plan:
        rows, lengths = len(naive), torch.tensor(cache.lengths)
        seen = cache.room(n) + n
        assert seen == max(map(len, naive)) + n
        fresh = torch.arange(counter, counter + rows * n).view(rows, n)
        counter += rows * n
        most = max(map(len, moves))
        moved = torch.tensor([(own + own[-1:] * most)[:most] or [(0, 0)] * most for own in moves]).view(rows, most, 2)
        start = cache.lengths[0] if cache.even and n % 2 else None
        numbers = cache.begin(fresh, lengths, seen, start, moved.permute(2, 0, 1) if most else None)
        slots = fresh[:, None, :, None].expand(rows, heads, n, width).float()
        for layer in range(layers):
            k, v = cache.write(layer, slots + 1000 * layer, -slots - 1000 * layer)
            assert k.shape == v.shape == (rows, heads, seen, width)
            for row, committed in enumerate(naive):
                expected = torch.tensor([*committed, *fresh[row].tolist()])
                assert torch.equal(numbers[row, : len(expected)], expected)
                visible = k[row, :, : len(expected)]
                assert torch.equal(visible, (expected + 1000 * layer)[None, :, None].expand_as(visible).float())
                assert torch.equal(v[row, :, : len(expected)], -visible)
        for row in range(rows):
            kept, first = sorted(slot for slot in keeps[0 if alike else row] if slot < n), len(naive[row])
            moves[row] = [(first + slot, first + i) for i, slot in enumerate(kept) if slot != i]
            cache.lengths[row] += len(kept)
            naive[row] += fresh[row, kept].tolist()
        assert cache.even == (len(set(map(len, naive))) == 1)
        if drop and rows > 1:
            cache.select([row for row in range(rows) if row != 1])
            del naive[1], moves[1]
