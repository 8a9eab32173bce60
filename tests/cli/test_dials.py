"""--tolerance, --budget and --quality on the command line."""

import json
from pathlib import Path

import pytest

from helpers.paths import ROOT
from helpers.tiny import call_main, tiny_folder
from spatialspec.io.sealed import read_sealed, write_sealed
from spatialspec.methods.presets import PRESETS
from spatialspec.pass_time import WIDTHS


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_folder(tmp_path_factory.mktemp("tiny"))


def drawn(capsys: pytest.CaptureFixture[str], folder: Path, *dials: str) -> list[dict]:
    out, report = folder.parent / "out.png", folder.parent / "out.json"
    code, _, err = call_main(
        capsys, "generate", "a cat", "--model", folder, "--seed", 0, "--out", out, "--json", report, *dials
    )
    assert code == 0, err
    return json.loads(report.read_text())["methods"]


def test_exact_by_default_and_by_name(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    for dials in ((), ("--quality", "exact"), ("--tolerance", "0")):
        (one,) = drawn(capsys, folder, *dials)
        assert one["method"] == "spatial" and one["exact"] and one["seed_exact"]


def test_presets_are_relaxed_by_name(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    passes = []
    for quality in ("exact", "high", "balanced", "fast"):
        (one,) = drawn(capsys, folder, "--quality", quality)
        passes.append(one["target_passes"])
        assert one["exact"] == (quality == "exact") and one["likelihood_gap"] is not None
    assert passes[0] > passes[-1]


def test_explicit_values_win(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    dials = ("--quality", "fast", "--tolerance", "inf", "--budget", "11", "--compare")
    ar, ours = drawn(capsys, folder, "--method", "spatial:front=0", *dials)
    assert ar["method"] == "ar" and ours["method"] == "spatial:front=0.0:tolerance=inf:budget=11"
    assert ours["target_passes"] < 10, "every guess stays that is more than a stand-in"
    (named,) = drawn(capsys, folder, "--method", "jacobi:tolerance=2", "--tolerance", "1")
    assert named["method"] == "jacobi:tolerance=2.0"


@pytest.mark.parametrize(
    ("dials", "said"),
    [
        (("--quality", "best"), "expected one of exact, high, balanced, fast"),
        (("--tolerance", "-1"), "expected a number from 0 to inf"),
        (("--tolerance", "nan"), "expected a number from 0 to inf"),
        (("--budget", "-1"), "expected a whole number from 0 to 512"),
        (("--budget", "fast"), "expected a whole number from 0 to 512"),
        (("--budget", "auto", "--method", "sjd"), "expected a method with a budget: try spatial"),
        (("--method", "sjd", "--quality", "high"), "got --quality high for sjd, expected a method with that"),
        (("--method", "sjd", "--tolerance", "1"), "expected a method with that: try spatial"),
        (("--method", "hawk", "--verifier", "rejection", "--tolerance", "1"), "only it has a tolerance"),
    ],
)
def test_bad_dials(capsys: pytest.CaptureFixture[str], folder: Path, dials: tuple[str, ...], said: str) -> None:
    code, out, err = call_main(capsys, "generate", "a cat", "--model", folder, "--out", folder / "no.png", *dials)
    assert code == 2 and said in err and len(err.strip().splitlines()) == 1 and not out
    assert not (folder / "no.png").exists()


@pytest.mark.records
def test_presets_say_what_was_measured(capsys: pytest.CaptureFixture[str]) -> None:
    path = ROOT / "docs" / "results" / "envelope.json"
    measured = {row["method"]: row for row in json.loads(path.read_text())["methods"]}
    _, shown, _ = call_main(capsys, "generate", "--help")
    shown = " ".join(shown.split())
    for name, preset in PRESETS.items():
        row = measured[":".join(["spatial", *(f"{key}={value}" for key, value in preset.values.items())])]
        assert preset.passes == round(row["target_passes"]), name
        assert abs(preset.gap - row["likelihood_gap"]) <= 0.01, name
        assert f"{name}: {preset.passes} passes, gap {preset.gap:+.2f}" in shown


def test_auto_budget_without_a_place_to_keep_it(
    capsys: pytest.CaptureFixture[str], folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert drawn(capsys, folder, "--budget", "auto")[0]["same_tokens_as_ar"] is None


def test_auto_budget_is_measured_once_and_draws_the_same(
    capsys: pytest.CaptureFixture[str], folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    ar, ours = drawn(capsys, folder, "--budget", "auto", "--compare", "--method", "spatial,ar")
    assert ar["method"] == "ar" and ours["same_tokens_as_ar"] == 1.0
    (known,) = (tmp_path / "spatialspec" / "budgets").glob("*.json")
    table = read_sealed(known)
    assert table is not None
    budgets = [cost["budget"] for cost in table["figures"]]
    assert budgets == [width - 1 for width in WIDTHS[: len(budgets)]] and len(budgets) > 5
    assert table["figures"][0]["cells"] == 1.0, "budget 0 is AR"
    # the figures that are there decide: with these, three nodes are best
    for cost in table["figures"]:
        cost |= {"seconds": 1.0 + (cost["budget"] > 3), "cells": 1.0 + (cost["budget"] > 0)}
        cost["cells"] += cost["budget"] == 3
    write_sealed(known, table)
    asked = ("generate", "a cat", "--model", folder, "--out", tmp_path / "out.png", "--budget", "auto")
    code, out, _ = call_main(capsys, *asked)
    assert code == 0 and "\nnote: spatial: auto: 3 nodes, about 3.0 times as fast as AR\n" in f"\n{out}"
    assert "spatial:budget=3 " in out
    known.write_text("cut off")
    drawn(capsys, folder, "--budget", "auto")
    assert json.loads(known.read_text())["figures"], "a damaged file is measured again"


def test_auto_budget_falls_back_to_ar() -> None:
    from spatialspec.budget import Cost, choose

    slow = [Cost(0, 1.0, 1.0), Cost(4, 2.0, 1.9), Cost(64, 5.0, 5.0)]
    assert choose(slow) == 0
    assert choose([*slow, Cost(16, 2.0, 2.05)]) == 0, "two percent are no gain"
    assert choose([*slow, Cost(16, 2.0, 2.5)]) == 16
