"""Drafts that a pass takes from the device: where they lie, and which tokens stand for their codes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from helpers.real_targets import MAKES
from spatialspec.core.grid import Grid
from spatialspec.core.proposal import ROOT, Proposal
from spatialspec.generation import assemble
from spatialspec.methods.method import Method
from spatialspec.request import Request
from spatialspec.targets.draft_buffer import ROOM, DraftBuffer, looked_up
from spatialspec.targets.loading import load_target


def test_drafts_stay_in_their_place_while_they_fit() -> None:
    buffer = DraftBuffer(torch.device("cpu"))
    place = buffer.table.data_ptr()
    assert not buffer.put([Proposal()]) and buffer.put([Proposal.chain(0, torch.tensor([5, 6]))])
    assert buffer.table.data_ptr() == place and buffer.table[0, :2].tolist() == [5, 6]
    many = Proposal.chain(0, torch.arange(ROOM + 1))
    assert buffer.put([Proposal.chain(0, [1]), many, Proposal()])
    assert buffer.table.shape == (3, 2 * ROOM) and buffer.table[1, : ROOM + 1].equal(many.drafts)


def test_codes_are_looked_up_in_the_drafts_of_their_image() -> None:
    buffer, one = DraftBuffer(torch.device("cpu")), Proposal(drafts=torch.tensor([9, 7]))
    for code in (3, -2, -1):
        one.add(0, code, ROOT)
    other = Proposal.chain(0, torch.tensor([4, 5, 8]))
    buffer.put([one, other, Proposal()])
    codes = torch.tensor([one.codes, other.codes])
    assert looked_up(codes, buffer.table, 10).tolist() == [[3, 7, 9], [4, 5, 8]]
    assert looked_up(codes, buffer.table, 8).tolist() == [[3, 7, 7], [4, 5, 7]], "what is no token can be embedded"


@pytest.mark.parametrize("kind", ["icons", "emu3", "lumina", "glm"])
def test_drafts_come_back_with_the_results(kind: str, tmp_path: Path) -> None:
    """Also those in the last column of a row or the last cell of a grid, which forced tokens follow."""
    made = MAKES[kind]
    target = load_target(made.make(tmp_path / kind))
    request = Request(
        made.prompts[:1], [3], target.default, target.grid if made.size is None else Grid.parse(made.size)
    )
    (image,) = assemble(target, [], Method.parse("jacobi"), request)
    drafts = torch.arange(1, target.layout(request.grid).cells)
    proposal = Proposal.chain(0, drafts % target.vocabulary)
    (scores,) = request.session(target).score([image.state], [proposal], (), [image.sampler])
    assert proposal.drafts is None and proposal.tokens == (drafts % target.vocabulary).tolist()
    assert scores.tokens is None or scores.tokens[1:].tolist() == proposal.tokens
