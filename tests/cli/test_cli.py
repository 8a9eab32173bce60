"""The command line: what it writes and prints, and one line for every bad input."""

import json
import os
import re
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from PIL import Image

from helpers.tiny import call_main, tiny_folder, write_pictures
from spatialspec import __version__
from spatialspec.cli.display import progress, table
from spatialspec.io.prompts import BUILT_IN
from spatialspec.methods.registry import REGISTRY, methods


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_folder(tmp_path_factory.mktemp("model"))


@pytest.fixture
def call(capsys, monkeypatch, tmp_path):
    """Run the command line in an empty folder."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return partial(call_main, capsys)


def test_version(call):
    assert call("--version") == (0, f"spatialspec {__version__}\n", "")


@pytest.mark.parametrize("command", [[], ["generate"], ["bench"], ["models"], ["train"], ["train", "target"]], ids=str)
def test_help_imports_nothing_heavy(command):
    program = (
        "import sys\nfrom spatialspec.cli import main\ntry: main()\nexcept SystemExit as left: code = left.code\n"
        "heavy = {'torch', 'numpy', 'PIL', 'tokenizers', 'safetensors'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else code)"
    )
    paths = os.pathsep.join(filter(None, sys.path))
    result = subprocess.run(
        [sys.executable, "-c", program, *command, "--help"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": paths},
    )
    assert result.returncode == 0, result.stderr
    assert "Usage: spatialspec" in result.stdout and "..." not in result.stdout.replace("[ARGS]...", "").replace(
        "[:key=value...]", ""
    ), "cut or missing help"


def test_no_command_prints_help(call):
    code, out, _ = call()
    assert code == 0 and "generate" in out
    code, out, _ = call("train")
    assert code == 0 and "tokenizer" in out


def test_methods_are_listed_with_options(call):
    code, out, _ = call("methods")
    assert code == 0 and all(f"{name}: {entry.summary}" in out for name, entry in methods().items())
    assert "rounds=2" in out and "not exact" in out


def test_models_lists_models(call, folder, tmp_path, monkeypatch):
    shutil.copytree(folder, tmp_path / "weights" / "icons")
    (tmp_path / "weights" / "icons" / "README.md").write_text("---\nlicense: apache-2.0\n---\n")
    monkeypatch.setattr("spatialspec.models.WEIGHTS", tmp_path / "weights")
    monkeypatch.setattr("spatialspec.cli.models.WEIGHTS", tmp_path / "weights")
    code, out, _ = call("models")
    assert code == 0
    assert re.search(r"icons: grid 6x6, vocabulary 64, [\d,]+ parameters, licence apache-2.0, drafts hawk, ssd\n", out)


def test_generate_writes_a_picture(call, folder):
    code, out, err = call("generate", "red apple, 3d", "--model", folder, "--seed", 0, "--json", "figures.json")
    assert (code, err) == (0, "")
    assert Image.open("spatialspec.png").size == (24, 24)
    lines = out.splitlines()
    assert lines[0].split() == ["method", "exact", "passes", "tokens/pass", "accepted", "seconds"]
    assert lines[1].split()[:2] == ["spatial", "yes"] and lines[-1] == "wrote spatialspec.png (24 x 24 pixels), seed 0"
    document = json.loads(Path("figures.json").read_text())
    (ours,) = document["methods"]
    assert ours["speedup_passes"] is None and ours["same_tokens_as_ar"] is None and ours["pit_ks"] > 0
    assert document["settings"]["command"] == "generate" and document["settings"]["guidance"] == 1.5
    assert sorted(os.listdir()) == ["figures.json", "spatialspec.png"]


def test_the_same_call_gives_the_same_picture(call, folder):
    for name, seed, extra in (("a", 0, []), ("b", 0, []), ("c", 0, ["--method", "ar"]), ("d", 1, [])):
        assert call("generate", "a cat", "--model", folder, "--seed", seed, "--out", f"{name}.png", *extra)[0] == 0
    pixels = [Image.open(f"{name}.png").tobytes() for name in "abcd"]
    assert pixels[0] == pixels[1] == pixels[2] != pixels[3]


def test_compare_puts_ar_first(call, folder):
    code, out, err = call("generate", "a cat", "--model", folder, "--method", "hawk,ssd:rounds=1", "--compare")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert [line.split()[0] for line in lines[1:4]] == ["ar", "hawk", "ssd:rounds=1"]
    assert lines[0].endswith("x passes  x time  same as AR")
    assert lines[1].split()[-1] == lines[2].split()[-1] == "100.0%"
    assert lines[4].startswith("ssd:rounds=1 is not exact, its distance from AR: gap ")
    sheet = Image.open("spatialspec.png")
    assert sheet.width >= 3 * 192 and sheet.height > 192 + 30
    captions = sheet.crop((0, 12 + 192 + 12, sheet.width, sheet.height)).convert("L")
    assert captions.getextrema()[0] < 128, "nothing is written below the images"


def test_several_images(call, folder):
    several = ["--num-images", 3, "--sheet", "--seed", 0, "--out", "three.png"]
    code, _, _ = call("generate", "a cat", "--model", folder, "--method", "ar", *several)
    assert code == 0 and Image.open("three.png").size == (2 * 24 + 12, 2 * 24 + 12)
    call("generate", "a cat", "--model", folder, "--seed", 1, "--out", "second.png", "--method", "ar")
    second = Image.open("three.png").crop((36, 0, 60, 24))
    assert second.tobytes() == Image.open("second.png").tobytes(), "image i has seed + i"


def test_sampling_options_reach_the_model(call, folder):
    options = ["--guidance", 2, "--temperature", 0.7, "--top-k", 9, "--top-p", 0.9, "--negative-prompt", "tree"]
    where = ["--size", "4x5", "--verifier", "rejection", "--json", "a.json", "--dtype", "bf16", "--device", "cpu"]
    code, _, err = call("generate", "a cat", "--model", folder, *options, *where)
    assert (code, err) == (0, "")
    settings = json.loads(Path("a.json").read_text())["settings"]
    expected = {"guidance": 2, "temperature": 0.7, "top_k": 9, "top_p": 0.9, "negative_prompt": "tree", "size": "4x5"}
    assert expected.items() <= settings.items()
    assert settings["verifier"] == "rejection" and settings["dtype"] == "bf16"
    assert Image.open("spatialspec.png").size == (20, 16)


def test_bench(call, folder):
    code, out, err = call(
        "bench", "--methods", "ar,hawk", "--model", folder, "--limit", 2, "--size", "3x4", "--json", "a.json"
    )
    assert (code, err) == (0, "")
    document = json.loads(Path("a.json").read_text())
    assert [(m["method"], m["images"]) for m in document["methods"]] == [("ar", 2), ("hawk", 2)]
    assert document["settings"]["prompts"] == 2
    lines = out.splitlines()
    assert [line.split()[0] for line in lines[:3]] == ["method", "ar", "hawk"] and "pit ks" in lines[0]


def test_bench_reads_prompts(call, folder):
    Path("mine.csv").write_text("text\na cat\nred apple\ngreen tree\n")
    code, _, err = call(
        "bench", "--methods", "ar", "--model", folder, "--prompts", "mine.csv", "--size", "2x2", "--json", "a.json"
    )
    assert (code, err) == (0, "")
    assert json.loads(Path("a.json").read_text())["settings"]["prompts"] == 3
    assert len(BUILT_IN) > 3


def test_a_stopped_write_leaves_the_old_file(tmp_path, monkeypatch):
    from spatialspec.io.files import write_bytes

    path = tmp_path / "a.png"
    write_bytes(path, b"old")

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_bytes(path, b"new")
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["a.png"]


@pytest.mark.slow
def test_training_ends_in_a_model_that_draws(call, monkeypatch):
    monkeypatch.setattr("spatialspec.lab.icons.tokenizer.tune_threads", lambda: None)
    monkeypatch.setattr("spatialspec.lab.icons.target.tune_threads", lambda: None)
    write_pictures(Path("pictures"))
    common = ["--data", "pictures", "--seed", 1]
    code, out, err = call("train", "tokenizer", *common, "--out", "vq", "--steps", 1, "--batch", 1)
    assert (code, err) == (0, "") and "held-out concepts" in out
    sizes = ["--width", 32, "--layers", 1, "--words", 300, "--no-compile"]
    sizes += ["--stages", "6:2:1,12:2:1", "--sketch-steps", 2]
    for _ in range(2):  # the second run resumes, and has nothing left to do
        code, out, err = call("train", "target", *common, "--tokenizer", "vq", "--out", "target", *sizes)
        assert (code, err) == (0, "") and "wrote target/model" in out
    for drafter, own in (("hawk", []), ("ssd", ["--pictures", 1])):
        monkeypatch.setattr("spatialspec.drafts.task.HELD_OUT", 1)
        steps = ["--target", "target/model", "--drafter", drafter, "--steps", 1, "--batch", 2, *own]
        code, out, err = call("train", "draft", *common, *steps)
        assert (code, err) == (0, "") and f"wrote target/model/drafts/{drafter}" in out
    code, out, err = call("generate", "thing 1", "--model", "target/model", "--method", "hawk,ssd,spatial")
    assert (code, err) == (0, "") and Path("spatialspec.png").exists()
    assert "12x12" in Path("target/model/README.md").read_text(), "the grid of the last stage"


def test_progress_is_for_terminals_only(capsys, monkeypatch):
    with progress(10) as report:
        report("hawk", 5)
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with progress(10) as report:
        report("hawk", 5)
    printed = capsys.readouterr()
    assert printed.out == "" and "hawk" in printed.err and "5/10" in printed.err


def test_tables_are_never_cut(monkeypatch):
    monkeypatch.setenv("COLUMNS", "10")
    wide = "a" * 300
    assert table((("method", str), ("x", lambda text: str(len(text)))), [wide]).splitlines()[1].startswith(wide + "  ")


PLUGIN = """from spatialspec import Method, register
from spatialspec.methods.jacobi import Jacobi, JacobiOptions

METHOD = register(Method("plugged", "a window from a file", JacobiOptions(), Jacobi, rule="coupled"))
"""


def test_a_method_from_a_file(call, folder, tmp_path, monkeypatch):
    """Known to the command that names the file, listed, and AR's tokens as it promises."""
    monkeypatch.setattr(REGISTRY, "named", methods())
    (tmp_path / "mine.py").write_text(PLUGIN)
    plug = ("--plugin", tmp_path / "mine.py")
    code, out, _ = call("methods", *plug)
    assert code == 0 and "plugged: a window from a file (exact)" in out
    assert "plugged" in call("models", *plug)[1].splitlines()[-1]
    draw = ("generate", "a cat", "--model", folder, "--seed", 0)
    assert call(*draw, "--method", "plugged:length=3", "--out", "a.png", *plug)[0] == 0
    assert call(*draw, "--method", "ar", "--out", "b.png")[0] == 0
    assert Image.open("a.png").tobytes() == Image.open("b.png").tobytes()
    for text in ("1 / 0", "def", None):
        (tmp_path / "broken.py").write_text(text) if text else (tmp_path / "broken.py").unlink()
        code, out, err = call("generate", "a cat", "--model", folder, "--plugin", tmp_path / "broken.py")
        assert (code, out) == (2, "") and err.count("\n") == 1 and "broken.py" in err
