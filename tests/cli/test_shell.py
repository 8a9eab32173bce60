"""The command line around the commands: one line for every error, nothing unescaped, nothing lost."""

import io
import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from helpers.tiny import call_main, tiny_folder
from spatialspec.cli import main
from spatialspec.core.errors import BadInput

DRAW = ["generate", "cat", "--size", "2x2", "--method", "ar"]
ESCAPE = "\x1b[31m\u202e"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_folder(tmp_path_factory.mktemp("model"))


@pytest.fixture
def call(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    return partial(call_main, capsys)


OPTIONS = [
    "--method",
    "--model",
    "--draft",
    "--verifier",
    "--seed",
    "--guidance",
    "--temperature",
    "--top-k",
    "--top-p",
    "--size",
    "--num-images",
    "--budget",
    "--tolerance",
    "--quality",
    "--device",
    "--dtype",
    "--out",
    "--json",
]
ODD = [ESCAPE, "9" * 5000, "1e400", "a/" * 3000, "\udcff", "\0", "-9" * 40]
FINE = {("--tolerance", "9" * 5000), ("--tolerance", "1e400")} | {  # a tolerance may be infinite, a file be called so
    ("--json", name) for name in (ESCAPE, "1e400", "\udcff", "-9" * 40)
}


@pytest.mark.parametrize(
    ("option", "value"), [(option, value) for option in OPTIONS for value in ODD if (option, value) not in FINE]
)
def test_odd_words_for_every_option(call, folder, option, value, monkeypatch):
    monkeypatch.setattr("spatialspec.pipeline.SpatialPipeline.from_pretrained", lambda *_: pytest.fail("loaded"))
    given = [*DRAW, "--model", folder] if option != "--model" else DRAW
    if option == "--device":
        monkeypatch.undo()
    code, out, err = call(*given, option, value)
    assert code == 2 and out == "" and err.startswith("error: ") and err.count("\n") == 1
    assert err.strip().isprintable() and len(err) < 1100 and "set_int_max" not in err


@pytest.mark.parametrize("prompt", ["a\udcff", "a\0b", "a" * 10_001, ESCAPE + " " * 9_999])
def test_prompts_that_nothing_can_be_drawn_from(call, folder, prompt):
    code, _, err = call("generate", prompt, "--model", folder)
    assert code == 2 and "got a prompt" in err and err.strip().isprintable()


def test_output_is_escaped(call, folder):
    name = f"a{ESCAPE}\udcff.png"
    code, out, err = call(*DRAW, "--model", folder, "--out", name)
    assert (code, err) == (0, "") and r"wrote a\x1b[31m\u202e\udcff.png" in out and os.listdir() == [name]


def test_an_output_that_the_model_is_read_from(call, folder):
    before = (folder / "config.json").read_bytes()
    code, _, err = call(*DRAW, "--model", folder, "--json", folder / "config.json")
    assert code == 2 and "another file" in err and (folder / "config.json").read_bytes() == before


def full(path: Path, _: object) -> None:
    raise OSError(f"{path}: could not be written (No space left on device)")


@pytest.mark.parametrize(
    ("writer", "lost"), [("cli.display.write_text", "a.json"), ("io.images.write_bytes", "a.png")], ids=["json", "png"]
)
def test_the_table_and_the_other_file_stay_where_one_fails(call, folder, monkeypatch, writer, lost):
    monkeypatch.setattr(f"spatialspec.{writer}", full)
    code, out, err = call(*DRAW, "--model", folder, "--out", "a.png", "--json", "a.json")
    assert code == 2 and err.startswith(f"error: {lost}: could not be written") and err.count("\n") == 1
    assert "passes" in out and ("wrote a.png" in out) == (lost == "a.json")
    assert os.listdir() == [name for name in ("a.json", "a.png") if name != lost]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", None])
def test_the_image_is_saved_whatever_the_terminal_can_show(folder, tmp_path, monkeypatch, encoding):
    """A terminal of few letters; no stdout at all."""
    shown = io.BytesIO()
    stream = None if encoding is None else io.TextIOWrapper(shown, encoding, write_through=True)
    monkeypatch.setattr(sys, "stdout", stream)
    with pytest.raises(SystemExit) as left:
        main([*DRAW, "--model", str(folder), "--out", str(tmp_path / "bild-\u6f22.png")])
    assert left.value.code == 0 and os.listdir(tmp_path) == ["bild-\u6f22.png"]
    assert encoding is None or b"wrote" in shown.getvalue()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_results_that_cannot_be_shown_are_saved(folder, tmp_path):
    command = [sys.executable, "-m", "spatialspec", *DRAW, "--model", str(folder), "--out", "a.png", "--json", "a.json"]
    source = {**os.environ, "PYTHONPATH": str(Path(main.__code__.co_filename).parents[2])}
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, cwd=tmp_path, env=source)
    assert done.returncode == 2 and done.stderr == "error: standard output: No space left on device\n"
    assert sorted(os.listdir(tmp_path)) == ["a.json", "a.png"]


@pytest.mark.parametrize(
    ("error", "code", "expected"),
    [
        (KeyError(ESCAPE), 2, "a bug of spatialspec (KeyError: "),
        (RecursionError("deep"), 2, "RecursionError: 'deep', "),
        (MemoryError(), 2, "out of memory: draw fewer"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), 2, "out of memory: draw fewer"),
        (BadInput(ESCAPE, "b\nc\n"), 2, r"got \x1b[31m\u202e, expected b c"),
        (OSError(28, "No space left on device", f"a{ESCAPE}"), 2, r"a\x1b[31m\u202e: No space left on device"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_whatever_is_raised_is_one_line(call, folder, monkeypatch, error, code, expected):
    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr("spatialspec.pipeline.SpatialPipeline.from_pretrained", fail)
    got, out, err = call(*DRAW, "--model", folder)
    assert got == code and out == "" and expected in err and err.count("\n") == 1 and err.strip().isprintable()


def test_every_line_goes_one_way():
    """`say` escapes; nothing else of the command line prints."""
    files = Path(main.__code__.co_filename).parent.glob("*.py")
    found = {file.name: text.count("echo(") + text.count("print(") for file in files if (text := file.read_text())}
    assert {name: count for name, count in found.items() if count} == {"__init__.py": 1, "display.py": 1}
