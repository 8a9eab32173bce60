"""Several rows of the picture in one pass of a language model, against a recomputation of all slots ever read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from helpers.language import Toy
from helpers.scattered import BATCHES, images_of
from spatialspec.audit.toys import parse
from spatialspec.core.grid import Layout
from spatialspec.core.proposal import ROOT, Proposal
from spatialspec.core.state import State
from spatialspec.core.step import Scores, Step, Verdict
from spatialspec.decode import decode

CLOSE = {"atol": 1e-5, "rtol": 0.0}


class Replay:
    """One image, both streams, without a cache.

    A written cell is read, with the forced tokens behind it, in every pass until the cell after it is written; the last
    reading counts. A slot sees the prompt, what counts and what is pending at places up to its own, and its branch.
    """

    def __init__(self, toy: Toy, layout: Layout, image: int, forced: int) -> None:
        self.toy, self.layout, self.image, self.forced = toy, layout, image, forced
        self.slots: list[tuple[int, Tensor, set[int]]] = []  # place, embedding, slots that it sees
        self.counts: dict[int, list[int]] = {}  # written cell -> its slots
        self.written: dict[int, int] = {}
        self.last: dict[int, list[int]] = {}  # cell -> its slots of this pass, of those that may stay

    def read(self, cell: int, token: int, sees: set[int]) -> list[int]:
        """Read a cell and what the layout dictates behind it."""
        parts = [self.toy.embed(torch.tensor([token]))[0]]
        if cell + 1 < self.layout.cells:
            parts += self.toy.behind(*self.layout.locate(cell), self.forced)
        start = sum(1 + len(self.toy.behind(*self.layout.locate(other), self.forced)) for other in range(cell))
        made: list[int] = []
        for step, part in enumerate(parts):
            place = start + step
            older = {slot for slots in self.counts.values() for slot in slots if self.slots[slot][0] < place}
            made.append(len(self.slots))
            self.slots.append((place, part, older | sees | set(made)))
        return made

    def check(self, state: State, proposal: Proposal, scores: Scores) -> None:
        pending: dict[int, list[int]] = {}
        self.last, rows = {}, [] if state.pending else [-1]
        for cell in sorted(state.pending):
            token = state.token(cell)
            assert token is not None and token == self.written[cell]
            pending[cell] = self.read(cell, token, {slot for slots in pending.values() for slot in slots})
        for cell in state.pending:
            rows.append(pending[cell][-1])
        nodes: list[list[int]] = []
        for cell, token, parent in zip(proposal.cells, proposal.tokens, proposal.parents, strict=True):
            sees = {slot for c, slots in pending.items() if c <= cell for slot in slots}
            while parent != ROOT:
                sees |= set(nodes[parent])
                parent = proposal.parents[parent]
            nodes.append(self.read(cell, token, sees))
            rows.append(nodes[-1][-1])
        self.pending, self.nodes = pending, nodes
        for stream in range(2):
            hidden = self.recompute(2 * self.image + stream)
            prompt = len(hidden) - len(self.slots)
            expected = hidden[[prompt + row for row in rows]]
            torch.testing.assert_close(scores.hidden[stream], expected, **CLOSE)
            torch.testing.assert_close(scores.logits[stream], self.toy.output(self.toy.norm(expected)), **CLOSE)

    def recompute(self, row: int) -> Tensor:
        prompt = self.toy.prompt(row)
        first, seen = len(prompt), []
        x = torch.stack([*prompt, *(part for _, part, _ in self.slots)])[None]
        mask = torch.zeros(1, 1, x.shape[1], x.shape[1], dtype=torch.bool)
        mask[..., :first] = torch.ones(x.shape[1], first).tril().bool()
        for slot, (_, _, sees) in enumerate(self.slots):
            mask[0, 0, first + slot, [first + other for other in sees]] = True
        positions = torch.tensor([[*range(first), *(first + place for place, _, _ in self.slots)]])
        hook = self.toy.model.norm.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
        self.toy.model(inputs_embeds=x, attention_mask=mask, position_ids=positions, use_cache=False)
        hook.remove()
        return seen[0][0]

    def write(self, state: State, proposal: Proposal, verdict: Verdict) -> None:
        if verdict.token is not None:
            self.written[state.frontier + len(verdict.path)] = verdict.token
        self.written |= dict(verdict.ahead)
        accepted = [*verdict.path, *verdict.elsewhere]
        self.written |= {proposal.cells[node]: proposal.tokens[node] for node in accepted}
        read = self.pending | {proposal.cells[node]: self.nodes[node] for node in accepted}
        for cell, slots in read.items():
            if cell + 1 in self.written or cell + 1 == self.layout.cells:
                self.counts[cell] = slots


class Watched:
    """A session with a replay of every image beside it."""

    def __init__(self, toy: Toy, layout: Layout, images: list[int], forced: int) -> None:
        self.session = toy.session(layout, images, forced)
        self.open = [Replay(toy, layout, image, forced) for image in images]
        self.rows = 0

    def score(self, states: Sequence[State], proposals: Sequence[Proposal], *others: Any) -> list[Scores]:
        scored = self.session.score(states, proposals, *others)
        for replay, state, proposal, scores in zip(self.open, states, proposals, scored, strict=True):
            replay.check(state, proposal, scores)
            rows = {(grid, index // grid.columns) for grid, index in map(state.layout.locate, state.pending)}
            self.rows = max(self.rows, len(rows))
        return scored

    def keep(self, index: int, step: Step) -> None:
        self.session.keep(index, step)
        self.open[index].write(step.before, step.proposal, step.verdict)

    def drop(self, images: Sequence[int]) -> None:
        self.session.drop(images)
        self.open = [replay for i, replay in enumerate(self.open) if i not in images]


@pytest.mark.parametrize("name", BATCHES)
@pytest.mark.parametrize(("grid", "forced"), [("3x4", 0), ("3x4", 1), ("3x4", 2), ("2x3+3x4", 0), ("3x4+2x3", 1)])
def test_rows_against_a_recomputation(grid: str, forced: int, name: str) -> None:
    toy = Toy("llama")
    images, watched = images_of(grid, BATCHES[name]), Watched(toy, parse(grid), [0, 1, 2], forced)
    for step in decode(watched, images):
        assert all(step.after.token(cell) is not None for cell in range(step.after.frontier))
    assert all(image.state.complete for image in images) and watched.rows > 1, "the test has seen what it is for"
