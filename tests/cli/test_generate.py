"""`generate` and `show` on a model with a list of what it knows: notes before drawing, and enlarged images."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from PIL import Image

from helpers.tiny import call_main, tiny_folder
from spatialspec.cli.sheet import comparison, enlarged
from spatialspec.targets.icons.concepts import FILE, Concept, Concepts

LANCZOS = Image.Resampling.LANCZOS

NOTES = "note: 'fruit' is read as red apple\nnote: 'fruit' names no drawing style: drawn as 3d\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tiny_folder(tmp_path_factory.mktemp("model"))
    Concepts({"red apple": Concept(("3d", "flat"), words=("fruit",))}).write(folder / FILE)
    return folder


@pytest.fixture
def call(capsys, monkeypatch, tmp_path, folder):
    """Draw in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return partial(call_main, capsys)


def draw(call, folder: Path, out: str, *options: object) -> Image.Image:
    code, _, err = call("generate", "red apple, 3d", "--model", folder, "--seed", 0, "--out", out, *options)
    assert (code, err) == (0, "")
    return Image.open(out)


def test_an_image_is_enlarged(call, folder: Path) -> None:
    plain = draw(call, folder, "plain.png")
    draw(call, folder, "one.png", "--scale", 1)
    assert Path("plain.png").read_bytes() == Path("one.png").read_bytes()
    assert draw(call, folder, "five.png", "--scale", 5).tobytes() == plain.resize((120, 120), LANCZOS).tobytes()


def test_every_image_of_a_sheet_is_enlarged_by_itself(call, folder: Path) -> None:
    plain, large = (draw(call, folder, f"{n}.png", "--num-images", 2, "--sheet", "--scale", n) for n in (1, 3))
    assert plain.size == (60, 24) and large.size == (156, 72)
    second = plain.crop((36, 0, 60, 24)).resize((72, 72), LANCZOS)
    assert large.crop((84, 0, 156, 72)).tobytes() == second.tobytes()


def test_columns_of_methods_are_enlarged_once(call, folder: Path) -> None:
    plain = draw(call, folder, "plain.png")
    sheet = draw(call, folder, "sheet.png", "--compare", "--scale", 4)
    assert sheet.crop((12, 12, 108, 108)).tobytes() == plain.resize((96, 96), LANCZOS).tobytes()
    small = draw(call, folder, "small.png", "--compare")
    assert small.crop((12, 12, 204, 204)).tobytes() == plain.resize((192, 192), Image.Resampling.NEAREST).tobytes()


def test_a_comparison_of_large_images_is_not_enlarged() -> None:
    image = enlarged(Image.new("RGB", (10, 20), "red"), 2)
    assert image.size == (20, 40)
    sizes = [comparison([("a", [image])], side).size for side in (0, 80)]
    assert sizes[1][1] - sizes[0][1] == 40


@pytest.mark.parametrize("scale", ["0", "17", "-1", "1.5", "big"])
def test_a_bad_scale_is_refused_first(call, folder: Path, monkeypatch, scale: str) -> None:
    monkeypatch.setattr("spatialspec.measure.runs.draw", lambda *_: pytest.fail("something was drawn"))
    code, out, err = call("generate", "red apple", "--model", folder, "--scale", scale)
    assert (code, out, err.count("\n")) == (2, "", 1) and f"--scale {scale}" in err.replace("'", "")
    assert not list(Path().iterdir())


def test_a_sheet_beyond_memory_is_refused_first(call, folder: Path, monkeypatch) -> None:
    monkeypatch.setattr("spatialspec.measure.runs.draw", lambda *_: pytest.fail("something was drawn"))
    code, out, err = call("generate", "fruit", "--model", folder, "--scale", 16, "--compare", "--num-images", 300)
    assert (code, out, err.count("\n")) == (2, "", 1) and not list(Path().iterdir())
    assert f"got --scale 16, which makes {2 * 300 * 24**2 * 16**2:,} pixels in all" in err


def test_notes_come_first(call, folder: Path) -> None:
    code, out, err = call("generate", "a zyx fruit", "--model", folder)
    assert (code, err) == (0, "")
    assert out.splitlines()[:3] == [
        f"note: 'a zyx fruit' has unknown words: zyx; `spatialspec models {folder}` lists what it knows",
        "note: 'a zyx fruit' is read as red apple",
        "note: 'a zyx fruit' names no drawing style: drawn as 3d",
    ]
    assert out.splitlines()[3].startswith("method ")
    assert call("generate", "red apple, flat", "--model", folder)[1].startswith("method ")


def test_notes_are_printed_before_anything_is_drawn(call, folder: Path, monkeypatch) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("spatialspec.measure.runs.draw", stop)
    monkeypatch.setattr("spatialspec.show.trace.trace", stop)
    for command in ("generate", "show"):
        code, out, _ = call(command, "fruit", "--model", folder)
        assert (code, out) == (130, NOTES)


def test_show_prints_notes(call, folder: Path) -> None:
    code, out, err = call("show", "fruit", "--model", folder, "--method", "jacobi")
    assert (code, err) == (0, "") and out.startswith(f"{NOTES}passes: ")
