"""The spatial draft model: what a cell sees, where it is, what the drafter remembers and proposes; that it is exact."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch

from helpers.grown import grown
from helpers.passes import pass_of
from helpers.tiny import tiny_folder
from helpers.toys import NoiseTable, TableNoise, ToyTarget, Trial, codes
from spatialspec.audit.chi_square import fit
from spatialspec.audit.grid_toy import GridToy
from spatialspec.cli import main
from spatialspec.core.context import DecodeContext
from spatialspec.core.noise import Noise
from spatialspec.core.proposal import Proposal
from spatialspec.core.rotary import rotate
from spatialspec.core.sampling import Sampling
from spatialspec.core.state import State
from spatialspec.core.step import Scores, Verdict
from spatialspec.methods.coupled import Coupled
from spatialspec.methods.method import Method
from spatialspec.methods.registry import audited, methods
from spatialspec.methods.spatial_model.config import NOWHERE, SpatialModelConfig
from spatialspec.methods.spatial_model.drafter import SpatialModel, SpatialModelOptions
from spatialspec.methods.spatial_model.network import SpatialNetwork

GUIDED = Sampling(guidance=1.5)


def sees(config: SpatialModelConfig, columns: int, frontier: int, cell: int, other: int) -> bool:
    """The rule, in words of rows and columns."""
    (row, column), (up, aside) = divmod(cell, columns), divmod(other, columns)
    if cell == other:
        return True
    if other == frontier - 1 and config.directions != "vertical":
        return True
    if (config.directions == "horizontal" and up != row) or (config.directions == "vertical" and up >= row):
        return False
    return config.attention == "global" or (0 <= row - up <= config.rows and abs(column - aside) <= config.columns)


@pytest.mark.parametrize("attention", ["local", "global"])
@pytest.mark.parametrize("directions", ["both", "horizontal", "vertical"])
def test_the_mask_is_the_rule(attention: str, directions: str) -> None:
    """Cell by cell, at every frontier: row ends, row 0, known tokens behind the frontier, empty slots."""
    config = SpatialModelConfig(8, rows=2, columns=1, attention=attention, directions=directions)
    columns, total, length = 4, 20, 7
    known = torch.tensor([NOWHERE, *range(total), NOWHERE])
    for frontier in range(1, total):
        cells = torch.arange(frontier, min(frontier + length, total))
        mask = config.visible(columns, known, cells, torch.full_like(cells, frontier))
        for i, cell in enumerate(cells.tolist()):
            seen = mask[i, : len(known)].tolist()
            assert seen == [0 <= k < frontier and sees(config, columns, frontier, cell, k) for k in known.tolist()]
            own = mask[i, len(known) :].tolist()
            assert own == [sees(config, columns, frontier, cell, k) for k in cells.tolist()]


def test_windows_do_not_see_each_other() -> None:
    config = SpatialModelConfig(8, rows=2, columns=2)
    cells = torch.tensor([5, 6, 7, 8, NOWHERE, NOWHERE])
    frontier = torch.tensor([5, 5, 7, 7, 7, 7])
    mask = config.visible(3, torch.arange(9), cells, frontier)
    assert not mask[:2, 9 + 2 :].any() and not mask[2:, 9 : 9 + 2].any()
    assert not mask[:, 9 + 4 :][:4].any(), "what lies behind the picture is seen by nobody"
    assert mask[:, 9:].diagonal().all(), "but by itself, so that no row of the mask is empty"


def test_the_example_of_the_docstring() -> None:
    config = SpatialModelConfig(8, rows=1, columns=1)
    mask = config.visible(3, torch.arange(4), torch.arange(4, 9), torch.full((5,), 4))
    assert mask[2].nonzero()[:, 0].tolist() == [3, 4, 4 + 2, 4 + 3], "known 3; open 4, 6 and 7"


@pytest.mark.parametrize(("positions", "alike"), [("2-d", True), ("1-d", False)])
def test_positions(positions: str, alike: bool) -> None:
    """What a query makes of a key hangs on rows and columns between them; by raster index a row end changes it."""
    config = SpatialModelConfig(16, positions=positions)
    q, k = torch.randn(2, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def weight(own: int, other: int, columns: int) -> float:
        cells = torch.tensor([own, other])
        return float(rotate(q, config.rotation(cells[:1], columns)) @ rotate(k, config.rotation(cells[1:], columns)).T)

    above = [
        weight(own, own - columns - 1, columns) for columns in (5, 8) for own in (2 * columns + 2, 3 * columns + 4)
    ]
    assert (max(above) - min(above) < 1e-4) == alike, "one up and one left, on two grids"
    assert abs(weight(5, 4, 5) - weight(4, 3, 5)) > 1e-3 or not alike, "the end of a row is no left neighbour"
    assert abs(weight(5, 4, 5) - weight(4, 3, 5)) < 1e-4 or alike
    assert abs(weight(12, 7, 5) - weight(12, 11, 5)) > 1e-3, "up is not left"


def drafter(network: SpatialNetwork, target: ToyTarget, sampling: Sampling = GUIDED) -> SpatialModel:
    noise = Noise(0, target.grid.cells, target.vocabulary)
    context = DecodeContext(target, [network], sampling, target.grid, noise)
    return SpatialModel(context, SpatialModelOptions(), Coupled(noise))


def write(model: SpatialModel, hidden: torch.Tensor, tokens: list[int]) -> SpatialModel:
    """Let a drafter observe cells 0, 1, ..., the first two together."""
    state = State(model.grid)
    for first, last in itertools.pairwise([0, 2, *range(3, len(tokens) + 1)]):
        chain = Proposal.chain(first, tokens[first : last - 1])
        verdict = Verdict(tuple(range(last - first - 1)), tokens[last - 1])
        scores = Scores(hidden[:, first:last, :1], hidden[:, first:last])
        step = pass_of(state, chain, verdict, scores=scores)
        model.observe(step)
        state = step.after
    return model


@pytest.mark.parametrize("attention", ["local", "global"])
def test_a_far_cell_changes_nothing_and_a_near_one_does(attention: str) -> None:
    """Slots are written over as rows go by, as good as keeping every cell; the last known cell always counts."""
    target = ToyTarget.random("6x5", 4, 2)
    network = grown(SpatialModelConfig(8, rows=1, columns=1, attention=attention))
    draw = torch.Generator().manual_seed(1)
    hidden, tokens = torch.randn(2, 30, 8, generator=draw), torch.randint(4, (30,), generator=draw).tolist()
    frontier = 17
    base = write(drafter(network, target), hidden[:, :frontier], tokens[:frontier]).distributions(frontier, 4)
    for cell in range(frontier):
        other = hidden.clone()
        other[:, cell] += 1.0
        laws = write(drafter(network, target), other[:, :frontier], tokens[:frontier]).distributions(frontier, 4)
        config, window = network.config, range(frontier, frontier + 4)
        near = any(sees(config, 5, frontier, own, cell) for own in window)
        assert torch.equal(laws, base) != near, f"cell {cell}"


def test_it_reads_the_token_and_the_state_of_a_cell() -> None:
    target = ToyTarget.random("4x4", 4, 2)
    network = grown(SpatialModelConfig(8))
    hidden, tokens = torch.randn(2, 6, 8, generator=torch.Generator().manual_seed(1)), [0, 1, 2, 3, 0, 1]
    base = write(drafter(network, target), hidden, tokens).distributions(6, 3)
    assert base.shape == (3, 4) and torch.allclose(base.sum(-1), torch.ones(3))
    assert not torch.equal(write(drafter(network, target), hidden, [*tokens[:5], 2]).distributions(6, 3), base)
    other = hidden.clone()
    other[1] += 1.0
    assert not torch.equal(write(drafter(network, target), other, tokens).distributions(6, 3), base), (
        "both streams count"
    )
    single = write(drafter(network, target, Sampling()), hidden[:1], tokens).distributions(6, 3)
    assert torch.allclose(single, write(drafter(network, target, Sampling()), other[:1], tokens).distributions(6, 3))


def test_the_tree_is_a_chain_with_candidates_beside_it() -> None:
    target = ToyTarget.random("4x4", 4, 2)
    network = grown(SpatialModelConfig(8))
    model = write(drafter(network, target), torch.randn(2, 5, 8), [0, 1, 2, 3, 0])
    state = State(target.grid, (0, 1, 2, 3, 0), 3, (4,))
    for length, samples, budget, count in ((3, 2, 64, 3), (9, 3, 13, 4), (9, 1, 4, 4), (30, 1, 64, 11), (3, 2, 1, 0)):
        model.options = SpatialModelOptions(length=length, samples=samples, budget=budget)
        tree = model.propose(state)
        assert len(tree) == count * samples, "coupled noise names different tokens"
        firsts = [row * samples for row in range(count)]
        assert tree.cells == [5 + row for row in range(count) for _ in range(samples)]
        assert tree.parents == [([-1, *firsts])[row] for row in range(count) for _ in range(samples)]
        if count:
            assert [[q for _, q in tests] for _, tests in sorted(tree.tests.items())] == [
                [r] * samples for r in range(count)
            ]
    assert not model.drafts_first_cell, "nothing before the first token"


@pytest.mark.parametrize(("directions", "attention"), [("both", "local"), ("vertical", "local"), ("both", "global")])
def test_seed_identity(directions: str, attention: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """AR's tokens, image by image, on a table and on a transformer with caches; a greedy image too."""
    for target in (ToyTarget.random("3x4", 4, 1), GridToy.random("3x4", 4, 0)):
        network = grown(SpatialModelConfig(target.width, rows=1, directions=directions, attention=attention))
        monkeypatch.setattr(Trial, "drafts", [network])
        for count, sampling in ((5, Sampling(guidance=2.0, temperature=0.9, top_k=3)), (1, Sampling(temperature=0.0))):
            noises = [Noise(seed, 12, 4) for seed in range(count)]
            ar = Trial("ar", "coupled", sampling, target).tokens(noises)
            assert (Trial("spatial-model", "coupled", sampling, target).tokens(noises) == ar).all()


@pytest.mark.law
def test_law_under_rejection() -> None:
    """One chi-square test at the level 1e-9 on random weights; the candidates of a cell are told apart."""
    target, sampling = ToyTarget.random("2x2", 3, 1, deviation=0.2), Sampling(temperature=1.5)
    numbers = NoiseTable(500, 4, 3)
    noises = [TableNoise(seed, numbers) for seed in range(500)]
    images, law = Trial("spatial-model:samples=2", "rejection", sampling, target).tokens(noises), target.joint(sampling)
    assert fit(np.bincount(codes(images, 3), minlength=len(law)), law).p > 1e-9


def test_no_weights_is_an_error() -> None:
    target = ToyTarget.random("3x2", 4, 1)
    context = DecodeContext(target, [], GUIDED, target.grid, Noise(0, 6, 4))
    with pytest.raises(ValueError, match="got no spatial-model draft weights"):
        Method.parse("spatial-model").make(context, "coupled")


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"positions": "3-d"}, "got positions '3-d', expected one of 2-d, 1-d"),
        ({"attention": "none"}, "expected one of local, global"),
        ({"directions": "up"}, "expected one of both, horizontal, vertical"),
        ({"layers": 5}, "got layers 5, expected 1 to 4"),
        ({"rows": 0}, "got rows 0, expected 1 to 64"),
        ({"width": 18}, "a multiple of 4"),
    ],
)
def test_sizes_that_cannot_be(settings: dict[str, object], expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        SpatialModelConfig(**{"width": 16} | settings)  # type: ignore[arg-type]


def test_the_audit_of_everything_tries_on_toys_what_the_model_has_no_drafts_for(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[list[str]] = []

    def audit(methods: list[object], *rest: object) -> None:
        asked.extend([list(map(str, methods)), list(map(str, rest[-1]))])  # type: ignore[call-overload]
        raise GeneratorExit  # no error that the command line would tell

    monkeypatch.setattr("spatialspec.audit.audit.audit", audit)
    with pytest.raises(GeneratorExit):
        main(["audit", "--quick", "--model", str(tiny_folder(tmp_path))])
    names, absent = [str(Method.parse(name)) for name in audited()], ("hydra", "eagle", "spatial-model", "sibling")
    lacking = [
        name for name in names if name.split(":")[0] in absent or "start=spatial-model" in name or "guide=" in name
    ]
    assert f"has no drafts for: {', '.join(lacking)}" in " ".join(capsys.readouterr().out.split())
    assert asked == [names, lacking] and set(methods()) | {"spatial:budget=3:start=spatial-model"} <= set(names)
