"""`generate --prompts`: one image a file, an index of them, bad lines refused first, and a run that goes on."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from helpers.paths import ROOT
from helpers.serving import eventually
from helpers.tiny import call_main, tiny_folder
from spatialspec import SpatialPipeline
from spatialspec.measure import prompt_run
from spatialspec.measure.prompt_run import IndexLine, PromptRun
from spatialspec.request import STRIDE
from spatialspec.serve import ray_cluster
from spatialspec.serve.ray_cluster import ModelSource

PROMPTS = ["a cat", "red apple, 3d", "a cat", "blue heart, flat"]
Call = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_folder(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, folder: Path) -> Call:
    monkeypatch.chdir(tmp_path)
    Path("tiny").symlink_to(folder)
    Path("prompts.txt").write_text("\n".join(PROMPTS) + "\n")
    return partial(call_main, capsys, "generate", "--prompts", "prompts.txt", "--model", "tiny", "--out", "out")


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Prompts that are drawn from now on."""
    found, draw = list[str](), prompt_run.draw
    monkeypatch.setattr(prompt_run, "draw", lambda *all_: found.extend(all_[2].prompts) or draw(*all_))
    return found


def lines(out: str = "out") -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(out, "index.jsonl").read_text().splitlines()]


def files(out: str = "out") -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path(out).glob("*.png")}


def test_every_prompt_is_a_file_and_a_line(call: Call, folder: Path) -> None:
    code, out, err = call("--seed", 7, "--num-images", 2, "--method", "jacobi:length=9", "--temperature", 0.8)
    assert (code, err, out) == (0, "", "wrote 8 of 8 images to out, listed in out/index.jsonl; the others were there\n")
    pipe, found = SpatialPipeline.from_pretrained(folder), lines()
    assert [line["file"] for line in found] == [f"00000{j}-000{i}.png" for j in range(4) for i in range(2)]
    assert {path.name for path in Path("out").iterdir()} == {*files(), "index.jsonl"} and len(files()) == 8
    for k, line in enumerate(found):
        prompt, seed = PROMPTS[k // 2], 7 + STRIDE * (k // 2) + k % 2
        assert (line["prompt"], line["seed"], line["method"]) == (prompt, seed, "jacobi:length=9")
        alone = pipe(prompt, seed=seed, method="jacobi:length=9", temperature=0.8)
        assert np.array_equal(Image.open(Path("out", line["file"])), alone.images[0])
        assert line["passes"] == alone.report.target_passes and line["seconds"] > 0
        assert line["sha256"] == hashlib.sha256(files()[line["file"]]).hexdigest()


def test_an_image_of_it_is_drawn_again_by_itself(call: Call, capsys: pytest.CaptureFixture[str]) -> None:
    assert call()[0] == 0
    code, _, err = call_main(capsys, "generate", "--again", "out/000003-0000.png", "--out", "again.png")
    assert (code, err) == (0, "")
    assert np.array_equal(Image.open("again.png"), Image.open("out/000003-0000.png"))
    assert lines()[3]["seed"] == 3 * STRIDE, "without --seed it is 0, so that the same command resumes"


def test_a_second_run_draws_what_is_missing(call: Call, drawn: list[str]) -> None:
    """A file that is gone, one that was changed, a line that is cut short; other prompts are left alone."""
    call("--num-images", 2)
    before, index = files(), Path("out/index.jsonl")
    drawn.clear()
    assert call("--num-images", 2)[1].startswith("wrote 0 of 8 images") and not drawn
    Path("out/000000-0001.png").unlink()
    Path("out/000001-0000.png").write_bytes(before["000000-0000.png"])
    index.write_bytes(index.read_bytes()[:-20])
    assert call("--num-images", 2)[1].startswith("wrote 3 of 8 images")
    assert drawn == ["a cat", "a cat", "red apple, 3d", "red apple, 3d", "blue heart, flat", "blue heart, flat"]
    assert files() == before and sorted(line["file"] for line in lines()) == sorted(before)
    with Path("prompts.txt").open("a") as more:
        more.write("green tree\n")
    drawn.clear()
    assert call("--num-images", 2)[1].startswith("wrote 2 of 10 images") and drawn == ["green tree"] * 2


def test_sigkill_leaves_a_folder_that_goes_on(call: Call, tmp_path: Path) -> None:
    """Whatever the index lists is whole, and the finished folder is that of a run in one piece."""
    Path("prompts.txt").write_text("\n".join(PROMPTS * 8))
    words = [sys.executable, "-m", "spatialspec", "generate", "--prompts", "prompts.txt", "--model", "tiny"]
    environment, index = {**os.environ, "PYTHONPATH": str(ROOT / "src")}, Path("out/index.jsonl")
    process = subprocess.Popen([*words, "--out", "out"], env=environment)
    eventually(lambda: index.exists() and index.read_bytes().count(b"\n") >= 3, "nothing is drawn")
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    text = index.read_text()
    listed = [json.loads(line) for line in text[: text.rfind("\n")].splitlines()]
    assert 3 <= len(listed) < 32, "it was done before it could be killed"
    assert all(hashlib.sha256(files()[one["file"]]).hexdigest() == one["sha256"] for one in listed)
    assert call()[1].startswith(f"wrote {32 - len(listed)} of 32 images")
    assert call("--out", "whole")[0] == 0
    assert files() == files("whole")
    assert not [path for path in Path("out").iterdir() if path.suffix not in (".png", ".jsonl", ".partial")]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.txt", "a cat\nred\0apple\n", "a.txt, line 2"),
        ("b.txt", "a cat\n" + "x" * 10_001 + "\n", "b.txt, line 2: got a prompt of 10,001 characters"),
        ("c.jsonl", '{"prompt": "a cat"}\n{"prompt": " "}\n', "c.jsonl, line 2: got an empty prompt"),
        ("d.jsonl", '{"prompt": "a cat"}\n{"text": 3}\n', "d.jsonl, line 2: got the prompt 3"),
        ("e.csv", "prompt,n\na cat,1\nred apple, 3d,2\n", "e.csv, line 3: got 3 cells for 2 columns"),
        ("f.txt", "\n \n", "no prompt"),
    ],
)
def test_a_bad_line_is_refused_first(call: Call, drawn: list[str], name: str, text: str, message: str) -> None:
    Path(name).write_text(text)
    code, out, err = call("--prompts", name)
    assert (code, out, err.count("\n")) == (2, "", 1) and message in err
    assert not drawn and not Path("out").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["a cat"], "got --prompts and a prompt"),
        (["--compare"], "got --prompts and --compare"),
        (["--sheet"], "got --prompts and --sheet"),
        (["--scale", 2], "got --prompts and --scale"),
        (["--json", "a.json"], "got --prompts and --json"),
        (["--csv", "a.csv"], "got --prompts and --csv"),
        (["--again", "a.png"], "got --prompts and --again"),
        (["--method", "ar,spatial"], "got 2 methods with --prompts"),
        (["--budget", "auto"], "got --budget auto with --prompts"),
        (["--out", "a.png"], "got --out a.png, expected a folder"),
        (["--out", "prompts.txt"], "which is a file"),
        (["--out", "none/out"], "expected an existing folder around it"),
        (["--prompts", "none.txt"], "no file none.txt"),
    ],
)
def test_what_does_not_go_together(call: Call, drawn: list[str], words: list[object], message: str) -> None:
    code, out, err = call(*words)
    assert (code, out, err.count("\n")) == (2, "", 1) and message in err and not drawn


@pytest.mark.parametrize(
    ("words", "message"),
    [(["--seed", 1], "got seed 1, expected 0"), (["--guidance", 3], "got guidance 3.0, expected 1.5")],
)
def test_another_run_does_not_replace_images(call: Call, drawn: list[str], words: list[object], message: str) -> None:
    call()
    before = files() | {"index": Path("out/index.jsonl").read_bytes()}
    drawn.clear()
    code, _, err = call(*words)
    assert code == 2 and message in err and "out/index.jsonl, line 1" in err and "choose another --out" in err
    Path("prompts.txt").write_text("red apple, 3d\n")
    assert "got prompt 'red apple, 3d', expected 'a cat'" in call()[2]
    assert not drawn and files() | {"index": Path("out/index.jsonl").read_bytes()} == before


@pytest.mark.parametrize("line", ["{}", "[]", "no", '{"file": "../a.png"}'])
def test_an_index_of_something_else(call: Call, drawn: list[str], line: str) -> None:
    Path("out").mkdir()
    Path("out/index.jsonl").write_text(line + "\n")
    code, _, err = call()
    assert code == 2 and "out/index.jsonl, line 1: got no line of an index" in err and not drawn


def test_a_draft_model_drafts_and_is_noted(call: Call, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Here, and by what Ray's actors load (in this process); an index of images of another one is another run."""
    Path("small").symlink_to(folder)
    drafted = ["--draft-model", "small", "--method", "sibling"]

    def drawn(source: ModelSource, run: PromptRun, prompts: Sequence[int]) -> Iterator[tuple[IndexLine, bytes]]:
        pipeline = source.anywhere().load()
        for prompt in prompts:
            yield from run.draw(pipeline, prompt, lambda method, cells: None)

    monkeypatch.setattr(ray_cluster, "cluster", nullcontext)
    monkeypatch.setitem(sys.modules, "spatialspec.serve.ray_data", SimpleNamespace(drawn=drawn))
    assert call(*drafted)[::2] == (0, "")
    assert call(*drafted, "--out", "ray", "--ray")[::2] == (0, "")
    assert files() == files("ray") and {line["draft_model"] for line in lines("ray")} == {"small"}
    code, _, err = call("--method", "sibling", "--draft-model", "tiny")
    assert code == 2 and "got draft_model 'tiny', expected 'small'" in err
