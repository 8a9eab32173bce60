"""Every kind of checkpoint: without drafts and with untrained ones it draws what AR draws; drafts can be trained."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from transformers import Emu3Processor, GlmImageProcessor

from helpers.real_targets import MAKES, random_drafts
from helpers.tiny import call_main
from spatialspec import arguments
from spatialspec.core.grid import Grid
from spatialspec.pipeline import SpatialPipeline
from spatialspec.targets import emu35, simplear
from spatialspec.targets.chameleon import lumina

WITH_HEADS = ("jacobi", "spatial", "spatial:start=hawk", "hawk", "medusa", "hawk-vertical", "ssd-strict")
SEQUENTIAL = ("hydra:vertical=1", "eagle:vertical=1")
WITHOUT = ("jacobi", "spatial")


@pytest.fixture(scope="module", params=[kind for kind in MAKES if kind != "icons"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def folder(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return MAKES[kind].make(tmp_path_factory.mktemp(kind) / kind)


@pytest.mark.parametrize("half", [0, pytest.param(1, marks=pytest.mark.long)])
def test_every_exact_decoder_draws_ar(kind: str, half: int, folder: Path) -> None:
    """Two prompts side by side, sampled as the checkpoint recommends; with the other half of methods in `make long`."""
    pipe, asked = SpatialPipeline.from_pretrained(folder), MAKES[kind]
    given = {"prompt": list(asked.prompts), "size": asked.size, "seed": 3}
    ar = pipe(**given, method="ar")
    cells = pipe.target.layout(arguments.grid(pipe.target, asked.size)).cells
    assert ar.report.target_passes == cells and len(set(ar.tokens)) == 2 < len(set(ar.tokens[0]))
    for method in WITHOUT:
        assert pipe(**given, method=method).tokens == ar.tokens, method
    assert pipe(**given).report.method == "spatial" and pipe(**given).report.target_passes < cells
    pipe.drafts = random_drafts(pipe.target)
    for method in (*WITH_HEADS, *SEQUENTIAL)[(list(MAKES).index(kind) + half) % 2 :: 2]:
        assert pipe(**given, method=method).tokens == ar.tokens, method


def test_drafts_are_trained_and_drawn_with(
    kind: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two steps on pictures that the target draws itself, at its own grid, which is made small here."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(Emu3Processor, "image_area", 16 * 64)
    monkeypatch.setattr(lumina, "USUAL", 4 * 4)
    for side in ("target_h", "target_w"):
        monkeypatch.setattr(GlmImageProcessor, side, 3 * 32)
    monkeypatch.setattr(simplear, "SIDE", 4)
    monkeypatch.setattr(emu35, "USUAL", Grid(3, 5))
    one, other = MAKES[kind].prompts
    Path("prompts.txt").write_text(f"{one}\n{other}\n" * 12)
    train = ["train", "draft", "--target", folder, "--drafter", "hawk", "--self-distil", "prompts.txt"]
    code, _, err = call_main(capsys, *train, "--pictures", 2, "--steps", 2, "--batch", 2, "--out", "mine")
    assert (code, err) == (0, ""), err
    asked = [one, "--model", folder, "--draft", "mine", "--method", "hawk", "--compare", "--json", "figures.json"]
    code, _, err = call_main(capsys, "generate", *asked, "--out", "out.png")
    assert (code, err) == (0, ""), err
    ar, hawk = json.loads(Path("figures.json").read_text())["methods"]
    assert (ar["method"], hawk["method"]) == ("ar", "hawk") and hawk["same_tokens_as_ar"] == 1
