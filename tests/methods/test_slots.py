"""`slots`: the same width of a pass for every method, used as far as it can, and decided before tokens are drawn."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from math import prod

import numpy as np
import pytest
from torch import Tensor

from helpers.toys import CachedSampling, NoiseTable, TableNoise, ToyTarget, Trial, codes
from spatialspec.audit.chi_square import CAUTION, fit
from spatialspec.budget import _undecided
from spatialspec.core.errors import BadInput
from spatialspec.core.interfaces import Verifier
from spatialspec.core.noise import Noise
from spatialspec.core.proposal import ROOT, Proposal
from spatialspec.core.sampling import Sampling
from spatialspec.core.state import State
from spatialspec.core.step import Step
from spatialspec.decode import decode
from spatialspec.methods import trees
from spatialspec.methods.method import Method
from spatialspec.methods.presets import dialled
from spatialspec.methods.registry import methods

TARGET = ToyTarget.random("4x5", 4, 1)
LARGE = ToyTarget.random("23x23", 4, 1)
WINDOWS = ("jacobi", "sjd", "scd", "scd:form=gumbel", "sjd-pac", "gsd", "csd", "spatial", "sibling")
TREES = ("hawk", "hawk-vertical", "medusa", "lantern", "lantern++", "spatial-model")
SEQUENTIAL = ("hydra", "eagle")  # trees that grow level after level
CHAINS = ("mtp", "ssd-strict")
SLOTTED = [name for name, method in methods().items() if method.has("slots")]


def steps(method: str, rule: str = "coupled", target: ToyTarget = TARGET, seeds: Sequence[int] = (0,)) -> list[Step]:
    trial = Trial(method, rule, Sampling(), target, count=5)
    images = [trial.image(Noise(seed, target.grid.cells, target.vocabulary)) for seed in seeds]
    session = target.session([""] * len(images), [""] * len(images), Sampling(), target.grid.grids[-1])
    return list(decode(session, images))


def test_every_method_is_here() -> None:
    assert {*SLOTTED} == {method.partition(":")[0] for method in (*WINDOWS, *TREES, *SEQUENTIAL, *CHAINS)}
    assert {*methods()} - {*SLOTTED} == {"ar", "ssd", "zipar", "pjd"}
    for name in SLOTTED:
        assert not methods()[name].exact or any("slots=" in given for given in methods()[name].variants), name


@pytest.mark.parametrize("rule", ["coupled", "rejection"])
@pytest.mark.parametrize("method", [*WINDOWS, *TREES, *SEQUENTIAL, *CHAINS])
def test_no_pass_is_wider_and_some_pass_is_as_wide(method: str, rule: str) -> None:
    """A method that cannot use all slots uses what it can."""
    for slots in (1, 2, 3, 6, 9):
        passes = steps(f"{method}:slots={slots}", rule)
        widest = max(len(step.p) for step in passes)
        assert widest <= slots
        most = min(slots, 6) if method in CHAINS else slots  # five heads, or a row of five cells
        if slots == 1:
            assert len(passes) == TARGET.grid.cells, "AR"
        else:
            assert widest == most


@pytest.mark.parametrize("method", WINDOWS)
def test_five_hundred_and_twelve_drafts(method: str) -> None:
    trial = Trial(f"{method}:slots=513", "coupled", Sampling(), LARGE)
    session = LARGE.session([""], [""], Sampling(), LARGE.grid.grids[-1])
    run = decode(session, [trial.image(Noise(0, LARGE.grid.cells, 4))])
    assert max(len(next(run).p) for _ in range(3)) == 513


def test_options_that_follow() -> None:
    """Old keys stay: they may say the same, or limit a tree; they may not say another width."""
    for name in SLOTTED:
        method = Method.parse(f"{name}:slots=4")
        assert Method.parse(str(method)) == method != methods()[name] and str(method) == f"{name}:slots=4"
        assert methods()[name].with_options(slots=0) == methods()[name]
        assert method.options.nodes == 3  # type: ignore[attr-defined]
        for key, value in (("length", 4), ("budget", 3)):
            if method.has(key) and not (key == "length" and name == "spatial-model"):
                assert getattr(method.options, key) == value
                assert Method.parse(f"{name}:slots=4:{key}={value}") == method
                with pytest.raises(BadInput, match=f"got slots=4 and {key}=9, expected {key}={value} with these slots"):
                    Method.parse(f"{name}:{key}=9:slots=4")
    limited = Method.parse("hawk:slots=9:depth=1")
    assert limited != Method.parse("hawk:slots=9") and limited.with_options(slots=0) == Method.parse("hawk:depth=1")
    assert {
        level for step in steps(str(limited)) for level in np.subtract(step.proposal.cells, step.before.frontier)
    } == {0}


def test_dials_leave_slots_alone() -> None:
    given = Method.parse("spatial:slots=9")
    assert dialled([given], budget=64, tolerance=2) == [Method.parse("spatial:slots=9:tolerance=2")]
    assert given.with_default("budget", 64) is given and not _undecided(given) and _undecided(Method.parse("spatial"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ar:slots=4", "a pass has one slot"),
        ("ssd:slots=4", "as wide as whole rows of the image: set rows"),
        ("zipar:slots=4", "one slot for each open row: set window"),
        ("pjd:slots=4", "as many rows as are open: set width"),
        ("hawk:slots=514", "got slots=514, expected a whole number from 0 to 513"),
    ],
)
def test_refused(text: str, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        Method.parse(text)


def cost(path: tuple[int, ...]) -> int:
    return prod(2 * (rank + 1) for rank in path)


@pytest.mark.parametrize("candidates", [(5,), (2, 2), (3, 0, 3), (7, 1, 4), (6, 6, 6)])
def test_the_likeliest_nodes_of_the_product(candidates: tuple[int, ...]) -> None:
    """Every number of nodes, against all paths sorted; with a path its parent and the siblings before it."""
    everything = trees.product(candidates)
    ranked = sorted(everything, key=lambda path: (cost(path), len(path), path))
    assert trees.likeliest(candidates, 10**6) == everything
    for nodes in range(len(everything)):
        shape = trees.likeliest(candidates, nodes)
        assert set(shape) == set(ranked[:nodes]) and sorted(shape, key=len) == list(shape)
        for path in shape:
            assert path[:-1] in {*shape, ()} and (path[-1] == 0 or (*path[:-1], path[-1] - 1) in shape)
    assert trees.used(everything) == [*itertools.takewhile(bool, candidates)]
    assert trees.comb((2, 2)) == ((0,), (1,), (0, 0), (0, 1))


def test_a_tree_that_fits_whole_is_the_tree_without_slots() -> None:
    for text in (
        "hawk:depth=2:vertical_samples=1:horizontal_samples=1",
        "medusa:depth=3:horizontal=3:horizontal_samples=2",
    ):
        for rule in ("coupled", "rejection"):
            plain, filled = (steps(f"{text}{more}", rule) for more in ("", ":slots=15"))
            assert [(s.proposal.cells, s.proposal.tokens, s.written) for s in plain] == [
                (s.proposal.cells, s.proposal.tokens, s.written) for s in filled
            ]


def test_hawk_takes_turns_vertical_first() -> None:
    """At the root: vertical head 1, horizontal, vertical head 2, horizontal again, and so on."""
    passes = steps("hawk:slots=9:depth=1:horizontal=1", "rejection")
    lower = [s.proposal for s in passes if s.before.frontier > 2 * 5]
    for proposal in lower:
        sources = [proposal.sources[index] for _, index in proposal.tests[0]]
        turns = itertools.cycle([("vertical", 1), ("horizontal", 1), ("vertical", 2), ("horizontal", 1)])
        assert sources == [next(turns) for _ in sources] and len(sources) == 8


@pytest.mark.parametrize("method", TREES)
def test_what_is_drawn_is_tested_and_how_many_depends_on_no_token(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pass tests as many candidates after the root as its shape says, whatever they are, and no others are drawn."""
    honest, seen = trees.proposal, list[int]()

    def spied(
        shape: trees.Shape, plan: Sequence[Sequence[int]], q: Tensor, verifier: Verifier, state: State
    ) -> Proposal:
        tree = honest(shape, plan, q, verifier, state)
        deepest = Counter[int]()
        for slot, tests in tree.tests.items():
            level = 0 if slot == 0 else tree.cells[slot - 1] + 1 - state.frontier
            deepest[level] = max(deepest[level], len(tests))
        assert deepest[0] == len(plan[0]) == sum(len(path) == 1 for path in shape)
        assert [deepest[level] for level in range(len(plan))] == [*map(len, plan)]
        assert len(tree) == len(shape)
        seen.append(len({*zip(tree.parents, tree.tokens, strict=True)}))
        return tree

    monkeypatch.setattr(trees, "proposal", spied)
    steps(f"{method}:slots=6", "rejection", seeds=range(8))
    assert len({*seen}) > 1, "trees with more and with fewer repeated tokens"


@pytest.mark.law
def test_a_cut_that_looks_at_tokens_is_a_bias(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trees that are filled up after drawing, as repeated tokens leave room: a chi-square test sees it.

    The audit shows that honest trees have the distribution of the target.
    """
    honest, likeliest = trees.proposal, trees.likeliest

    def filled(
        shape: trees.Shape, plan: Sequence[Sequence[int]], q: Tensor, verifier: Verifier, state: State
    ) -> Proposal:
        tree, short = honest(shape, plan, q, verifier, state), Proposal(q=q)
        placed = {ROOT: ROOT}
        for slot, tests in sorted(tree.tests.items()):
            for node, index in tests:
                up, cell, token = placed.get(slot - 1), tree.cells[node], tree.tokens[node]
                if up is not None and len(short) < 3 and short.find(up, cell, token) is None:
                    placed[node] = short.add(cell, token, up, index)
        return short

    monkeypatch.setattr(trees, "likeliest", lambda candidates, nodes: likeliest(candidates, nodes + 6))
    monkeypatch.setattr(trees, "proposal", filled)
    target, numbers = ToyTarget.random("3x2", 4, 1, deviation=0.2), NoiseTable(1000, 6, 4)
    trial = Trial("medusa:slots=4", "rejection", CachedSampling(), target)
    images = codes(trial.tokens([TableNoise(seed, numbers) for seed in range(1000)]), 4)
    distribution = target.joint(Sampling())
    assert fit(np.bincount(images, minlength=len(distribution)), distribution).p <= 1e-6 / CAUTION
