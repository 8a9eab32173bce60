"""One record of a pass, handed to drafters and watchers; what the loop says once for all methods."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from functools import partial

import pytest
from torch import Tensor

from helpers.toys import ToySession, ToyTarget, Trial, noise_of
from spatialspec.core.proposal import Proposal
from spatialspec.core.sampling import Sampling
from spatialspec.core.state import State
from spatialspec.core.step import Scores, Step, Verdict
from spatialspec.decode import Image, decode
from spatialspec.methods.ar import AR
from spatialspec.methods.coupled import Coupled
from spatialspec.methods.registry import methods

SAMPLING = Sampling(guidance=2.0, temperature=0.9)
METHODS = ["ar", "hawk", "ssd", "jacobi", "sjd", "sjd-pac", "spatial", "spatial-model", "pjd"]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.unchecked
def test_a_pass_is_handed_on_whole_and_kept_by_nobody(method: str) -> None:
    """Drafters and whoever watches get all scores of a pass; of passes before the last, nobody holds any."""
    target, rule = ToyTarget.random("4x4", 4, 3), methods()[method].rule_under("coupled")
    image = Trial(method, rule, SAMPLING, target, count=5).image(noise_of(target))
    observed: list[Step] = []
    image.drafter.observe = partial(_first, observed.append, image.drafter.observe)  # type: ignore[method-assign]
    alive: list[list[weakref.ref[Tensor]]] = []
    for step in decode(ToySession(target, 2), [image]):
        assert observed.pop() is step and not observed
        slots = max(1, len(step.before.pending)) + len(step.proposal)
        assert step.p.shape == (slots, target.vocabulary) and step.scores.logits.shape[:2] == (2, slots)
        assert step.after is image.state and step.before.passes + 1 == step.after.passes
        tensors = [step.p]
        alive.append([weakref.ref(tensor) for tensor in tensors])
        del step, tensors
        assert not any(tensor() is not None for earlier in alive[:-1] for tensor in earlier)
    assert len(alive) == image.state.passes > 4


def _first(first: Callable[[Step], None], then: Callable[[Step], None], step: Step) -> None:
    first(step)
    then(step)


class Unasked(Coupled):
    """Fails if it is asked for a final block."""

    def verify(self, proposal: Proposal, scores: Scores, state: State) -> Verdict:
        assert not proposal.final
        return super().verify(proposal, scores, state)


class Final(AR):
    """Wrong tokens, final in every second pass."""

    def propose(self, state: State) -> Proposal:
        rest = state.layout.cells - state.frontier
        return Proposal.chain(state.frontier, [3, 3, 3][:rest], final=bool(state.passes % 2))


def test_a_final_block_is_committed_as_it_stands() -> None:
    """No verifier is asked, no token of the target's is written behind it, and nothing is refined."""
    target = ToyTarget.random("4x4", 4, 3)
    image = Image(State(target.grid), Final(), Unasked(noise_of(target)), SAMPLING)
    steps = list(decode(ToySession(target, 2), [image]))
    final = [step for step in steps if step.proposal.final]
    assert len(final) > 2 and all(step.written == step.proposal.tokens for step in final)
    assert all(step.verdict == Verdict(tuple(range(len(step.proposal)))) for step in final)
    assert image.state.complete and len(final) < len(steps)


class Eager(AR):
    """Counts how often it is asked, and where it is first."""

    def __init__(self, first: bool) -> None:
        self.drafts_first_cell, self.asked = first, list[int]()  # type: ignore[misc]

    def propose(self, state: State) -> Proposal:
        self.asked.append(state.frontier)
        return Proposal.chain(state.frontier, [0])


@pytest.mark.parametrize("first", [False, True])
def test_nothing_is_drafted_before_the_first_token_but_where_a_drafter_wants_it(first: bool) -> None:
    target = ToyTarget.random("2x2", 4, 3)
    drafter = Eager(first)
    image = Image(State(target.grid), drafter, Coupled(noise_of(target)), SAMPLING)
    step = next(decode(ToySession(target, 2), [image]))
    assert len(step.proposal) == first and (drafter.asked == [0]) == first
    assert image.propose() == Proposal.chain(image.state.frontier, [0]) and drafter.asked[-1] == image.state.frontier
