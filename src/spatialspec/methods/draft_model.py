"""A draft model that follows an image: a smaller model with the same image tokens, with a cache of its own.

A pass of it reads committed tokens that it has not read and a proposal behind them, and commits the former: its state
follows that of the image. The same pass may read the proposal of the target's last pass too, as further branches. The
images of a batch share its passes; they join it and leave it as they join and leave the batch.

Correction. The target has scored a cell after other tokens than now: p'. The draft model knows what the change of
tokens changes, from its own distributions q' then and q now, as in parareal integration, where a coarse model carries
the change and the fine one the state:

    r = normalise(p' (q / q')^w)

| variable | symbol |
|---|---|
| `Follower.q`, `Follower.earlier` | q and q', distributions after the slots of both proposals |
| `WEIGHTS` | w by the number of equal tokens right before the cell; the last one for more |
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from spatialspec.core.clock import DraftCost
from spatialspec.core.context import DecodeContext
from spatialspec.core.errors import BadInput, NotFinite
from spatialspec.core.interfaces import Head, Session, Target
from spatialspec.core.proposal import ROOT, Proposal
from spatialspec.core.sampler import Sampler
from spatialspec.core.state import State
from spatialspec.core.step import Scores, Step, Verdict

SAME = 0.01  # relative difference of codebooks that rounding explains
WEIGHTS = (0.8, 0.5, 0.3)
LEAST = 1e-9  # smaller probabilities count as this in ratios
ADVICE = "give a model of the same family, with the same image tokenizer and sizes"


def weight(equal: int) -> float:
    """w of a cell after this many equal tokens."""
    return WEIGHTS[min(equal, len(WEIGHTS) - 1)]


def corrected(
    p: Float[Tensor, "N V"], q: Float[Tensor, "N V"], earlier: Float[Tensor, "N V"], w: Float[Tensor, "N"]
) -> Float[Tensor, "N V"]:
    """r, from p', q, q' and w of every cell."""
    r = p * (q.clamp(min=LEAST) / earlier.clamp(min=LEAST)) ** w[:, None]
    return r / r.sum(-1, keepdim=True)


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


class Follower:
    """The draft model of one image.

    Args:
        context: of the image.

    Attributes:
        committed: tokens of the image.
        guesses: proposal that the next pass reads behind them; None where the image takes no part in it.
        last: proposal of the target's last pass, to be read by the next one too; None for none.
        q: the distribution after every slot of `guesses`, of the last pass.
        earlier: the distribution after every slot of `last`, of the last pass that read one.
        cost: passes so far.

    Raises:
        BadInput: there is no draft model, or it draws other cells.
    """

    def __init__(self, context: DecodeContext) -> None:
        models = [part.target for part in context.drafts if isinstance(part, DraftTarget)]
        if not models:
            advice = "give --draft-model, or draft_model= in Python, or use a method that needs none"
            raise BadInput("no draft model", "a smaller model with the same image tokens", advice)
        self.model, self.context = models[0], context
        layout = self.model.layout(context.layout.grids[-1])
        if layout != context.layout:
            raise BadInput(f"the draft model {self.model.name}, which draws {layout}", str(context.layout), ADVICE)
        self.sampler, self.cost = Sampler(context.sampling), DraftCost()
        self.group: Group | None = None
        self.state = State(context.layout)  # of the draft model: what it has read
        self.committed: tuple[int, ...] = ()
        self.guesses: Proposal | None = None
        self.last: Proposal | None = None
        self.q = self.earlier = torch.empty(0)
        self._slots: tuple[list[int], list[int]] = [], []  # of `guesses` and of `last` in the pass

    def start(self, group: Group) -> Session:
        """Join a group, with a session of the draft model that has read nothing; BadInput if it cannot draw this."""
        assert self.context.request is not None, "nothing is decoded"
        self.group, self.state = group, State(self.context.layout)
        try:
            return self.context.request.session(self.model)
        except BadInput as error:
            error.where, error.advice = f"the draft model {self.model.name}", error.advice or ADVICE
            raise

    def tree(self) -> Proposal:
        """What the next pass reads; nothing where the image takes no part in it."""
        tree, up = Proposal(), ROOT
        if self.guesses is None:
            return tree
        earlier = [0] if self.last is None else _graft(tree, self.last, ROOT)
        for cell, token in enumerate(self.committed[self.state.frontier :], self.state.frontier):
            up = tree.add(cell, token, up)
        self._slots = _graft(tree, self.guesses, up), earlier
        return tree

    def read(self, tree: Proposal, scores: Scores) -> Step:
        """Take the distributions of a pass; return the pass, which commits what was unread."""
        slots, earlier = self._slots
        self.q = scores.p[slots]
        if self.last is not None:
            self.earlier, self.last = scores.p[earlier], None
        if not bool(self.q.isfinite().all() and self.earlier.isfinite().all()):
            first, last = len(self.committed), max(tree.cells, default=-1) + 1
            raise NotFinite(f"scores of cells {first} to {last} by the draft model", self.state.passes)
        path = list[int]()  # from the last committed node up
        node = slots[0] - 1
        while node != ROOT:
            path.append(node)
            node = tree.parents[node]
        step = Step.of(0, self.state, tree, scores, Verdict(tuple(reversed(path))))
        self.state = step.after
        return step


def _graft(tree: Proposal, part: Proposal, root: int) -> list[int]:
    """Add a proposal to a tree, behind a node or ROOT; return the slots of its slots."""
    nodes = [root]
    for cell, token, parent in zip(part.cells, part.tokens, part.parents, strict=True):
        nodes.append(tree.add(cell, token, nodes[parent + 1]))
    return [node + 1 for node in nodes]


class Group:
    """Images that share the passes of a draft model, in the order of its session."""

    def __init__(self) -> None:
        self.members: list[Follower] = []
        self.session: Session | None = None

    @classmethod
    def of(cls, followers: Sequence[Follower]) -> Group:
        """The group of these images: those of its members that are not among them have left, and new ones join."""
        group = next((one.group for one in followers if one.group is not None), None) or cls()
        gone = [index for index, member in enumerate(group.members) if member not in followers]
        group.members = [member for member in group.members if member in followers]
        if not group.members:
            group.session = None
        elif gone and group.session is not None:
            group.session.drop(gone)
        for follower in followers:
            if follower.group is not group:
                session = follower.start(group)
                if group.session is None:
                    group.session = session
                else:
                    group.session.admit(session)
                group.members.append(follower)
        return group

    def run(self) -> None:
        """One pass of the draft model, for the members with guesses."""
        assert self.session is not None
        start, trees = time.perf_counter(), [member.tree() for member in self.members]
        states, samplers = [one.state for one in self.members], [one.sampler for one in self.members]
        reading = [member for member in self.members if member.guesses is not None]
        for index, scores in enumerate(self.session.score(states, trees, (), samplers)):
            if self.members[index].guesses is not None:
                self.session.keep(index, self.members[index].read(trees[index], scores))
        share = (time.perf_counter() - start) / len(reading)
        for member, tree in zip(self.members, trees, strict=True):
            if member.guesses is not None:
                member.cost.add(1 + len(tree), share)
