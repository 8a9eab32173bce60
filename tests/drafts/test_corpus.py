"""Images with captions from folders and data sets: what cannot be used is left out and counted."""

import sys
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from helpers.lessons import common_target, run
from helpers.tiny import write_pictures
from helpers.tiny_checkpoints import tiny_janus
from spatialspec.core.errors import BadInput
from spatialspec.drafts.corpus import from_images
from spatialspec.drafts.hawk import HawkRecipe, HawkTask
from spatialspec.drafts.hub import read_dataset
from spatialspec.drafts.image_folder import CaptionedImages, caption, load
from spatialspec.drafts.training_data import TrainingData
from spatialspec.quality.real import load_real
from spatialspec.targets.loading import load_target


def test_what_cannot_be_used_is_left_out_and_counted(tmp_path: Path) -> None:
    folder, lines = tmp_path / "pictures", []
    write_pictures(folder)
    whole = load(folder, 24, lines.append)
    assert len(whole.rows) == 5 and not lines
    picture = (folder / "1.png").read_bytes()
    (folder / "1.png").write_bytes(picture[: len(picture) // 2])
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (200, 200, 3), np.uint8)).save(folder / "4.png")
    first, second, third = (folder / "4.png").read_bytes().split(b"IDAT")
    (folder / "4.png").write_bytes(first + b"IDAT" + second + b"I\0AT" + third)  # PIL calls it a SyntaxError
    table = (folder / "metadata.csv").read_text()
    (folder / "metadata.csv").write_text(table.replace("2.png,thing 2", "2.png,  ") + "9.png,thing,,,3d,train,MIT\n")
    found = load(folder, 24, lines.append)
    assert [row["file_name"] for row in found.rows] == ["0.png", "3.png"]
    assert lines == ["left out of 6 images: 3 that cannot be read, 1 without a usable caption"]


def test_what_cannot_be_used_is_counted_and_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    for name in ("a", "b"):
        Image.new("RGB", (8, 8)).save(tmp_path / f"{name}.png")
    (tmp_path / "metadata.csv").write_text(
        "\ufefftext,file_name,tags,split\ncat,a.png,,\ndog,c.png,,\nred bird,b.png,x|y,pair\n", encoding="utf-8"
    )
    lines: list[str] = []
    found = load(tmp_path, 24, lines.append)
    assert [row["text"] for row in found.rows] == ["cat", "red bird"]
    assert lines == ["left out of 3 images: 1 that cannot be read, 0 without a usable caption"]
    assert len(found.select("train").rows) == len(found.select("pair").rows) == 1
    assert caption(found.rows[0], np.random.default_rng(0)) == "cat"
    (tmp_path / "metadata.csv").write_text("file_name,text\na.png,\nb.png,bird\n")
    assert [row["text"] for row in load(tmp_path, 24, lines.append).rows] == ["bird"]
    assert lines[-1] == "left out of 2 images: 0 that cannot be read, 1 without a usable caption"


@pytest.mark.parametrize(
    ("row", "got"),
    [("red, round apple,a.png", "3 cells for 2"), ("a.png", "1 cells for 2"), ("cat,../a.png", "'../a.png'"),
     ("cat,/dev/zero", "'/dev/zero'"), ("cat,", "''"), ("cat,..\\\\a.png", "a.png'"), ('"cat,a.png', "quote")],
)  # fmt: skip
def test_rows_that_are_refused(tmp_path: Path, row: str, got: str) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path.parent / "a.png")
    (tmp_path / "metadata.csv").write_text(f"text,file_name\n{row}\n" * 4)
    for read in (partial(load, size=24, report=print), partial(load_real, side=24)):
        with pytest.raises(BadInput, match=f"metadata.csv, line 2: got .*{got}"):
            read(tmp_path)


def test_captions_that_the_target_does_not_take_are_left_out_and_counted(tmp_path: Path) -> None:
    target = load_target(tiny_janus(tmp_path))
    long = "a red apple on a mat by the sea " * 60
    texts = ["a red apple", long, "two cats", "a blue house", "by the sea", long]
    pixels = np.random.default_rng(0).integers(256, size=(6, 64, 64, 3), dtype=np.uint8)
    splits = ["train"] * 4 + ["pair"] * 2
    rows = [{"text": text, "split": split} for text, split in zip(texts, splits, strict=True)]
    lines: list[str] = []
    known, left_out = from_images(target, CaptionedImages(pixels, rows), 0, None, 32, lines.append)
    assert (known.prompts, left_out.prompts) == (["a red apple", "two cats", "a blue house"], ["by the sea"])
    assert known.rows == [rows[0], rows[2], rows[3]] and left_out.rows == [rows[4]]
    assert torch.equal(known.codes, target.codes(torch.from_numpy(pixels[[0, 2, 3]])).int()), "other images"
    (line,) = lines
    assert line.startswith("left out 2 of 6 prompts, the last because: got a prompt of ")
    assert len(from_images(target, CaptionedImages(pixels, rows), 0, 2, 32, print)[0]) == 2
    with pytest.raises(ValueError, match=r"0 of them for training and 1 held out.*captions that the target accepts"):
        from_images(target, CaptionedImages(pixels[[1, 4]], [rows[1], rows[4]]), 0, None, 32, print)
    recipe = HawkRecipe(horizontal=1, vertical=1, steps=1, batch=2)
    given = TrainingData(target, CaptionedImages(pixels, rows), None, None, tmp_path, None, False, print)
    run(HawkTask.make(given, recipe), tmp_path / "state")


def test_icons_takes_captions_of_any_length() -> None:
    pixels = np.zeros((2, 24, 24, 3), dtype=np.uint8)
    rows = [{"text": "word " * 50, "split": split} for split in ("train", "pair")]
    assert len(from_images(common_target(), CaptionedImages(pixels, rows), 0, None, 32)[0]) == 1


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        (b"file_name,text\n", "got no row"),
        (b"file_name,text\n0.png,\n", "got no image with a caption"),
        (b"file_name,text\nnone.png,cat\n", "no readable image"),
        (b"file_name,text\n0.png,caf\xe9\n", "expected UTF-8"),
    ],
)
def test_an_empty_or_foreign_data_set_is_one_error(tmp_path: Path, table: bytes, expected: str) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "0.png")
    (tmp_path / "metadata.csv").write_bytes(table)
    with pytest.raises(ValueError, match=expected):
        load(tmp_path, 24, print)


class Columns(list):
    """Stands in for a data set of `datasets`."""

    column_names = ("image", "caption", "licence")

    def cast_column(self, name: str, kind: object) -> "Columns":
        assert (name, kind) == ("image", "as it is")
        return self

    def select(self, rows: range) -> "Columns":
        return Columns(self[i] for i in rows)


def test_a_data_set_of_the_hub_is_read_row_by_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("RGB", (9, 9), (200, 0, 0)).save(tmp_path / "a.png")
    file = (tmp_path / "a.png").read_bytes()
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "b.png").write_bytes(file)
    monkeypatch.setattr("spatialspec.drafts.hub.HF_HOME", str(tmp_path / "cache"))
    paths = [tmp_path / "cache" / "b.png", tmp_path / "a.png", tmp_path / "cache" / ".." / "a.png"]
    images = [{"bytes": file}, *({"bytes": None, "path": str(path)} for path in paths), {"bytes": file[:20]}, 3]
    images.append({"bytes": file})
    rows = Columns({"image": i, "caption": c, "licence": "MIT"} for i, c in zip(images, [*"abcdef", " "], strict=True))
    hub = ModuleType("datasets")
    hub.load_dataset = lambda name, split: {("me/mine", "train"): rows}[name, split]
    hub.Image = lambda decode: "decoded" if decode else "as it is"
    hub.exceptions = SimpleNamespace(DatasetsError=RuntimeError)
    monkeypatch.setitem(sys.modules, "datasets", hub)
    lines: list[str] = []
    found = read_dataset("me/mine", 4, None, lines.append)
    assert found.rows == [{"text": "a", "licence": "MIT"}, {"text": "b", "licence": "MIT"}]
    assert found.pixels.shape == (2, 4, 4, 3) and (found.pixels == [200, 0, 0]).all()
    assert lines == ["left out of 7 images: 4 that cannot be read, 1 without a usable caption"]
    assert len(read_dataset("me/mine", 4, 1, lines.append).rows) == 1
    monkeypatch.setattr(Columns, "column_names", ("image", "label"))
    with pytest.raises(ValueError, match="got the columns image, label, expected image and one of text"):
        read_dataset("me/mine", 4, None, print)


def test_a_folder_without_splits_keeps_some_pictures_for_the_figures(tmp_path: Path) -> None:
    rows = ["file_name,text"]
    for i in range(4):
        Image.new("RGB", (24, 24), (60 * i, 99, 0)).save(tmp_path / f"{i}.png")
        rows.append(f"{i}.png,thing {i}")
    (tmp_path / "metadata.csv").write_text("\n".join(rows) + "\n")
    found = load(tmp_path, 24, print)
    known, left_out = from_images(common_target(), found, 0, None, 32)
    assert (known.prompts, left_out.prompts) == (["thing 0", "thing 1", "thing 2"], ["thing 3"])
    assert len(from_images(common_target(), found, 0, 2, 32)[0]) == 2
    only = type(found)(found.pixels[:1], found.rows[:1])
    with pytest.raises(ValueError, match="got 1 images, 1 of them for training and 0 held out"):
        from_images(common_target(), only, 0, None, 32)
