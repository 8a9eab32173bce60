"""Passes that a test makes up, as the loop would hand them on."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from spatialspec.core.interfaces import Session
from spatialspec.core.proposal import Proposal
from spatialspec.core.state import State
from spatialspec.core.step import Scores, Step, Verdict

UNSCORED = Scores(torch.empty(1, 0, 1), torch.empty(1, 0, 1))


def scores_of(p: Tensor) -> Scores:
    """The scores of slots with these distributions, and nothing else."""
    return Scores(p[None], p[None, :, :1], drawn=p)


def pass_of(
    before: State, proposal: Proposal, verdict: Verdict, p: Tensor | None = None, scores: Scores = UNSCORED
) -> Step:
    """The record of a pass of image 0."""
    drawn = replace(scores, drawn=scores.logits[0] if p is None else p)
    return Step.of(0, before, proposal, drawn, verdict)


def keep(session: Session, index: int, before: State, proposal: Proposal, verdict: Verdict) -> State:
    """Commit what was accepted to a session's cache; return the state after the pass."""
    step = pass_of(before, proposal, verdict)
    session.keep(index, step)
    return step.after
