"""Windows of open cells, their distances from known ones, and how often drafts stay by distance."""

from __future__ import annotations

import pytest
import torch

from helpers.lessons import common_target, corpus
from spatialspec.drafts.acceptance import by_coupling, by_rejection
from spatialspec.drafts.teacher import streams
from spatialspec.drafts.windows import Profile, Windows, accepted
from spatialspec.methods.spatial_model.config import NOWHERE


def test_windows_and_distances() -> None:
    windows = Windows.at(torch.tensor([[1, 7, 10]]), 6, 12)
    assert windows.cells.tolist() == [[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, NOWHERE, 10, 11, *[NOWHERE] * 4]]
    right, down = windows.distances(4)
    # frontiers 1 (row 0), 7 (last of row 1) and 10 on 3 x 4
    assert right[0, windows.inside[0]].tolist() == [1, 2, 3, 0, 0, 0, 1, 0, 0, 0, 0, 1, 2]
    assert down[0, windows.inside[0]].tolist() == [0, 0, 0, 1, 0, 0, 1, 1, 1, 1, 2, 1, 1]
    spread = Windows.evenly(torch.linspace(0, 1, 50)[:-1], 16, 4, 576)
    frontiers = spread.frontier[:, ::4]
    assert frontiers.min() >= 1 and frontiers.max() <= 575 and (spread.inside.sum(1) > 56).all()
    gaps = frontiers.sort(dim=1).values.diff(dim=1)
    assert gaps.max() < 3 * 576 / 16 and len(frontiers.unique()) > 400, "all over the image, elsewhere in each"
    profile, values = Profile(), torch.arange(18.0)[None]
    profile.add(values, windows, 4)
    profile.add(values + 1, windows, 4)
    means = profile.means
    assert means["right 1"] == (0 + 6 + 12) / 3 + 0.5 and means["right 3"] == 2.5
    assert means["down 2"] == 10.5 and means["down 1"] == (3 + 7 + 8 + 9) / 4 + 0.5
    assert means["window"] == pytest.approx(sum(values[0, windows.inside[0]].tolist()) / 13 + 0.5)


def test_accepted_by_distance() -> None:
    """A drafter that is the target, one that says nothing, one that is flat."""
    target, pictures = common_target(), corpus(2, seed=2)
    rules = {"rejection": by_rejection, "coupled": by_coupling}

    def laws(hidden: torch.Tensor, codes: torch.Tensor, windows: Windows) -> torch.Tensor:
        where = windows.cells.clamp(min=0)[None, ..., None].expand(len(hidden), -1, -1, hidden.shape[-1])
        return target.default.distribution(target.model.head(hidden.gather(2, where)))

    ones = accepted(target, pictures, target.default, laws, rules, 20, 9)
    assert set(ones["rejection"]) == {"window", *(f"right {k}" for k in range(1, 6)), "down 1", "down 2"}
    assert all(value == pytest.approx(1, abs=1e-5) for rule in ones.values() for value in rule.values())
    none = accepted(target, pictures, target.default, lambda *a: 0 * laws(*a), rules, 20, 9)
    assert set(none["coupled"].values()) == set(none["rejection"].values()) == {0.0}
    flat = accepted(target, pictures, target.default, lambda *a: 0 * laws(*a) + 1 / 64, rules, 3, 9)
    p = target.default.distribution(target.model.head(streams(target, pictures.prompts, pictures.codes)))
    lots = (2**0.5 * torch.arange(2).double()).frac()
    cells = Windows.evenly(lots, 3, 9, 36).cells
    wanted = [float(p[i, c].clamp(max=1 / 64).sum()) for i in range(2) for c in cells[i].tolist() if c != NOWHERE]
    assert flat["rejection"]["window"] == pytest.approx(sum(wanted) / len(wanted), rel=1e-5)
