"""`spatialspec models NAME`: what a model knows, as words and as a sheet of images."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from PIL import Image

from helpers.terminal import run_in_terminal, screen
from helpers.tiny import call_main, tiny_folder
from helpers.tiny_checkpoints import tiny_janus
from spatialspec import SpatialPipeline
from spatialspec.cli.display import in_columns
from spatialspec.cli.sheet import captioned
from spatialspec.targets.icons.concepts import FILE, Concept, Concepts

KNOWN = {
    "red apple": Concept(("3d", "flat")),
    "cat": Concept(("3d", "flat")),
    "toilet": Concept(("clip art",)),
    "bee": Concept(("flat",)),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tiny_folder(tmp_path_factory.mktemp("model"))
    Concepts(KNOWN).write(folder / FILE)
    return folder


@pytest.fixture(scope="module")
def without(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, bool]:
    """Models without a list, and whether there is a line on them."""
    folder = tmp_path_factory.mktemp("without")
    return {tiny_folder(folder / "tiny"): True, tiny_janus(folder / "janus"): False}


@pytest.fixture
def call(capsys, monkeypatch, tmp_path):
    """List or draw in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return partial(call_main, capsys, "models")


def test_what_a_model_knows(call, folder: Path) -> None:
    code, out, err = call(folder)
    assert (code, err) == (0, "")
    line, *more = out.splitlines()
    assert line.startswith(f"{folder}: grid 6x6, vocabulary 64, ") and line.endswith("drafts hawk, ssd")
    assert more == [
        "4 concepts, in the drawing styles 3d (2), flat (3), clip art (1)",
        "in 2 styles (2):", "  cat", "  red apple", "in 1 style (2):", "  bee", "  toilet",
    ]  # fmt: skip


def test_what_a_model_knows_in_a_style(call, folder: Path) -> None:
    code, out, _ = call(folder, "--style", "flat")
    assert code == 0 and out.splitlines()[1:] == [
        "3 concepts in the drawing style flat",
        "in flat and 1 more (2):", "  cat", "  red apple", "in flat (1):", "  bee",
    ]  # fmt: skip
    assert call(folder, "--style", "Flat Design")[:2] == (0, out)


def test_the_embedded_model_without_torch() -> None:
    program = (
        "import sys\nfrom spatialspec.cli import main\n"
        "try: main(['models', 'icons', '--style', 'flat'])\nexcept SystemExit as left: code = left.code\n"
        "sys.exit('imported torch' if 'torch' in sys.modules else code)"
    )
    path = os.pathsep.join(filter(None, sys.path))
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path}
    )
    assert result.returncode == 0, result.stderr
    assert "\n  red apple\n" in result.stdout and result.stdout.startswith("icons: grid 24x24, ")


def test_words_in_a_terminal() -> None:
    code, written = run_in_terminal(["models", "icons"], columns=70)
    lines = [line for line in screen(written) if re.match(r"  \S", line)]
    assert code == 0 and max(map(len, lines)) <= 70
    starts = [match.start() for line in lines for match in re.finditer(r"(?<=  )\S", line)]
    assert len(starts) > 1.5 * len(lines) and {start % 18 for start in starts} == {2}


def test_words_in_columns(monkeypatch) -> None:
    monkeypatch.setattr("spatialspec.cli.display.terminal_width", lambda: 30)
    words = ["a", "bb", "a long name of a thing", "cc", "dd", "a name that is longer than the line"]
    assert in_columns(words, step=10).splitlines() == [
        "  a         bb",
        "  a long name of a thing",
        "  cc        dd",
        "  a name that is longer than the line",
    ]
    assert in_columns(["abcdefgh", "c", "abcdefghi", "d"], step=10).splitlines() == [
        "  abcdefgh  c",
        "  abcdefghi           d",
    ]
    assert in_columns([]) == ""


def test_a_model_without_a_list(call, without: dict[Path, bool]) -> None:
    for model, line in without.items():
        code, out, err = call(model)
        assert (code, err) == (0, "")
        assert f"{model} has no list of what it knows: there is no concepts.csv in its folder\n" in out
        assert out.startswith(f"{model}: grid 6x6") == line
        for options in (["--style", "3d"], ["--out", "a.png"]):
            code, out, err = call(model, *options)
            assert (code, out, err.count("\n")) == (2, "", 1) and "concepts.csv" in err


def test_a_sheet(call, folder: Path) -> None:
    """The images that Python draws, enlarged, above their captions."""
    code, out, err = call(folder, "--out", "sheet.png")
    assert (code, err) == (0, "") and out.endswith("\nwrote sheet.png: 4 concepts (576 x 160 pixels)\n")
    assert "  cat" not in out
    prompts = ["red apple, 3d", "cat, flat", "toilet, clip art", "bee, flat"]
    images = SpatialPipeline.from_pretrained(folder)(prompts, seed=0).images
    sheet = Image.open("sheet.png")
    assert sheet.tobytes() == captioned(prompts, images).tobytes()
    second = images[1].resize((136, 136), Image.Resampling.LANCZOS)
    assert sheet.crop((148, 2, 284, 138)).tobytes() == second.tobytes()
    assert sheet.crop((148, 138, 284, 160)).convert("L").getextrema()[0] < 128, "a caption"


def test_a_smaller_sheet_of_a_style(call, folder: Path) -> None:
    code, out, _ = call(folder, "--out", "sheet.png", "--limit", 2, "--style", "flat")
    assert code == 0 and "2 concepts (288 x 160 pixels)" in out
    prompts = ["red apple, flat", "cat, flat"]
    images = SpatialPipeline.from_pretrained(folder)(prompts, seed=0).images
    assert Image.open("sheet.png").tobytes() == captioned(prompts, images).tobytes()


def test_captions_and_images_of_any_size() -> None:
    """A long caption goes on below, a wide image keeps its ratio."""
    red, blue = Image.new("RGB", (40, 20), "red"), Image.new("RGB", (10, 10), "blue")
    sheet = captioned(["a caption of very many words, 3d", "short"], [red, blue])
    assert sheet.size == (288, 172)
    assert sheet.crop((4, 36, 140, 104)).getcolors() == [(136 * 68, (255, 0, 0))]
    assert sheet.getpixel((72, 30)) == (255, 255, 255)
    assert sheet.crop((148, 2, 284, 138)).getcolors() == [(136 * 136, (0, 0, 255))]
    below = [sheet.crop((x, 151, x + 144, 172)).convert("L").getextrema()[0] for x in (0, 144)]
    assert below[0] < 128 and below[1] == 255


BAD = {
    "no such model": (["nowhere"], "got model 'nowhere'"),
    "no such style": (["FOLDER", "--style", "cubist"], "expected one of 3d, flat, clip art"),
    "a style without a model": (["--style", "flat"], "`spatialspec models icons --style flat`"),
    "a sheet without a model": (["--out", "a.png"], "got --out without a model"),
    "a limit without a model": (["--limit", "3"], "got --limit without a model"),
    "a limit without a sheet": (["FOLDER", "--limit", "3"], "got --limit without --out"),
    "no images": (["FOLDER", "--out", "a.png", "--limit", "0"], "--limit 0"),
    "too many images": (["FOLDER", "--out", "a.png", "--limit", "1025"], "1 to 1024"),
    "no png": (["FOLDER", "--out", "a.jpg"], "ends in .png"),
    "a file of the model": (["FOLDER", "--out", "FOLDER/a.png"], "which this command also reads"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_line(call, folder: Path, name: str) -> None:
    words, expected = BAD[name]
    if name == "a file of the model":
        (folder / "a.png").write_text("")
    code, out, err = call(*(word.replace("FOLDER", str(folder)) for word in words))
    (folder / "a.png").unlink(missing_ok=True)
    assert (code, out, err.count("\n")) == (2, "", 1) and expected in err
    assert not list(Path().iterdir())


def test_a_damaged_list_is_one_line(call, folder: Path, tmp_path: Path) -> None:
    model = tiny_folder(tmp_path / "tiny")
    (model / FILE).write_text("concept,styles,names,words\n\x1b[31m,3d,,\n")
    for command in ((model,), (model, "--out", "a.png")):
        code, out, err = call(*command)
        assert (code, out, err.count("\n")) == (2, "", 1) and f"{FILE}, line 2" in err and "\x1b" not in err
