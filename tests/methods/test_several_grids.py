"""Images of several grids: what a cell's neighbours are, and that every method draws them as it draws one grid.

Every method has an audit of its own, which raises a false alarm with odds below 1e-6. Seeds are fixed.
"""

from __future__ import annotations

import pytest
import torch

from helpers.grown import grown
from helpers.passes import pass_of
from helpers.sight import Sight
from helpers.sight import run as run_rows
from helpers.toys import TWO, ToyTarget, noise_of, run
from spatialspec.audit.audit import audit, pairs
from spatialspec.audit.toys import parse
from spatialspec.core.context import DecodeContext
from spatialspec.core.grid import Grid, Grids, Layout
from spatialspec.core.noise import Noise
from spatialspec.core.proposal import Proposal
from spatialspec.core.sampling import Sampling
from spatialspec.core.state import State
from spatialspec.core.step import Scores, Verdict
from spatialspec.decode import Image
from spatialspec.methods.coupled import Coupled
from spatialspec.methods.method import Method
from spatialspec.methods.registry import audited
from spatialspec.methods.spatial_model.config import SpatialModelConfig
from spatialspec.methods.spatial_model.drafter import SpatialModel, SpatialModelOptions

EVERYTHING = [Method.parse(text) for text in audited() if "slots" not in text]  # those are in the quick audit

SAMPLING = Sampling(guidance=2.0, temperature=0.9)


def test_cells_are_numbered_on_from_grid_to_grid() -> None:
    layout = Grids((Grid(2, 2), Grid(2, 3)))
    assert (layout.cells, layout.widest, str(layout)) == (10, 3, "2x2+2x3")
    assert [layout.above(cell) for cell in range(10)] == [None, None, 0, 1, None, None, None, 4, 5, 6]
    assert [layout.neighbour(cell) for cell in range(1, 10)] == [0, 0, 1, 3, 4, 5, 4, 5, 6]
    assert layout.above(9, 2) is None and Grid(3, 2).above(5, 2) == 1
    assert layout.locate(4) == (Grid(2, 3), 0) and Grid(2, 2).locate(3) == (Grid(2, 2), 3)
    assert layout == parse("2x2+2x3") and Grid(2, 2) == parse("2x2") and Grid(2, 2).grids == (Grid(2, 2),)
    for cell in (-1, 10):
        with pytest.raises(IndexError, match=rf"cell {cell} of 2x2\+2x3"):
            layout.locate(cell)


def test_rows_that_a_preview_shows() -> None:
    layout, tokens = Grids((Grid(2, 2), Grid(2, 3))), tuple(range(10))
    shown = {n: State(layout, tokens[:n]).finished for n in range(11)}
    assert shown[0] is shown[1] is None and shown[2] == (Grid(1, 2), (0, 1))
    assert shown[4] == shown[6] == (Grid(2, 2), (0, 1, 2, 3)), "the first grid, until the second has a row"
    assert shown[7] == (Grid(1, 3), (4, 5, 6)) and shown[10] == (Grid(2, 3), (4, 5, 6, 7, 8, 9))


@pytest.mark.law
@pytest.mark.parametrize("method", EVERYTHING, ids=str)
def test_every_method_is_what_it_says(method: Method) -> None:
    """Exact ones have the distribution of the target, seed-exact ones AR's tokens, batches of three uneven included."""
    document = audit([method], TWO)
    assert document.ok and len(document.methods) == len(pairs([method]))


@pytest.mark.parametrize("attention", ["local", "global"])
def test_the_spatial_model_starts_a_grid_afresh(attention: str) -> None:
    """In the second grid it says what it says of that grid alone; across the border and at its first cell, nothing."""
    network, two, one = grown(SpatialModelConfig(8, rows=1, attention=attention)), parse("2x3+3x4"), Grid(3, 4)
    draw = torch.Generator().manual_seed(1)
    hidden, tokens = torch.randn(2, 18, 8, generator=draw), torch.randint(4, (18,), generator=draw).tolist()
    target = ToyTarget.random("3x4", 4, 2)

    def drafter(layout: Layout) -> SpatialModel:
        noise = Noise(0, layout.cells, 4)
        context = DecodeContext(target, [network], SAMPLING, layout, noise)
        return SpatialModel(context, SpatialModelOptions(length=30, samples=1), Coupled(noise))

    def write(model: SpatialModel, state: State, count: int) -> State:
        """Let a drafter observe the next cells, all in one pass."""
        shift = two.cells - state.layout.cells
        part = slice(shift + state.frontier, shift + state.frontier + count)
        chain, verdict = Proposal.chain(state.frontier, tokens[part]), Verdict(tuple(range(count)))
        scores = Scores(hidden[:, part, :1], hidden[:, part])
        step = pass_of(state, chain, verdict, scores=scores)
        model.observe(step)
        return step.after

    alone, behind, crossing = drafter(one), drafter(two), drafter(two)
    border = write(behind, State(two), 5)
    assert behind.propose(border).cells == [5], "the last cell of the first grid, and none behind it"
    border = write(behind, border, 1)
    assert not len(behind.propose(border)) and behind.reach(6) == 0
    write(alone, State(one), 5)
    write(behind, border, 5)
    write(crossing, State(two), 11)
    expected = alone.distributions(5, 7)
    for model in (behind, crossing):
        torch.testing.assert_close(model.distributions(11, 7), expected)


@pytest.mark.parametrize("rule", ["coupled", "rejection"])
@pytest.mark.parametrize("method", ["zipar:window=2", "zipar:window=2:kind=adaptive", "pjd:context=2"])
def test_rows_open_in_their_own_grid(method: str, rule: str) -> None:
    """No cell of a grid is written before the one before is complete; placeholders and rows stay in the grid."""
    layout = parse("3x4+4x5")
    passes, when = run_rows(method, rule, str(layout), Sight())
    assert max(when[:12]) < min(when[12:]) and max(len(one.before.pending) for one in passes) > 1
    for one in passes:
        cells = [*one.before.pending, *one.step.proposal.cells]
        assert len({layout.locate(cell)[0] for cell in cells}) <= 1 or one.before.frontier == 12
    if method == "zipar:window=2":
        assert len(passes) == 4 + 2 * 2 + 5 + 3 * 2


@pytest.mark.parametrize("rounds", [0, 2])
def test_passes_of_ssd(rounds: int) -> None:
    """As on one grid, but that the second grid's first cell has no pass of its own."""
    target = ToyTarget.random("3x4+4x6", 3, 5, width=4)
    context = DecodeContext(target, [target.drafts("ssd", 0, count=5)], Sampling(), target.grid, noise_of(target))
    made = Method.parse(f"ssd:rounds={rounds}:horizontal=3").make(context, "coupled")
    (image,) = run(target, [Image(State(target.grid), *made, Sampling())])
    first, second = 1 + 2 * 1 + 2 * (rounds + 1), 2 * 2 + 3 * (rounds + 1)
    assert image.state.complete and image.state.passes == first + second
