"""Sweeps in the names of methods, and the plot of `bench` with its envelope."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from PIL import Image

from helpers.tiny import call_main, tiny_folder
from spatialspec.core.errors import BadInput
from spatialspec.lab.envelope import hull, on_envelope
from spatialspec.methods.method import Method
from spatialspec.methods.sweep import swept


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("a:b=4..64:*2", ["a:b=4", "a:b=8", "a:b=16", "a:b=32", "a:b=64"]),
        ("a:b=1..3", ["a:b=1", "a:b=2", "a:b=3"]),
        ("a:b=1..10:+4", ["a:b=1", "a:b=5", "a:b=9"]),
        ("a:b=0..0.3:+0.1", ["a:b=0", "a:b=0.1", "a:b=0.2", "a:b=0.3"]),
        ("a:b=1..100:*10:c=x", ["a:b=1:c=x", "a:b=10:c=x", "a:b=100:c=x"]),
        ("a:c=0..1:b=2..3", ["a:c=0:b=2", "a:c=0:b=3", "a:c=1:b=2", "a:c=1:b=3"]),
        ("a:b=5..5", ["a:b=5"]),
        ("a:b=7", ["a:b=7"]),
        ("a", ["a"]),
    ],
)
def test_sweeps(text: str, values: list[str]) -> None:
    assert swept(text) == values


@pytest.mark.parametrize(
    "text", ["a:b=3..1", "a:b=1..9:*1", "a:b=0..9:*2", "a:b=1..9:+0", "a:b=1..999", "a:b=-4..4:*2"]
)
def test_sweeps_that_do_not_end(text: str) -> None:
    with pytest.raises(BadInput):
        swept(text)


def test_a_sweep_is_a_list_of_methods() -> None:
    named = Method.parse_list("ar,spatial:budget=4..16:*2,jacobi:length=8..9")
    assert [str(m) for m in named] == [
        "ar", "spatial:budget=4", "spatial:budget=8", "spatial:budget=16", "jacobi:length=8", "jacobi:length=9",
    ]  # fmt: skip
    with pytest.raises(BadInput, match="hope"):
        Method.parse_list("spatial:hope=1..2")


def test_envelopes() -> None:
    assert hull([(5, 1.0), (3, 2.0), (4, 2.5), (6, 1.0), (9, 0.0)]) == [(3, 2.0), (5, 1.0), (9, 0.0)]
    points = {"a": (3, 2.0, 1.0, 1.0), "b": (4, 2.0, 1.0, 1.0), "c": (4, 0.5, 1.0, 1.0), "d": (5, 0.1, 9.0, 0.1)}
    assert on_envelope(points, (0.0, 0.0, 0.0)) == ["a", "c", "d"]
    assert on_envelope(points, (9.0, 9.0, 9.0)) == ["a"], "below the noise nothing is further"


def test_bench_plots_and_lists_any_methods(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tiny_folder(tmp_path / "tiny")
    words = ["bench", "--model", folder, "--limit", 2, "--methods", "spatial:tolerance=0..4:+4,ssd:rounds=0..1"]
    outputs = ["--json", "a.json", "--csv", "a.csv", "--plot", "a.png"]
    code, out, err = call_main(capsys, *words, *outputs)
    assert (code, err) == (0, ""), err
    document = json.loads(Path("a.json").read_text())
    names = ["ar", "spatial:tolerance=0.0", "spatial:tolerance=4.0", "ssd:rounds=0", "ssd:rounds=1"]
    assert [row["method"] for row in document["methods"]] == names
    assert [(i["method"], i["same_tokens_as_ar"]) for i in document["images"][:4]] == [
        ("ar", 1.0), ("ar", 1.0), ("spatial:tolerance=0.0", 1.0), ("spatial:tolerance=0.0", 1.0),
    ]  # fmt: skip
    with open("a.csv", newline="") as file:
        assert len(list(csv.DictReader(file))) == 10
    assert "on the lower envelope of passes and all three distances: " in out and out.endswith("wrote a.png\n")
    assert "ar" not in out.partition("distances: ")[2].partition("\n")[0].replace(",", "").split()  # spatial beats it
    assert Image.open("a.png").width > 1000
    code, _, err = call_main(capsys, *words, "--plot", "a.jpg")
    assert code == 2 and "ends in .png" in err
    code, _, err = call_main(capsys, *words, "--csv", "b", "--json", "b")
    assert code == 2 and "also reads or writes" in err
