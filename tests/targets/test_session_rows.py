"""Several rows in one pass, against a recomputation of all slots ever read, each with what it saw then."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from helpers.passes import keep
from helpers.scattered import BATCHES, images_of
from helpers.sessions import CLOSE, GRIDS, model, session_of, texts
from spatialspec.core.grid import Grid
from spatialspec.core.proposal import ROOT, Proposal
from spatialspec.core.state import State
from spatialspec.core.step import Scores, Step, Verdict
from spatialspec.decode import decode
from spatialspec.targets.grid_model import AttentionInputs


class Replay:
    """One image, without a cache: every slot ever read is computed anew under an explicit mask.

    A written cell is read in every pass until the cell after it is written; the keys and values of that last reading
    are those that count. A slot sees the prefix, what counts and what is pending up to its own cell, and the drafts
    that it stands behind.
    """

    def __init__(self, grid: str, image: int) -> None:
        text, self.grid = texts(3)[2 * image : 2 * image + 2], Grid.parse(grid)
        self.prefix, self.told = (
            model().encode_text(text),
            model().conditioning(text, self.grid.rows, self.grid.columns),
        )
        self.cells: list[int] = []
        self.tokens: list[int] = []
        self.sees: list[set[int]] = []
        self.counts: dict[int, int] = {}  # written cell -> its slot
        self.written: dict[int, int] = {}
        self.first = 0  # slot of this pass
        self.most_rows = 0

    def check(self, state: State, proposal: Proposal, scores: Scores) -> None:
        written = set(self.written)
        assert {c for c in range(self.grid.cells) if state.token(c) is not None} == written
        assert set(state.pending) == written - set(self.counts) and len(set(state.pending)) == len(state.pending)
        assert not written or state.pending[0] == state.frontier - 1
        self.most_rows = max(self.most_rows, len({cell // self.grid.columns for cell in state.pending}))
        self.first = len(self.cells)
        for cell in state.pending:
            self._read(cell, self.written[cell], {self.first + i for i, c in enumerate(state.pending) if c <= cell})
        for cell, token, parent in zip(proposal.cells, proposal.tokens, proposal.parents, strict=True):
            sees = {self.first + i for i, c in enumerate(state.pending) if c <= cell}
            while parent != ROOT:
                sees.add(self.first + len(state.pending) + parent)
                parent = proposal.parents[parent]
            self._read(cell, token, {*sees, len(self.cells)})
        logits, hidden = self._recompute()
        rows = slice(-len(state.pending) - len(proposal) - (not state.pending), None)
        torch.testing.assert_close(scores.logits, logits[:, rows], **CLOSE)
        torch.testing.assert_close(scores.hidden, hidden[:, rows], **CLOSE)

    def _read(self, cell: int, token: int, sees: set[int]) -> None:
        self.cells.append(cell)
        self.tokens.append(token)
        self.sees.append(sees | {slot for c, slot in self.counts.items() if c < cell})

    def _recompute(self) -> tuple[Tensor, Tensor]:
        front, cells = self.prefix.shape[1], torch.tensor(self.cells, dtype=torch.long)
        body = model().code_embedding(torch.tensor(self.tokens, dtype=torch.long)) + self.told[:, cells + 1]
        x = torch.cat((self.prefix[:, :-1], self.prefix[:, -1:] + self.told[:, :1], body), dim=1)
        cos, sin = (turns[cells] for turns in model().rotations(self.grid.rows, self.grid.columns))
        still = cos.new_zeros(front, cos.shape[1])
        mask = torch.zeros(x.shape[1], x.shape[1], dtype=torch.bool)
        mask[:, :front] = torch.ones(len(mask), front).tril().bool()
        for slot, sees in enumerate(self.sees):
            mask[front + slot, [front + other for other in sees]] = True
        rotation = torch.cat((still + 1, cos))[None, None], torch.cat((still, sin))[None, None]
        hidden = model()(x, AttentionInputs(rotation, mask[None, None]))
        return model().head(hidden), hidden

    def write(self, state: State, proposal: Proposal, verdict: Verdict) -> None:
        fresh = dict(verdict.ahead)
        if verdict.token is not None:
            fresh[state.frontier + len(verdict.path)] = verdict.token
        accepted = [*verdict.path, *verdict.elsewhere]
        fresh |= {proposal.cells[node]: proposal.tokens[node] for node in accepted}
        assert not fresh.keys() & self.written.keys(), "written twice"
        assert len(fresh) == len(accepted) + len(verdict.ahead) + (verdict.token is not None)
        self.written |= fresh
        read = [*range(len(state.pending)), *(len(state.pending) + node for node in accepted)]
        for slot in (self.first + place for place in read):
            if (after := self.cells[slot] + 1) in self.written or after == self.grid.cells:
                self.counts[self.cells[slot]] = slot


class Watched:
    """A `GridSession` with a replay of every image beside it."""

    def __init__(self, grid: str, rows: Sequence[int]) -> None:
        self.session = session_of(grid, rows)
        self.open = self.all = [Replay(grid, row) for row in rows]
        self.ragged = 0

    def score(self, states: Sequence[State], proposals: Sequence[Proposal], *others: Any) -> list[Scores]:
        scored = self.session.score(states, proposals, *others)
        self.ragged += len({len(s.pending) + len(p) for s, p in zip(states, proposals, strict=True)}) > 1
        for replay, state, proposal, scores in zip(self.open, states, proposals, scored, strict=True):
            replay.check(state, proposal, scores)
        return scored

    def keep(self, index: int, step: Step) -> None:
        self.session.keep(index, step)
        self.open[index].write(step.before, step.proposal, step.verdict)

    def drop(self, images: Sequence[int]) -> None:
        self.session.drop(images)
        self.open = [replay for i, replay in enumerate(self.open) if i not in images]


@pytest.mark.parametrize("name", BATCHES)
@pytest.mark.parametrize("grid", GRIDS)
def test_rows_against_a_recomputation(grid: str, name: str) -> None:
    images, watched = images_of(grid, BATCHES[name]), Watched(grid, [0, 1, 2])
    for step in decode(watched, images):
        assert all(step.after.token(cell) is not None for cell in range(step.after.frontier))
    assert [list(image.state.tokens) for image in images] == [
        [replay.written[cell] for cell in range(image.state.layout.cells)]
        for image, replay in zip(images, watched.all, strict=True)
    ]
    assert watched.ragged and max(replay.most_rows for replay in watched.all) > 1, "the test has seen what it is for"


def test_one_open_cell_above_a_written_one() -> None:
    """A pass of one slot does not see what was written behind it."""
    shape, watched = Grid(2, 2), Watched("2x2", [0])
    state, verdicts = State(shape), [Verdict((), 1, ahead=((3, 2),)), Verdict((), 3), Verdict((), 4)]
    for verdict in verdicts:
        watched.score([state], [Proposal()])
        state = keep(watched, 0, state, Proposal(), verdict)
    assert state.tokens == (1, 3, 4, 2)


@pytest.mark.parametrize("grid", GRIDS)
def test_a_batch_is_its_images_alone(grid: str) -> None:
    methods = ("zipar:window=2@coupled", "pjd:context=1@coupled", "zipar:window=2:kind=adaptive@rejection")
    together = images_of(grid, methods)
    for _ in decode(session_of(grid, [0, 1, 2]), together):
        pass
    for row, image in enumerate(together):
        alone = images_of(grid, methods)[row]
        for _ in decode(session_of(grid, [row]), [alone]):
            pass
        assert alone.state == image.state
