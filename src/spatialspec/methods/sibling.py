"""A sibling as the drafter: a smaller model with the same image tokens guesses a window, which its own passes refine.

    x_i, i = f .. f+n-1    the window of the last pass; new cells copy a neighbour
    `runs` times:          q_i = draft model(. | x_<i);  r_i = q_i, or corrected as below;  x_i ~ r_i, noise of cell i
    proposal               the chain x, with r where rejection tests it

Speculative decoding with a small model (Leviathan et al., 2023), its chain drawn side by side by Jacobi iterations.

Correction: cell i was scored by the target's last pass, after other tokens x'_<i. There p'_i knows the target, and q
knows what the change of tokens changes:

    r_i = normalise(p'_i (q_i / q'_i)^w),   q'_i the draft model's distribution at that time

Exactness. The noise of a cell is the same in all runs and passes. q_i, q'_i and p'_i are functions of what is committed
and of tokens before cell i, and no decision about a cell before i has looked at the noise of cell i. So x_i is a sample
of r_i, independent of what decides r_i and the cells before it, as rejection asks; coupled noise takes any guess.

Cache. The draft model reads committed tokens and the window in one pass and commits the former: its state follows that
of the image. All images of a batch share its passes; they join it and leave it as they join and leave the batch.

| variable | symbol |
|---|---|
| `length` | n + 1, as in `jacobi` |
| `self.last` | x', p' and q' |
| `WEIGHTS` | w by the number of equal tokens right before the cell; 0 where all are equal |
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple, Self

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from spatialspec.core.clock import DraftCost
from spatialspec.core.context import DecodeContext
from spatialspec.core.errors import BadInput, NotFinite
from spatialspec.core.interfaces import Drafter, Head, Session, Target, Verifier
from spatialspec.core.proposal import Proposal
from spatialspec.core.sampler import Sampler
from spatialspec.core.state import State
from spatialspec.core.step import Scores, Step, Verdict
from spatialspec.methods.method import Method
from spatialspec.methods.options import LARGEST, Slotted, Tolerance

SAME = 0.01  # relative difference of codebooks that rounding explains
WEIGHTS = (0.8, 0.5, 0.3)
LEAST = 1e-9  # smaller probabilities count as this in ratios
ADVICE = "give a model of the same family, with the same image tokenizer and sizes"


class SiblingOptions(Slotted, Tolerance):
    """Length of the window, and passes of the draft model."""

    follows = "length", 0
    length: int = Field(
        default=32, ge=2, le=LARGEST, description="slots of a pass L: the pending token and L - 1 drafts"
    )
    runs: int = Field(default=1, ge=1, le=LARGEST, description="passes of the draft model per pass of the target")


class DraftTarget(nn.Module):
    """A target that drafts for another one.

    Args:
        target: the draft model.
        large: the target that it drafts for.

    Raises:
        BadInput: their image tokens differ.
    """

    def __init__(self, target: Target, large: Head) -> None:
        super().__init__()
        if target.vocabulary != large.vocabulary:
            got = f"the draft model {target.name} with {target.vocabulary} image tokens"
            raise BadInput(got, f"{large.vocabulary}, as the target has", ADVICE)
        codes, others = large.codebook.float(), target.codebook.to(large.codebook.device).float()
        if codes.shape != others.shape or not (codes - others).norm() <= SAME * codes.norm():  # NaN is not the same
            raise BadInput(f"the draft model {target.name} with another codebook", "that of the target", ADVICE)
        self.target, self.networks = target, nn.ModuleList(target.networks)


class _Last(NamedTuple):
    """The last pass of the target.

    Attributes:
        first: its first open cell.
        tokens: that it read from there on, x'.
        p: its distributions from there on.
        q: those of the draft model, of the last run before it.
    """

    first: int
    tokens: Sequence[int]
    p: Float[Tensor, "N V"]
    q: Float[Tensor, "n V"]

    def weights(self, tokens: Sequence[int], cells: range) -> list[float]:
        """w of cells behind these tokens, which begin at `first`."""
        same = [a == b for a, b in zip(self.tokens, tokens, strict=False)]
        weights = []
        for index in (cell - self.first for cell in cells):
            equal = next((n for n in range(index) if not same[index - 1 - n]), None)
            weights.append(0.0 if equal is None else WEIGHTS[min(equal, len(WEIGHTS) - 1)])
        return weights


class _Group:
    """Images that share the passes of a draft model, in the order of its session."""

    def __init__(self) -> None:
        self.members: list[Sibling] = []
        self.session: Session | None = None

    def gather(self, drafters: Sequence[Sibling]) -> None:
        """Drop images that are not among these, and admit those that are new."""
        gone = [index for index, member in enumerate(self.members) if member not in drafters]
        self.members = [member for member in self.members if member in drafters]
        if not self.members:
            self.session = None
        elif gone and self.session is not None:
            self.session.drop(gone)
        for drafter in drafters:
            if drafter.group is not self:
                session = drafter.start(self)
                if self.session is None:
                    self.session = session
                else:
                    self.session.admit(session)
                self.members.append(drafter)

    def run(self, number: int) -> None:
        """Run number `number` of this pass; an image that has made all of its own has no guesses in it."""
        assert self.session is not None
        start, active = time.perf_counter(), [number < member.options.runs for member in self.members]
        proposals = [one.window() if on else Proposal() for one, on in zip(self.members, active, strict=True)]
        states, samplers = [one.state for one in self.members], [one.sampler for one in self.members]
        for index, scores in enumerate(self.session.score(states, proposals, (), samplers)):
            if active[index]:
                self.session.keep(index, self.members[index].refine(proposals[index], scores))
        share = (time.perf_counter() - start) / sum(active)
        for member, on, proposal in zip(self.members, active, proposals, strict=True):
            if on:
                member.cost.add(1 + len(proposal), share)


class Sibling(Drafter):
    """The drafter of one image.

    Raises:
        BadInput: there is no draft model, or it draws other cells.
    """

    drafts_first_cell, first_source = True, "other"
    cost: DraftCost

    def __init__(self, context: DecodeContext, options: SiblingOptions, verifier: Verifier) -> None:
        models = [part.target for part in context.drafts if isinstance(part, DraftTarget)]
        if not models:
            advice = "give --draft-model, or draft_model= in Python, or use a method that needs none"
            raise BadInput("no draft model", "a smaller model with the same image tokens", advice)
        self.model, self.context, self.options, self.verifier = models[0], context, options, verifier
        layout = self.model.layout(context.layout.grids[-1])
        if layout != context.layout:
            raise BadInput(f"the draft model {self.model.name}, which draws {layout}", str(context.layout), ADVICE)
        self.sampler, self.cost = Sampler(context.sampling), DraftCost()
        self.group: _Group | None = None
        self.state = State(context.layout)  # of the draft model: what it has read
        self.committed: tuple[int, ...] = ()
        self.tokens: list[int] = []  # x, from the first open cell on
        self.r = self.q = torch.empty(0)
        self.last: _Last | None = None

    def start(self, group: _Group) -> Session:
        """Join a group, with a session of the draft model that has read nothing; BadInput if it cannot draw this."""
        assert self.context.request is not None, "nothing is decoded"
        self.group, self.state = group, State(self.context.layout)
        try:
            return self.context.request.session(self.model)
        except BadInput as error:
            error.where, error.advice = f"the draft model {self.model.name}", error.advice or ADVICE
            raise

    @classmethod
    def prepare(cls, drafters: Sequence[Self], states: Sequence[State]) -> None:
        """The passes of the draft model, for all images together."""
        group = next((drafter.group for drafter in drafters if drafter.group is not None), None) or _Group()
        group.gather(drafters)
        for drafter, state in zip(drafters, states, strict=True):
            drafter.follow(state)
        for number in range(max(drafter.options.runs for drafter in drafters)):
            group.run(number)

    def follow(self, state: State) -> None:
        """Move the window to the first open cell; new cells copy a neighbour."""
        layout, written = self.context.layout, [*state.tokens, *self.tokens]
        for cell in range(len(written), min(state.frontier + self.options.length - 1, layout.cells)):
            written.append(written[layout.neighbour(cell)] if cell else 0)
        self.committed, self.tokens = state.tokens, written[state.frontier :]

    def window(self) -> Proposal:
        """What a run reads: committed tokens that the draft model has not read, then the window but its last cell."""
        unread = self.committed[self.state.frontier :]
        return Proposal.chain(self.state.frontier, [*unread, *self.tokens[:-1]])

    def refine(self, proposal: Proposal, scores: Scores) -> Step:
        """Draw the window from the distributions of a run; return the pass, which commits what was unread."""
        frontier, unread = len(self.committed), len(self.committed) - self.state.frontier
        cells = range(frontier, frontier + len(self.tokens))
        self.q = scores.p[unread : unread + len(cells)].clone()
        if not bool(self.q.isfinite().all()):
            raise NotFinite(f"scores of cells {frontier} to {cells[-1]} by the draft model", self.state.passes)
        self.r = self.corrected(cells)
        self.tokens = self.verifier.draw(self.r, range(len(cells)), cells, 0).tolist()  # 0: the same noise always
        step = Step.of(0, self.state, proposal, scores, Verdict(tuple(range(unread))))
        self.state = step.after
        return step

    def corrected(self, cells: range) -> Float[Tensor, "n V"]:
        """r of the window."""
        if self.last is None:
            return self.q
        first, _, p, before = self.last
        known = range(cells.start, min(cells.stop, first + len(before)))  # cells that p' and q' have
        rows, q = slice(known.start - first, known.stop - first), self.q[: len(known)]
        w = q.new_tensor(self.last.weights([*self.committed[first:], *self.tokens], known))[:, None]
        r = p[rows] * (q.clamp(min=LEAST) / before[rows].clamp(min=LEAST)) ** w
        return torch.cat((r / r.sum(-1, keepdim=True), self.q[len(known) :]))

    def propose(self, state: State) -> Proposal:
        """The window as a chain."""
        return Proposal.chain(state.frontier, self.tokens, self.r)

    def observe(self, step: Step) -> None:
        """Take over the target's tokens of open cells, where the rule computes them, and what it read and found."""
        first, proposal, left = step.before.frontier, step.proposal, self.context.layout.cells - step.before.frontier
        refined = proposal.tokens if step.verdict.refined is None else step.verdict.refined
        self.tokens = list(refined[:left][len(step.written) :])
        self.last = None if proposal.final else _Last(first, proposal.tokens, step.p[:left].clone(), self.q)


METHOD = Method(
    "sibling", "a smaller model with the same image tokens, --draft-model, guesses a window that its passes refine",
    SiblingOptions(), Sibling, variants=("length=3:runs=2", "slots=4"),
)  # fmt: skip
