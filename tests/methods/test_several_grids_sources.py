"""What drafters read on several grids: cells above in the same grid that are written, and no others."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch

from helpers.remembering import SAMPLING, Remembering
from helpers.toys import TWO, ToyTarget, noise_of, run
from spatialspec.audit.audit import audit
from spatialspec.core.context import DecodeContext
from spatialspec.core.grid import Grid, Layout
from spatialspec.core.proposal import Proposal
from spatialspec.core.state import State
from spatialspec.core.step import Step
from spatialspec.decode import Image
from spatialspec.methods.coupled import Coupled
from spatialspec.methods.hawk import Hawk, HawkHeads, HawkOptions
from spatialspec.methods.jacobi import Jacobi
from spatialspec.methods.method import Method
from spatialspec.methods.rejection import Rejection
from spatialspec.methods.sjd import SJD, WindowOptions
from spatialspec.methods.ssd_baselines import SSDStrict, StrictOptions

WIDTHS = ("2x3+4x5", "4x5+2x3", "1x1+3x2", "2x2+1x4+3x3")


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

    def window(self, state: State) -> tuple[range, torch.Tensor, list[int], torch.Tensor | None]:
        cells, q, codes, drafts = super().window(state)
        for i, cell in enumerate(cells):
            if cell < self.scored:
                continue
            grid, index = state.layout.locate(cell)
            uniform = torch.full((self.q.shape[1],), 1 / self.q.shape[1])
            self.table[cell] = uniform if index < grid.columns else self.table[cell - grid.columns]
            torch.testing.assert_close(q[i], self.table[cell])
            self.from_above, self.uniform = self.from_above + (index >= grid.columns), self.uniform + 1
        return cells, q, codes, drafts

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


@pytest.mark.law
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
