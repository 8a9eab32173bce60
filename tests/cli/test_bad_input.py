"""Every bad input is one line on stderr and exit code 2, and nothing is written."""

import os
import shutil
from functools import partial
from pathlib import Path

import pytest

from helpers.tiny import call_main, tiny_folder, write_pictures


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_folder(tmp_path_factory.mktemp("model"))


@pytest.fixture
def call(capsys, monkeypatch, tmp_path):
    """Run the command line in an empty folder."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return partial(call_main, capsys)


BAD = {
    "no prompt": (["generate"], "prompt"),
    "unknown command": (["paint"], "paint"),
    "unknown option": (["generate", "cat", "--colour", "red"], "--colour"),
    "empty prompt": (["generate", "  "], "empty prompt"),
    "long prompt": (["generate", "word " * 50], "expected at most 24"),
    "unknown method": (["generate", "cat", "--method", "magic"], "ar, medusa, hawk-vertical, hawk, hydra"),
    "no method": (["generate", "cat", "--method", ","], "no method"),
    "unknown parameter": (["generate", "cat", "--method", "hawk:hope=1"], "horizontal, vertical"),
    "parameter out of range": (["generate", "cat", "--method", "ssd:rounds=-1"], "0 to 64"),
    "more heads than there are": (["generate", "cat", "--method", "hawk:horizontal=9"], "at most the 2"),
    "unknown model": (["generate", "cat", "--model", "dali"], "got model 'dali'"),
    "unknown draft": (["generate", "cat", "--draft", "none"], "got draft 'none'"),
    "unknown verifier": (["generate", "cat", "--verifier", "hope"], "coupled, rejection"),
    "unknown dtype": (["generate", "cat", "--dtype", "fp8"], "fp32, bf16, fp16"),
    "unknown device": (["generate", "cat", "--device", "abacus"], "this machine has: cpu"),
    "guidance nan": (["generate", "cat", "--guidance", "nan"], "change --guidance"),
    "guidance below 0": (["generate", "cat", "--guidance", "-1"], "0 to 100"),
    "guidance no number": (["generate", "cat", "--guidance", "much"], "much"),
    "temperature inf": (["generate", "cat", "--temperature", "inf"], "change --temperature"),
    "temperature below 0": (["generate", "cat", "--temperature", "-0.1"], "0 to 100"),
    "top-k below 0": (["generate", "cat", "--top-k", "-1"], "change --top-k"),
    "top-k beyond floats": (["generate", "cat", "--top-k", "1" + "0" * 400], "got --top-k 1000"),
    "budget beyond floats": (["generate", "cat", "--budget", "1" + "0" * 400], "expected a whole number"),
    "top-k no integer": (["generate", "cat", "--top-k", "2.5"], "2.5"),
    "top-p 0": (["generate", "cat", "--top-p", "0"], "change --top-p"),
    "top-p above 1": (["generate", "cat", "--top-p", "1.1"], "(0, 1]"),
    "top-p nan": (["generate", "cat", "--top-p", "nan"], "change --top-p"),
    "seed below 0": (["generate", "cat", "--seed", "-1"], "2^63"),
    "seed too big": (["generate", "cat", "--seed", str(2**63)], "2^63"),
    "last seed too big": (["generate", "cat", "--seed", str(2**63 - 1), "--num-images", "2"], "2^63"),
    "no images": (["generate", "cat", "--num-images", "0"], "1 to 1024"),
    "no size": (["generate", "cat", "--size", "big"], "ROWSxCOLUMNS"),
    "size 0": (["generate", "cat", "--size", "0x4"], "at least 1x1"),
    "size too big": (["generate", "cat", "--size", "65x2"], "64x64"),
    "negative prompt, no guidance": (["generate", "cat", "--guidance", "1", "--negative-prompt", "a"], "guidance 1"),
    "out: no folder": (["generate", "cat", "--out", "nowhere/a.png"], "make nowhere first"),
    "out: below a file": (["generate", "cat", "--out", "file/a.png"], "existing folder"),
    "out: a folder": (["generate", "cat", "--out", "folder.png"], "a folder"),
    "out: no right": (["generate", "cat", "--out", "/proc/a.png"], "writable folder"),
    "out: no image": (["generate", "cat", "--out", "a.gif"], "ends in .png, .jpg, .jpeg, .webp"),
    "json: no folder": (["generate", "cat", "--json", "nowhere/a.json"], "make nowhere first"),
    "json: a device": (["generate", "cat", "--json", os.devnull], "no regular file"),
    "json: the image": (["generate", "cat", "--out", "a.png", "--json", "a.png"], "another file"),
    "bench: limit": (["bench", "--limit", "0"], "at least 1"),
    "bench: no prompts": (["bench", "--prompts", "none.txt"], "no file none.txt"),
    "bench: unknown method": (["bench", "--methods", "ar,magic"], "got method 'magic'"),
    "bench: json": (["bench", "--json", "nowhere/a.json"], "make nowhere first"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_line(call, folder, monkeypatch, name):
    arguments, expected = BAD[name]
    Path("file").write_text("")
    Path("folder.png").mkdir()
    if name.startswith("out: no right") and not Path("/proc/self").exists():
        pytest.skip("no folder that nobody may write to")
    if arguments[0] in ("generate", "bench") and "--model" not in arguments:
        arguments = [*arguments, "--model", folder]
    monkeypatch.setattr("spatialspec.measure.runs.draw", lambda *_: pytest.fail("something was computed"))
    code, out, err = call(*arguments)
    assert code == 2 and out == ""
    assert err.count("\n") == 1 and err.startswith("error: ") and expected in err
    assert sorted(os.listdir()) == ["file", "folder.png"] and not os.listdir("folder.png"), "something was written"


DAMAGE = {
    "truncated weights": ("transformer.safetensors", lambda f: f.write_bytes(f.read_bytes()[:-100]), "damaged"),
    "empty weights": ("vq.safetensors", lambda f: f.write_bytes(b""), "damaged"),
    "a pickle": ("vq.safetensors", lambda f: f.write_bytes(b"\x80\x04\x95" * 99), "damaged"),
    "foreign weights": (
        "transformer.safetensors",
        lambda f: shutil.copy(f.parent / "vq.safetensors", f),
        "for another model",
    ),
    "no weights": ("transformer.safetensors", Path.unlink, "got no file"),
    "truncated config": ("config.json", lambda f: f.write_text(f.read_text()[:50]), "does not parse"),
    "foreign config": ("config.json", lambda f: f.write_text('{"model_type": "bert"}'), "got model_type 'bert'"),
    "config with other sizes": (
        "config.json",
        lambda f: f.write_text(f.read_text().replace('"mlp_width"', '"ffn_width"')),
        "config.json",
    ),
    "a list for a config": ("config.json", lambda f: f.write_text("[]"), "expected a JSON object"),
    "heads that do not divide": (
        "config.json",
        lambda f: f.write_text(f.read_text().replace('"heads": 2', '"heads": 3')),
        "heads of a multiple of 4 each",
    ),
    "sizes beyond memory": (
        "config.json",
        lambda f: f.write_text(f.read_text().replace('"text_vocabulary": ', '"text_vocabulary": 1000000000000')),
        "text_vocabulary: got 1000000000000",
    ),
    "no prompt tokenizer": ("tokenizer.json", Path.unlink, "tokenizer.json"),
    "damaged prompt tokenizer": ("tokenizer.json", lambda f: f.write_text("{}"), "tokenizer.json"),
    "truncated drafts": ("drafts/hawk/model.safetensors", lambda f: f.write_bytes(f.read_bytes()[:-9]), "damaged"),
    "foreign drafts": (
        "drafts/hawk/model.safetensors",
        lambda f: shutil.copy(f.parents[1] / "ssd" / "model.safetensors", f),
        "for another model",
    ),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damaged_models_are_one_line(call, folder, tmp_path, name):
    file, damage, expected = DAMAGE[name]
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    damage(copy / file)
    method = "hawk" if file.startswith("drafts") else "spatial"  # which needs no drafts, so that none stop it
    code, out, err = call("generate", "cat", "--model", copy, "--method", method)
    assert code == 2 and out == "" and err.count("\n") == 1 and expected in err
    assert os.listdir() == []


def test_drafts_for_another_target_are_refused(call, folder, tmp_path):
    other = tiny_folder(tmp_path / "other", seed=1)
    code, _, err = call("generate", "cat", "--model", folder, "--draft", other / "drafts" / "hawk")
    assert code == 2 and "got drafts for target" in err and "train drafts for it" in err
    assert os.listdir() == []


def test_a_method_without_its_drafts_is_refused(call, folder):
    code, _, err = call("generate", "cat", "--model", folder, "--draft", folder / "drafts" / "hawk", "--method", "ssd")
    assert code == 2 and "no ssd draft weights" in err


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["tokenizer", "--data", "none"], "spatialspec train data"),
        (["target", "--data", "pictures", "--tokenizer", "none"], "spatialspec train tokenizer"),
        (["tokenizer", "--steps", "0"], "--steps 0"),
        (["target", "--seed", "-1"], "--seed -1"),
        (["target", "--width", "100"], "multiple of 16"),
        (["judge", "--data", "none"], "spatialspec train data"),
        (["data", "--side", "97"], "multiple of 4"),
        (["tokenizer", "--data", "pictures", "--out", "file"], "--out file"),
    ],
)
def test_bad_training_input_is_one_line(call, arguments, expected):
    write_pictures(Path("pictures"))
    Path("file").write_text("")
    code, out, err = call("train", *arguments)
    assert code == 2 and out == "" and err.count("\n") == 1 and expected in err
