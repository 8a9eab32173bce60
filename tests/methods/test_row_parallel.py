"""ZipAR and PJD: schedules by their pages in docs/papers, images complete, and exact where the rules are.

Chi-square tests are at a level of 1e-6 / (their number) / CAUTION, for the reason in `audit/chi_square.py`: a false
alarm anywhere in this file has odds below 2e-6. Seeds are fixed, hence so is every outcome.
"""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from helpers.passes import scores_of
from helpers.sight import Fickle, Seen, Settled, Sight, run
from helpers.toys import REPLICAS, CachedSampling, TableNoise, check_law, table
from spatialspec.audit.chi_square import CAUTION
from spatialspec.core.context import DecodeContext
from spatialspec.core.grid import Grid
from spatialspec.core.noise import Noise
from spatialspec.core.proposal import ROOT, Proposal
from spatialspec.core.sampling import Sampling
from spatialspec.core.state import State
from spatialspec.methods.pjd import PJDOptions, RowByRow
from spatialspec.methods.rejection import Rejection

ALL = CachedSampling(guidance=1.5, temperature=0.7, top_k=3, top_p=0.95)
GUIDED, COOL, TOP_P = (
    CachedSampling(guidance=2.0),
    CachedSampling(temperature=0.7),
    CachedSampling(temperature=1.3, top_p=0.8),
)
ODD = ("1x1", "1x5", "5x1", "2x5", "7x4", "4x7")
RULES = ("coupled", "rejection")


@pytest.mark.parametrize(("window", "passes"), [(4, 116), (8, 208), (12, 300), (16, 392), (24, 576)])
def test_zipar_passes_of_the_page(window: int, passes: int) -> None:
    seen, _ = run(f"zipar:window={window}", "coupled", "24x24", Sight())
    assert len(seen) == passes
    assert max(len(one.before.pending) for one in seen) <= -(-24 // window) + 1, "open rows, and one that has ended"


@pytest.mark.parametrize("grid", ODD)
@pytest.mark.parametrize("rule", RULES)
def test_zipar_writes_every_cell_in_its_pass(grid: str, rule: str) -> None:
    """Cell j of row i in pass i s + j + 1, so C + (R - 1) s in all; windows wider than the grid are AR."""
    rows, columns = map(int, grid.split("x"))
    for window in range(1, columns + 3):
        s = min(window, columns)
        seen, when = run(f"zipar:window={window}", rule, grid, Sight())
        assert when == [i * s + j + 1 for i in range(rows) for j in range(columns)]
        assert len(seen) == columns + (rows - 1) * s
        assert all(len(one.step.proposal) == 0 for one in seen) or s < columns


@pytest.mark.parametrize("window", [2, 3, 5])
def test_zipar_placeholders_are_near(window: int) -> None:
    """One for each row's first cell, with the token of a written cell nearest to the place it stands in."""
    seen, _ = run(f"zipar:window={window}", "coupled", "7x7", Sight(50))
    with_node = [one for one in seen if len(one.step.proposal)]
    assert [one.step.proposal.cells for one in with_node] == [[7 * i + 6] for i in range(6)]
    for one in with_node:
        (cell,), (token,) = one.step.proposal.cells, one.step.proposal.tokens
        written = [c for c in range(49) if one.before.token(c) is not None]
        far = {c: cell // 7 - c // 7 + abs(cell % 7 - c % 7) for c in written}
        assert token in {one.before.token(c) for c in written if far[c] == min(far.values())}
        assert one.step.proposal.parents == [ROOT]


def gaps(when: list[int], grid: str) -> list[int]:
    """w_i for i = 1 .. R - 1; every later cell of a row follows the one before in the next pass."""
    rows, columns = map(int, grid.split("x"))
    starts = [when[i * columns] for i in range(rows)]
    assert when == [start + j for start in starts for j in range(columns)]
    return [below - start for start, below in pairwise(starts)]


@pytest.mark.parametrize("grid", ODD)
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("window", [1, 2, 4, 9])
def test_zipar_adaptive(grid: str, rule: str, window: int) -> None:
    """C + sum of w_i passes, min(s_min + 1, C) <= w_i <= C: the least if no test fails, the most if all do."""
    rows, columns = map(int, grid.split("x"))
    least = min(window + 1, columns)
    for session, bounds in ((Sight(), (least, columns)), (Settled(), (least, least)), (Fickle(), (columns, columns))):
        seen, when = run(f"zipar:window={window}:kind=adaptive", rule, grid, session)
        found = gaps(when, grid)
        assert len(found) == rows - 1 and all(bounds[0] <= w <= bounds[1] for w in found)
        assert len(seen) == columns + sum(found)
        placeholders = {(*one.step.proposal.cells, *one.step.proposal.tokens) for one in seen if len(one.step.proposal)}
        assert len({cell for cell, _ in placeholders}) == len(placeholders), "not changed while a row waits"


def test_zipar_adaptive_rows_wait_differently() -> None:
    for rule in RULES:
        _, when = run("zipar:window=2:kind=adaptive", rule, "8x9", Sight(8), seed=1)
        assert len(set(gaps(when, "8x9"))) > 2


def counts(state: State) -> list[int]:
    """Written cells of every row, which have no gaps."""
    columns, found = state.layout.columns, []
    for row in range(state.layout.rows):
        there = [state.token(row * columns + j) is not None for j in range(columns)]
        assert there == sorted(there, reverse=True)
        found.append(sum(there))
    return found


def follow_pjd(passes: list[Seen], noise: Noise, c: int, w: int) -> int:
    """Check every pass under coupled noise against the page; return how often a lower row gained nothing."""
    columns = noise.cells // passes[0].before.layout.rows
    left: dict[int, int] = {}  # drafts that the last pass left over
    idle = 0
    for one in passes:
        state, nodes = one.before, one.step.proposal
        places = [*(state.pending or (-1,)), *nodes.cells]
        named = (one.p.log() + noise.gumbel([cell + 1 for cell in places])).argmax(-1).tolist()
        names = {cell + 1: token for cell, token in zip(places, named, strict=True)}
        drafts = dict(zip(nodes.cells, nodes.tokens, strict=True))
        have, expected, new, above = counts(state), {}, {}, columns
        for row, n in enumerate(have):
            if n == columns or not state.frontier:
                continue
            if above < min(c, columns):
                break
            length = min(w, columns - n - 1) if above == columns else min(w, above - n)
            cells = [row * columns + n + j for j in range(length)]
            if above < columns and n == 0:
                expected[row * columns - 1] = None  # the placeholder
            expected |= {cell: left.get(cell) for cell in cells}
            stay = next((k for k, cell in enumerate(cells) if drafts[cell] != names[cell]), length)
            idle += above < columns and stay == 0
            new |= {cell: drafts[cell] for cell in cells[:stay]}
            if above == columns:
                new[row * columns + n + stay] = names[row * columns + n + stay]
            above = n
        assert drafts.keys() == expected.keys()
        assert all(token in (None, drafts[cell]) for cell, token in expected.items())
        after = one.step.after
        wrote = {t: after.token(t) for t in range(noise.cells) if state.token(t) is None and after.token(t) is not None}
        assert wrote == (new if state.frontier else {0: names[0]})
        left = {cell: token for cell, token in names.items() if cell < noise.cells and after.token(cell) is None}
    return idle


@pytest.mark.parametrize("grid", [*ODD, "6x6"])
@pytest.mark.parametrize(("c", "w"), [(1, 2), (2, 7), (3, 1), (9, 3)])
def test_pjd_follows_its_page(grid: str, c: int, w: int) -> None:
    idle = 0
    for session in (Sight(2), Sight(1)):
        passes, _ = run(f"pjd:context={c}:width={w}", "coupled", grid, session, seed=3)
        cells = passes[0].before.layout.cells
        idle += follow_pjd(passes, Noise(3, cells, session.vocabulary), c, w)
        assert len(passes) <= cells
    assert idle or grid != "6x6" or c > 3, "the test has seen a row wait"


@pytest.mark.parametrize("grid", ODD)
@pytest.mark.parametrize("c", [1, 2, 9])
def test_pjd_under_rejection(grid: str, c: int) -> None:
    """Complete, no cell twice, a row never ahead of the one above it, the top row further in every pass."""
    passes, _ = run(f"pjd:context={c}:width=3", "rejection", grid, Sight(3))
    for one in passes:
        have = counts(one.step.after)
        assert have == sorted(have, reverse=True)
        assert one.step.after.frontier > one.before.frontier


def test_pjd_lower_rows_draw_nothing_of_their_own() -> None:
    """A draft of q stays in a lower row as often as p and q overlap: five standard deviations, odds 6e-7."""
    p, q = torch.tensor([0.5, 0.2, 0.2, 0.1]), torch.tensor([0.1, 0.2, 0.3, 0.4])
    state = State(Grid(2, 3), (0,), 1, (0, 3), {3: 1})
    stayed, trials = 0, REPLICAS
    for seed in range(trials):
        noise = TableNoise(seed, table(4, 6))
        context = DecodeContext(Sight(), [], Sampling(), state.layout, noise)  # type: ignore[arg-type]
        judge = RowByRow(context, PJDOptions(), Rejection(noise))
        (draft,) = judge.draw(q[None], [0], [4], 0).tolist()
        proposal = Proposal([1, 4], [0, draft], [ROOT, ROOT], {0: [(0, 0), (1, 1)]}, torch.stack((p, q)))
        verdict = judge.verify(proposal, scores_of(p.expand(4, 4)), state)
        assert verdict.path == (0,) and verdict.token is not None and not verdict.ahead
        assert verdict.elsewhere in ((), (1,))
        stayed += bool(verdict.elsewhere)
    share = float(torch.minimum(p, q).sum())
    assert abs(stayed - trials * share) < 5 * (trials * share * (1 - share)) ** 0.5


EXACT = [  # method, sampling, grid, vocabulary, deviation of the toy
    ("zipar:window=2", ALL, "3x2", 4, 0.7),
    ("zipar:window=1:kind=adaptive", GUIDED, "3x2", 4, 1.0),
    ("pjd:context=3", COOL, "2x3", 3, 0.7),
    ("pjd", TOP_P, "1x6", 3, 0.7),
]
LEVEL = 1e-6 / len(EXACT) / CAUTION


@pytest.mark.law
@pytest.mark.parametrize(("method", "sampling", "grid", "vocabulary", "deviation"), EXACT)
def test_exact_limits(method: str, sampling: Sampling, grid: str, vocabulary: int, deviation: float) -> None:
    """No cell is written early: the target's law under rejection, AR's very tokens under coupled noise."""
    check_law(method, sampling, grid, vocabulary, deviation, LEVEL, turns=6)


@pytest.mark.parametrize("method", ["zipar:window=2", "zipar:window=2:kind=adaptive", "pjd:context=2:width=3"])
@pytest.mark.parametrize("rule", RULES)
def test_saved_tokens_are_gone_on_from(method: str, rule: str) -> None:
    """The first cells stay as they were, wherever in a row they end; rows are opened again from there."""
    whole = run(method, rule, "5x4", Sight())[0][-1].step.after.tokens
    for length in (1, 3, 4, 6, 17, 19):
        passes, when = run(method, rule, "5x4", Sight(), written=whole[:length])
        assert when[:length] == [1] * length and min(when[length:]) > 1
        assert passes[-1].step.after.tokens[:length] == whole[:length]
