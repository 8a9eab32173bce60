"""Drafts that a pass takes from the device: where they lie, and which tokens stand for their codes."""

from __future__ import annotations

import torch

from spatialspec.core.proposal import ROOT, Proposal
from spatialspec.targets.draft_buffer import ROOM, DraftBuffer, looked_up


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
