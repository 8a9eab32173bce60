"""Faults that show when a model draws, and the failure signatures of Hawk: planted, and named by `doctor`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from helpers.doctors import diagnose, give_curve, named
from helpers.tiny import tiny_folder, tiny_target
from helpers.tiny_checkpoints import tiny_emu3
from spatialspec.core.proposal import Proposal
from spatialspec.doctor.rows import Rows, draw_rows
from spatialspec.doctor.scores import ScoreDifference, check_ar, compare
from spatialspec.doctor.signatures import check_quality
from spatialspec.drafts import weights
from spatialspec.methods.hawk import HawkConfig, HawkHeads
from spatialspec.methods.method import Method
from spatialspec.pipeline import SpatialPipeline
from spatialspec.request import Request
from spatialspec.targets import slots
from spatialspec.targets.session import TargetSession


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_folder(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(autouse=True)
def curve(monkeypatch: pytest.MonkeyPatch) -> None:
    give_curve(monkeypatch)


def save_heads(folder: Path, heads: HawkHeads, std: float) -> Path:
    torch.manual_seed(0)
    for weight in (heads.horizontal, heads.vertical):
        nn.init.normal_(weight, std=std)
    target = tiny_target()
    weights.save(heads, folder, target.fingerprint, target.name)
    return folder


def test_a_mask_that_shows_too_much(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nodes of a tree that see their siblings."""
    monkeypatch.setattr(Proposal, "ancestors", lambda tree: np.tri(len(tree), dtype=bool))
    found = named(diagnose(folder).checks, "one pass for many cells")
    assert found.status == "failed" and float(found.got.split("tree ")[1].split(",")[0]) > 0.01
    assert found.advice.startswith("tokens would not be AR's")


def test_row_ends_that_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots, "ends_row", lambda layout, *counts: np.zeros(layout.cells, dtype=int))
    found = diagnose(tiny_emu3(tmp_path / "emu3"), size="3x5").checks
    assert named(found, "row ends").got == "0 forced tokens in 15 slots"
    assert {f.check for f in found if f.status == "failed"} == {"row ends"}, "nothing is drawn by such a library"


def test_row_ends_that_the_session_leaves_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Found by the plain sequence too, should the layout itself look right."""
    monkeypatch.setattr("spatialspec.doctor.target.check_row_ends", lambda target, grid: ())
    monkeypatch.setattr(slots, "ends_row", lambda layout, *counts: np.zeros(layout.cells, dtype=int))
    found = named(diagnose(tiny_emu3(tmp_path / "emu3"), size="3x5").checks, "sequence")
    assert found.status == "failed" and float(found.got.split()[0]) > 0.01


def rows_of(folder: Path) -> tuple[SpatialPipeline, Request, Rows]:
    pipeline = SpatialPipeline.from_pretrained(folder)
    request = Request(["a cat"], [0], pipeline.target.default, pipeline.target.grid)
    return pipeline, request, draw_rows(pipeline, Method.parse("ar"), request, 24, lambda what, cells: None)


def test_passes_that_do_not_repeat(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline, request, ar = rows_of(folder)
    assert compare(pipeline.target, request, ar).repeats
    output = type(pipeline.target).output
    noisy = lambda target, states: (y := output(target, states)) + 1e-6 * torch.randn_like(y)  # noqa: E731
    monkeypatch.setattr(type(pipeline.target), "output", noisy)
    assert not compare(pipeline.target, request, ar).repeats
    found = named(diagnose(folder).checks, "repeats")
    assert found.status == "warning" and "a seed will not always repeat its image" in found.advice


def test_scores_that_are_not_finite(folder: Path) -> None:
    _, _, ar = rows_of(folder)
    assert check_ar(ar).status == "ok"
    broken = [*ar.logits[:7], torch.full_like(ar.logits[7], torch.nan)]
    found = check_ar(replace(ar, logits=broken))
    assert (
        found.status == "failed"
        and found.got.startswith("scores of cell 7 ")
        and found.advice == "fetch the weights again"
    )
    assert check_ar(replace(ar, passes=25)).status == "failed"


def test_a_device_that_gives_up(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is raised while drawing is a line too."""

    def stop(*_: object) -> None:
        raise RuntimeError("no such kernel")

    monkeypatch.setattr(TargetSession, "score", stop)
    found = diagnose(folder)
    assert named(found.checks, "ar").got == "RuntimeError: no such kernel"
    assert not found.ok and not found.methods and not found.advice


def test_drafts_that_never_agree(folder: Path, tmp_path: Path) -> None:
    drafts = save_heads(tmp_path / "hawk", HawkHeads(HawkConfig(32)), 9.0)
    found = diagnose(folder, drafts)
    seen = named(found.checks, "hawk: accepted length")
    assert seen.status == "warning" and float(seen.got.split()[0]) < 1.5 and seen.expected == "at least 1.5"
    assert "train draft --self-distil" in seen.advice
    assert named(found.checks, "spatial: accepted length").status == "ok"
    assert named(found.checks, "hawk: quality").status == "ok" and found.ok, "useless drafts are no fault"


def test_a_cache_that_underflows(folder: Path, tmp_path: Path) -> None:
    """One column: a row above is one cell back, so the second level of the tree has nothing above it yet."""
    drafts = save_heads(tmp_path / "hawk", HawkHeads(HawkConfig(32, vertical=1)), 0.05)
    found = diagnose(folder, drafts, "8x1").checks
    seen = named(found, "hawk:vertical=1: vertical cache")
    assert seen.status == "warning" and seen.advice.startswith("cache underflow: ")
    wide = named(diagnose(folder, drafts).checks, "hawk:vertical=1: vertical cache")
    assert wide.status == "ok" and wide.got.startswith("0 of ")


def test_quality_that_degrades(folder: Path) -> None:
    """Another token than AR's: a fault where AR was sure of it, a tie where rounding could decide."""
    pipeline, request, ar = rows_of(folder)
    same = replace(ar, method=Method.parse("spatial"))
    exact, coarse = (ScoreDifference({"tree": far}, 5.0, True) for far in (1e-6, 100.0))
    count = pipeline.target.vocabulary
    assert check_quality(request, ar, same, exact).got == "AR's tokens in 24 cells"
    changed = replace(same, tokens=(*ar.tokens[:20], (ar.tokens[20] + 1) % count, *ar.tokens[21:]))
    found = check_quality(request, ar, changed, exact)
    assert found.status == "failed" and "in cell 20, where" in found.got and "quality degradation" in found.advice
    assert check_quality(request, ar, changed, coarse).status == "ok"
