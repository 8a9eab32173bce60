"""Images of several grids: what a cell's neighbours are, and that every method draws them as it draws one grid.

Chi-square tests are at the level of `audit`: a false alarm anywhere in this file has odds below 2e-6.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch

from passes import pass_of
from sight import Sight
from sight import run as run_rows
from spatialspec.audit.audit import audit, pairs
from spatialspec.audit.cases import Case, Plan
from spatialspec.audit.toys import parse
from spatialspec.core.context import DecodeContext
from spatialspec.core.grid import Grid, Grids, Layout
from spatialspec.core.noise import Noise
from spatialspec.core.proposal import Proposal
from spatialspec.core.sampling import Sampling
from spatialspec.core.state import State
from spatialspec.core.step import Scores, Step, Verdict
from spatialspec.decode import Image
from spatialspec.methods.coupled import Coupled
from spatialspec.methods.hawk import Hawk, HawkHeads, HawkOptions
from spatialspec.methods.jacobi import Jacobi
from spatialspec.methods.method import Method
from spatialspec.methods.registry import audited
from spatialspec.methods.rejection import Rejection
from spatialspec.methods.sjd import SJD, WindowOptions
from spatialspec.methods.spatial_model.config import SpatialModelConfig
from spatialspec.methods.spatial_model.drafter import SpatialModel, SpatialModelOptions
from spatialspec.methods.ssd_baselines import SSDStrict, StrictOptions
from test_hawk_cache import SAMPLING, Remembering
from test_spatial_model import grown
from toys import ToyTarget, noise_of, run

EVERYTHING = [Method.parse(text) for text in audited()]
WIDTHS = ("2x3+4x5", "4x5+2x3", "1x1+3x2", "2x2+1x4+3x3")
TWO = Plan(
    (
        Case(False, "2x1+2x2", 4, Sampling(guidance=1.5), 1000, spread=0.2),
        Case(False, "1x3+3x1", 4, Sampling(), 600, spread=0.2),
    ),
    others=200,
    threes=30,
)


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


@pytest.mark.parametrize("method", EVERYTHING, ids=str)
def test_every_method_is_what_it_says(method: Method) -> None:
    """Exact ones have the distribution of the target, seed-exact ones AR's tokens, batches of three uneven included."""
    document = audit([method], TWO)
    assert document.ok and len(document.methods) == len(pairs([method]))


@dataclass(frozen=True)
class Raster(Layout):
    """A planted bug: all rows are as wide as those of one grid, and borders of grids count for nothing."""

    layout: Layout
    columns: int

    @property
    def grids(self) -> tuple[Grid, ...]:
        return self.layout.grids

    def above(self, cell: int, rows: int = 1) -> int | None:
        return cell - rows * self.columns if cell >= rows * self.columns else None


@pytest.mark.parametrize("wrong", [False, True])
@pytest.mark.parametrize("rule", [Coupled, Rejection])
@pytest.mark.parametrize("layout", WIDTHS)
def test_hawk_against_one_that_never_forgets(layout: str, rule: type[Coupled] | type[Rejection], wrong: bool) -> None:
    """Each source is a cell above in the same grid; one across the border or not yet written is seen."""
    target = ToyTarget.random(layout, 4, 6)
    heads, noise = target.drafts("hawk", 2), noise_of(target, 1)
    assert isinstance(heads, HawkHeads)
    verifier = rule(noise)
    options = HawkOptions(horizontal=3, vertical=2, depth=3, vertical_samples=2)
    hawk = Hawk(DecodeContext(target, [heads], SAMPLING, target.grid, noise), options, verifier)
    image = Image(State(target.grid), Remembering(hawk, heads, verifier), verifier, SAMPLING)
    if wrong:
        hawk.layout = Raster(target.grid, target.grid.grids[0].columns)
        with pytest.raises(AssertionError):
            run(target, [image])
    else:
        assert run(target, [image])[0].state.complete


class Seen(SJD):
    """Checks what every new cell is drawn from, by a table of all cells that never forgets."""

    def __init__(self, context: DecodeContext, options: WindowOptions, verifier: Rejection) -> None:
        super().__init__(context, options, verifier)
        self.table: dict[int, torch.Tensor] = {}
        self.from_above = self.uniform = 0

    def fill(self, state: State) -> range:
        known, window = len(self.tokens), super().fill(state)
        for cell in window[known:]:
            grid, index = state.layout.locate(cell)
            uniform = torch.full((self.q.shape[1],), 1 / self.q.shape[1])
            self.table[cell] = uniform if index < grid.columns else self.table[cell - grid.columns]
            torch.testing.assert_close(self.q[cell % len(self.q)], self.table[cell])
            self.from_above, self.uniform = self.from_above + (index >= grid.columns), self.uniform + 1
        return window

    def observe(self, step: Step) -> None:
        super().observe(step)
        self.table |= {step.before.frontier + i: p for i, p in enumerate(step.p)}


@pytest.mark.parametrize("wrong", [False, True])
@pytest.mark.parametrize("layout", WIDTHS)
def test_new_cells_of_a_window(layout: str, wrong: bool) -> None:
    target = ToyTarget.random(layout, 3, 6)
    context = DecodeContext(target, [], SAMPLING, target.grid, noise_of(target, 1))
    drafter = Seen(context, WindowOptions(length=5, start="above"), Rejection(context.noise))
    image = Image(State(target.grid), drafter, drafter.verifier, SAMPLING)
    if wrong:
        drafter.layout = Raster(target.grid, target.grid.grids[0].columns)
        with pytest.raises(AssertionError):
            run(target, [image])
    else:
        assert run(target, [image])[0].state.complete and drafter.from_above and drafter.uniform


class FromAbove(SSDStrict):
    """Checks that every draft below the first row of a grid is drawn from what is predicted at the cell above it."""

    def __init__(self, context: DecodeContext, options: StrictOptions, verifier: Rejection) -> None:
        super().__init__(context, options, verifier)
        self.states: dict[int, torch.Tensor] = {}
        self.lower = 0

    def propose(self, state: State) -> Proposal:
        proposal, recent = super().propose(state), self.recent
        for node, cell in enumerate(proposal.cells):
            above = state.layout.above(cell)
            if above is None:
                continue
            embedding = recent.target.embed(torch.tensor([state.tokens[above]]))
            predicted = recent.predictors.vertical[0](self.states[above][:, None], embedding)
            assert proposal.q is not None
            torch.testing.assert_close(proposal.q[node], recent._distribution(predicted)[0])
            self.lower += 1
        return proposal

    def observe(self, step: Step) -> None:
        super().observe(step)
        hidden = step.scores.hidden[:, step.verdict.slots()].unbind(1)
        self.states |= {step.before.frontier + i: state for i, state in enumerate(hidden)}


@pytest.mark.parametrize("layout", WIDTHS)
def test_drafts_of_lower_rows(layout: str) -> None:
    target = ToyTarget.random(layout, 3, 6)
    context = DecodeContext(target, [target.drafts("ssd", 0)], SAMPLING, target.grid, noise_of(target, 1))
    drafter = FromAbove(context, StrictOptions(horizontal=3), Rejection(context.noise))
    image = Image(State(target.grid), drafter, drafter.verifier, SAMPLING)
    assert run(target, [image])[0].state.complete and drafter.lower


@pytest.mark.parametrize("method", ["hawk", "sjd:start=above", "scd:start=above", "jacobi", "spatial", "ssd-strict"])
def test_wrong_neighbours_are_wrong_guesses_and_no_more(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of the first grid's width throughout: images are still the target's."""
    monkeypatch.setattr(Layout, "above", lambda self, cell, rows=1: Raster.above(Raster(self, 1), cell, rows))
    assert audit([Method.parse(method)], TWO).ok


def test_a_copy_of_a_cell_that_is_not_written_fails() -> None:
    target = ToyTarget.random("2x2+3x3", 4, 6)
    verifier, context = Coupled(noise_of(target)), DecodeContext(target, [], SAMPLING, target.grid, noise_of(target))
    drafter = Jacobi(context, type(Method.parse("jacobi").options)(length=4), verifier)
    drafter.layout = Raster(target.grid, -1)  # the cell after
    with pytest.raises(IndexError):
        run(target, [Image(State(target.grid), drafter, verifier, SAMPLING)])


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
