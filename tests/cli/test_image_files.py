"""Files of `generate`: formats, folders, several images, what travels in them, and an image drawn again from it."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from helpers.llamagen_tiny import tiny_folder as tiny_llamagen
from helpers.tiny import call_main, tiny_folder
from spatialspec import __version__
from spatialspec.io.images import read_note, write_image

Call = Callable[..., tuple[int, str, str]]
ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".PNG")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_folder(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, folder: Path) -> Call:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny").symlink_to(folder)
    return partial(call_main, capsys, "generate")


def drawn(call: Call, *words: object) -> str:
    code, out, err = call("a cat", "--model", "tiny", *words)
    assert (code, err) == (0, "")
    return out


@pytest.mark.parametrize("ending", ENDINGS)
def test_formats(call: Call, ending: str) -> None:
    drawn(call, "--seed", 3, "--out", "plain.png")
    out = drawn(call, "--seed", 3, "--out", f"a{ending}")
    assert out.endswith(f"wrote a{ending} (24 x 24 pixels), seed 3\n")
    image, plain = Image.open(f"a{ending}"), Image.open("plain.png")
    assert image.format == {".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}.get(ending, "PNG")
    difference = abs(np.asarray(image.convert("RGB")).astype(int) - np.asarray(plain).astype(int)).mean()
    assert difference <= (12 if "j" in ending else 0)  # JPEG loses something
    note = json.loads(read_note(Path(f"a{ending}")))
    assert (note["prompt"], note["seed"], note["method"], note["model"]) == ("a cat", 3, "spatial", "tiny")
    assert note["version"] == __version__


def test_several_images_and_folders(call: Call) -> None:
    out = drawn(call, "--seed", 7, "--num-images", 3, "--out", "fox.webp")
    assert sorted(path.name for path in Path().glob("fox*")) == ["fox-0.webp", "fox-1.webp", "fox-2.webp"]
    assert "wrote fox-0.webp to fox-2.webp (24 x 24 pixels), seed 7 to 9" in out
    drawn(call, "--seed", 7, "--num-images", 2, "--out", "images/")
    assert sorted(path.name for path in Path("images").iterdir()) == ["7.png", "8.png"]
    drawn(call, "--seed", 9, "--out", "images")
    assert Image.open("images/9.png").tobytes() == Image.open("fox-2.webp").tobytes()
    drawn(call, "--seed", 7, "--num-images", 4, "--sheet", "--out", "sheet.jpg")
    assert Image.open("sheet.jpg").size == (60, 60) and not read_note(Path("sheet.jpg"))
    for wrong, said in (
        ("a.gif", "ends in .png, .jpg, .jpeg, .webp"),
        ("no/where/", "an existing folder around it"),
        ("nowhere", "got --out nowhere, expected FOLDER/"),
    ):
        code, _, err = call("a cat", "--model", "tiny", "--out", wrong)
        assert code == 2 and said in err


def test_a_fresh_seed_is_printed_and_draws_the_same(call: Call) -> None:
    seeds = {drawn(call, "--out", f"{i}.png").rpartition("seed ")[2].strip() for i in range(3)}
    assert len(seeds) == 3
    seed = json.loads(read_note(Path("1.png")))["seed"]
    assert str(seed) in seeds
    drawn(call, "--out", "again.png", "--seed", seed)
    assert Image.open("again.png").tobytes() == Image.open("1.png").tobytes()


def test_again(call: Call, folder: Path) -> None:
    """With everything that changes the image, from every format; what is typed wins."""
    options = ["--guidance", 3, "--temperature", 0.8, "--top-k", 20, "--top-p", 0.9, "--min-p", 0.01]
    options += ["--negative-prompt", "a dog", "--size", "4x5", "--tolerance", 2, "--budget", 9, "--num-images", 2]
    drawn(call, *options, "--seed", 11, "--out", "first.webp")
    code, out, err = call("--again", "first-1.webp", "--out", "again.png", "--json", "again.json")
    assert (code, err) == (0, ""), err
    assert Image.open("again.png").tobytes() == Image.open("first-1.webp").convert("RGB").tobytes()
    (image,) = json.loads(Path("again.json").read_text())["images"]
    assert (image["seed"], image["method"]) == (12, "spatial:budget=9:tolerance=2.0") and "seed 12" in out
    code, _, err = call("--again", "again.png", "--method", "ar", "--seed", 1, "--out", "other.png")
    note = json.loads(read_note(Path("other.png")))
    assert code == 0 and (note["method"], note["seed"], note["guidance"], note["size"]) == ("ar", 1, 3.0, "4x5")
    code, _, err = call("a dog", "--again", "again.png", "--height", 16, "--width", 16, "--out", "dog.png")
    assert code == 0 and json.loads(read_note(Path("dog.png")))["size"] == "4x4", err


def test_again_is_refused(call: Call, folder: Path, tmp_path: Path) -> None:
    drawn(call, "--seed", 1, "--out", "a.png")
    image, note = Image.open("a.png"), json.loads(read_note(Path("a.png")))
    tiny_folder(tmp_path / "else", seed=5)
    for name, changes, said in (
        ("other", {"fingerprint": "0"}, "which drew"),
        ("hub", {"model": "someone/model"}, "type --model someone/model"),
        ("drafts", {"draft": "someone/drafts"}, "type --draft"),
        ("method", {"method": "spatial:hope=1"}, "hope"),
        ("type", {"seed": "one"}, "a note with a wrong seed"),
        ("surplus", {"plugin": "evil.py"}, "a note with a wrong plugin"),
    ):
        write_image(tmp_path / f"{name}.png", image, json.dumps(note | changes))
        code, out, err = call("--again", f"{name}.png", "--out", "b.png")
        assert (code, out, err.count("\n")) == (2, "", 1) and said in err, err
    for text, said in (("", "an image without a note"), ("{", "JSON"), ("[]", "wrong")):
        write_image(tmp_path / "bare.jpg", image, text)
        assert said in call("--again", "bare.jpg", "--out", "b.png")[2]
    assert "no image that can be read" in call("--again", "tiny/config.json", "--out", "b.png")[2]
    assert "got no prompt, expected what to draw, --again FILE or --prompts FILE" in call("--out", "b.png")[2]
    assert "also reads or writes" in call("--again", "a.png", "--out", "a.png")[2]
    assert call("--again", "other.png", "--model", "else", "--out", "b.png")[0] == 0  # typed: no question of which
    assert json.loads(read_note(Path("b.png")))["model"] == "else"


def test_an_absolute_path_does_not_travel(call: Call, folder: Path) -> None:
    assert call("a cat", "--model", folder, "--out", "a.png")[0] == 0
    assert json.loads(read_note(Path("a.png")))["model"] == "tiny"
    assert str(folder.parent).encode() not in Path("a.png").read_bytes()


def test_records_of_images(call: Call, tmp_path: Path) -> None:
    drawn(call, "--seed", 5, "--num-images", 2, "--method", "ar,spatial", "--json", "a.json", "--csv", "a.csv")
    document = json.loads(Path("a.json").read_text())
    images = document["images"]
    assert [(i["seed"], i["method"]) for i in images] == [(5, "ar"), (6, "ar"), (5, "spatial"), (6, "spatial")]
    assert {i["same_tokens_as_ar"] for i in images} == {1.0} and {i["prompt"] for i in images} == {"a cat"}
    assert [i["passes"] for i in images[:2]] == [36, 36] and all(i["passes"] < 36 for i in images[2:])
    assert {i["accepted_length"] for i in images[:2]} == {1.0} < {i["accepted_length"] for i in images}
    means = [sum(i["passes"] for i in images if i["method"] == m["method"]) / 2 for m in document["methods"]]
    assert means == [m["target_passes"] for m in document["methods"]]
    gap = sum(i["likelihood_gap"] for i in images[:2]) / 2
    assert gap == pytest.approx(document["methods"][0]["likelihood_gap"])
    with open("a.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["seed"] for row in rows] == ["5", "6", "5", "6"] and rows[0]["file"] == ""
    drawn(call, "--seed", 5, "--num-images", 2, "--json", "b.json", "--out", "b.png")
    assert [i["file"] for i in json.loads(Path("b.json").read_text())["images"]] == ["b-0.png", "b-1.png"]
    assert json.loads(Path("b.json").read_text())["images"][0]["same_tokens_as_ar"] is None


def test_any_model(call: Call, tmp_path: Path) -> None:
    tiny_llamagen(tmp_path / "llamagen", "class")
    code, _, err = call("golden retriever", "--model", "llamagen/model", "--seed", 2, "--out", "a.jpg")
    assert code == 0, err
    assert call("--again", "a.jpg", "--out", "b.jpg")[0] == 0
    assert Path("a.jpg").read_bytes() == Path("b.jpg").read_bytes()
