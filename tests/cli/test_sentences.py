"""What the command line says, and the home folder in its paths."""

import logging
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from helpers import llamagen_tiny
from helpers.tiny import call_main
from spatialspec import arguments

ESCAPE = "\x1b]0;evil\x07"


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Run the command line in an empty folder, which is also the home folder of `~`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    return partial(call_main, capsys)


def test_home_folders(call: Any, tmp_path: Path) -> None:
    draw = ("generate", "red apple, 3d", "--size", "2x2")
    assert call(*draw, "--out=~/a.png", "--json", "~/a.json")[0] == 0
    assert (tmp_path / "a.png").is_file() and (tmp_path / "a.json").is_file() and not (tmp_path / "~").exists()
    (tmp_path / "some.txt").write_text("red apple, 3d\n")
    assert call("bench", "--methods", "ar", "--size", "2x2", "--prompts", "~/some.txt", "--json=~/b.json")[0] == 0
    for words in (
        ("evaluate", "--out", "~/no/out"), ("evaluate", "--export=~/no/out"), ("evaluate", "--prompts", "~/no/a.txt"),
        ("evaluate", "--real", "~/no"), ("generate", "a", "--draft", "~/no"), ("doctor", "--model", "~/no"),
        ("convert", "~/no", "~/new"), ("evaluate", "--features", "~/no"), ("train", "draft", "--config", "~/no.yaml"),
        ("evaluate", "--clip", "~/no"), ("evaluate", "--scenes", "~/no"), ("generate", "a", "--plugin", "~/no.py"),
    ):  # fmt: skip
        code, _, err = call(*words)
        assert code == 2 and "~" not in err and str(tmp_path) in err, (words, err)
    assert arguments.path("draft", "~/a") == tmp_path / "a"


def test_no_message_of_a_library_reaches_a_terminal_raw(call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    factory, form = logging.getLogRecordFactory(), warnings.formatwarning
    try:
        call("methods")
        record = logging.getLogRecordFactory()("a", 30, "b", 1, "%s %d", (ESCAPE, 3), None)
        assert record.getMessage() == r"\x1b]0;evil\x07 3"
        assert ESCAPE not in warnings.formatwarning(ESCAPE, UserWarning, "file", 1)
    finally:
        logging.setLogRecordFactory(factory)
        warnings.formatwarning = form


def test_models_of_classes_need_prompts_of_their_own(call: Any, tmp_path: Path) -> None:
    model = llamagen_tiny.tiny_folder(tmp_path / "llamagen", "class")
    (tmp_path / "classes.txt").write_text("tench\n")
    for command in ("bench", "evaluate"):
        code, _, err = call(command, "--model", model, "--methods", "ar")
        assert code == 2 and "give --prompts FILE" in err, err
    code, _, err = call("evaluate", "--model", model, "--methods", "ar", "--prompts", "classes.txt", "--num-images", 1)
    assert code == 0, err


SAID = {
    "generate a --seed x": "got --seed 'x', expected a whole number",
    "generate a --seed=1.5": "got --seed '1.5', expected a whole number",
    "generate a --guidance x": "got --guidance 'x', expected a number",
    "convert a b --heads x": "got --heads 'x', expected a whole number",
    "generate a b c": "got the extra words 'b c', expected PROMPT and options only",
    "doctor icons": "got the extra words 'icons', expected no word and options only",
    "generate a --sed 3": "did you mean --seed? see --help",
    "generate a --colour red": "got the option '--colour', expected one of --out, --method",
    "genrate a": "got the command 'genrate', expected one of generate, bench",
    "train drft": "did you mean draft? see --help",
    "generate a --dtype int8": "got --dtype 'int8', expected one of fp32",
    "generate a --device cuda:77": "got --device 'cuda:77', expected one that this machine has",
    "doctor --device xpu:9": "got --device 'xpu:9'",
    "doctor --dtype int8": "got --dtype 'int8'",
    "generate a --size 3y3": "got --size '3y3', expected ROWSxCOLUMNS",
    "generate a --top-k -1": "got --top-k -1",
}


@pytest.mark.parametrize("words", SAID)
def test_sentences_of_the_command_line(call: Any, words: str) -> None:
    code, _, err = call(*words.split())
    assert code == 2 and SAID[words] in err and err.count("\n") == 1, err
