"""What a method does besides the target's pass, in operators and reads: on a GPU each of them is a launch or a wait."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from helpers.operators import counted
from helpers.passes import scores_of
from spatialspec.core.grid import Grid
from spatialspec.core.noise import Noise
from spatialspec.core.proposal import ROOT, Proposal
from spatialspec.core.state import State
from spatialspec.methods.rejection import Rejection

VOCABULARY, GRID = 64, Grid(8, 8)


def distributions(count: int) -> torch.Tensor:
    return torch.randn(count, VOCABULARY, generator=torch.Generator().manual_seed(0)).softmax(-1)


@pytest.mark.parametrize("length", [1, 15, 63])
@pytest.mark.parametrize("agree", [True, False])
def test_rejection_of_a_chain(monkeypatch: pytest.MonkeyPatch, length: int, agree: bool) -> None:
    """As many operators for any length, whether drafts are accepted or not, and one read."""
    rule, p = Rejection(Noise(0, GRID.cells, VOCABULARY)), distributions(length + 1)
    q = p[:length] if agree else p[1:]
    drafts = rule.draw(q, range(length), range(length), 0)
    proposal, scores = Proposal.chain(0, drafts, q), replace(scores_of(p), tokens=F.pad(drafts, (1, 0)))
    with counted(monkeypatch) as operators:
        verdict = rule.verify(proposal, scores, State(GRID))
    assert len(verdict.path) == length if agree else len(verdict.path) < length or length == 1
    assert len(operators) <= 13, operators.counts
    assert operators.reads == 1 and proposal.tokens == drafts.tolist()
    assert verdict.refined is not None and max(verdict.refined) < VOCABULARY, "p is left where p = q"
    coupled = rule.couple(p[:length], q, proposal.tokens, range(length), 0)
    assert list(verdict.refined[:length]) == coupled and (not agree or coupled == proposal.tokens)


def test_rejection_of_a_tree(monkeypatch: pytest.MonkeyPatch) -> None:
    """A round of operators for every test after the same slot."""
    rule, p, siblings = Rejection(Noise(0, GRID.cells, VOCABULARY)), distributions(7), 3
    proposal = Proposal(q=distributions(siblings))
    for index, token in enumerate(rule.draw(distributions(siblings), range(siblings), [0] * siblings, 0).tolist()):
        proposal.add(0, token, ROOT, index)
    with counted(monkeypatch) as operators:
        rule.verify(proposal, scores_of(p[: 1 + len(proposal)]), State(GRID))
    assert len(operators) <= 10 + 5 * siblings and operators.reads == 1, operators.counts


def test_the_counter_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    with counted(monkeypatch) as operators:
        x = torch.ones(3)[None][0] + 1
        assert x.tolist() == [2, 2, 2] and float(x[0]) == 2 and x.sum().item() == 6
    assert operators.reads >= 3 and operators.counts["add"] == 1 and "select" not in operators.counts
