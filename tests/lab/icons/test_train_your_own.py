"""The commands of docs/train-your-own.md on a folder that has no more than the page asks for."""

import re
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from helpers.tiny import call_main
from spatialspec import SpatialPipeline
from spatialspec.drafts.image_folder import CaptionedImages


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Run the command line in a folder with twelve photographs and their captions."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    for name in ("tokenizer", "target"):
        monkeypatch.setattr(f"spatialspec.lab.icons.{name}.tune_threads", lambda: None)
    Path("photos").mkdir()
    rng = np.random.default_rng(0)
    rows = ["\ufefffile_name,text"]
    for i in range(12):
        size = (120, 70) if i % 2 else (64, 150)
        Image.fromarray(rng.integers(256, size=(*size, 3), dtype=np.uint8)).save(Path("photos") / f"{i}.jpg")
        rows.append(f"{i}.jpg,a photo of thing {i}")
    Path("photos/metadata.csv").write_text("\n".join([*rows, "12.jpg,no such file"]), encoding="utf-8")
    return partial(call_main, capsys)


def test_a_folder_of_photographs_becomes_a_target(call) -> None:
    steps = ["--steps", 1, "--batch", 1]
    code, out, err = call("train", "tokenizer", "--data", "photos", "--out", "mine/tokenizer", *steps)
    assert (code, err) == (0, ""), err
    assert "left out of 13 images: 1 that cannot be read" in out
    assert "no split pair or concept: the last 2 images are held out" in out
    assert re.search(r"held-out (images|images): -?\d+\.\d\d dB on 2 images", out)
    where = ["--data", "photos", "--tokenizer", "mine/tokenizer", "--out", "mine/target", "--name", "mine"]
    sizes = ["--stages", "4:2:1,6:2:1", "--sketch-steps", 1, "--width", 32, "--layers", 1, "--words", 300]
    code, out, err = call("train", "target", *where, *sizes, "--no-compile")
    assert (code, err) == (0, ""), err
    assert "wrote mine/target/model" in out and "nats per token, pair left out" in out
    card = Path("mine/target/model/README.md").read_text()
    assert "\nlicense" not in card and "no licence is set here: their maker decides" in card
    assert "10 images of the maker's own, by the licence that their table states:\n\n- not stated 10\n" in card
    assert "10 training images, 2 held out" in card and "It knows what 10 images of its maker show" in card
    for foreign in ("icons", "emoji", "clip art", "docs/log.md", "train data"):
        assert foreign not in card, foreign
    assert "    spatialspec train tokenizer --data photos --out mine/tokenizer --steps 1 --batch 1\n" in card
    said = "spatialspec train target --data photos --tokenizer mine/tokenizer --out mine/target --stages 4:2:1,6:2:1"
    assert f"    {said} --sketch-steps 1 --width 32 --layers 1 --words 300 --no-compile --name mine\n" in card
    for figure in ("reconstruction, held-out images", "nats per token, pair left out"):
        assert re.search(rf"\| {figure} \| \d+\.\d+", card), figure
    code, out, err = call("generate", "a photo of thing 1", "--model", "mine/target/model", "--method", "ar,spatial")
    assert (code, err) == (0, ""), err
    draft = [
        "--target",
        "mine/target/model",
        "--data",
        Path("photos").resolve(),
        "--steps",
        1,
        "--batch",
        1,
        "--out",
        "drafts",
    ]
    code, out, err = call("train", "draft", *draft)
    assert (code, err) == (0, ""), err
    card = Path("drafts/README.md").read_text()
    assert "trained on 10 real images" in card, "other images are left out"
    assert "--data photos" in card and str(Path.cwd()) not in card


def test_the_card_has_the_command_that_made_the_pictures(call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spatialspec.lab.icons.data.prepare", lambda *_: {"train": 12})
    assert call("train", "data", "--out", "photos", "--side", 32)[0] == 0
    assert call("train", "tokenizer", "--data", "photos", "--out", "vq", "--steps", 1, "--batch", 1)[0] == 0
    sizes = ["--stages", "4:2:1", "--sketch-steps", 1, "--width", 32, "--layers", 1, "--words", 300, "--no-compile"]
    assert call("train", "target", "--data", "photos", "--tokenizer", "vq", "--out", "target", *sizes)[0] == 0
    made = re.findall(r"^    (.*)$", Path("target/model/README.md").read_text(), re.MULTILINE)
    assert made[0] == "spatialspec train data --out photos --side 32" and len(made) == 3
    assert made[1].startswith("spatialspec train tokenizer ") and made[2].startswith("spatialspec train target ")
    small = ["--stages", "4:2:1", "--width", 16, "--layers", 1, "--no-compile", "--name", "small"]
    assert call("train", "target", "--data", "photos", "--like", "target/model", "--out", "small", *small)[0] == 0
    pipe = SpatialPipeline.from_pretrained("target/model", draft_model="small/model")
    pipe.set_progress_bar_config(disable=True)
    ours, ar = (pipe("thing 1", seed=1, method=name, output_type="tokens").tokens for name in ("sibling", "ar"))
    assert ours == ar and pipe.draft_model is not None and pipe.draft_model.width == 16
    sketches = [target.model.sketch.state_dict() for target in pipe.targets]  # type: ignore[attr-defined]
    assert all(weight.equal(sketches[1][name]) for name, weight in sketches[0].items())


def test_the_last_tenth_is_left_out_where_nothing_is() -> None:
    def splits(pictures: int, *given: str) -> list[str]:
        rows = [{"text": str(i)} | ({"split": given[i]} if i < len(given) else {}) for i in range(pictures)]
        found = CaptionedImages(np.zeros((pictures, 1, 1, 3), dtype=np.uint8), rows)
        return [row.get("split", "") for row in found.with_left_out(3, "pair", "concept").rows]

    assert splits(1) == [""] and splits(2) == ["", "pair"] and splits(9) == [""] * 8 + ["pair"]
    assert splits(10) == [""] * 8 + ["pair"] * 2 and splits(99) == [""] * 96 + ["pair"] * 3
    assert splits(3, "concept") == ["concept", "", ""] and splits(3, "style", "") == ["style", "", "pair"]
