"""Outputs are checked before anything is computed, and written after they are shown."""

import os
from functools import partial
from pathlib import Path

import pytest

from helpers.tiny import call_main, tiny_folder, write_pictures
from spatialspec.core.errors import BadInput
from spatialspec.io.outputs import check_folder, check_output

LONG = "x" * 256


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_folder(tmp_path_factory.mktemp("model"))


@pytest.fixture
def call(capsys, monkeypatch, tmp_path):
    """Run the command line in a folder with prompts and images, and nothing that can be computed."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    Path("own.jsonl").write_text('{"prompt": "cat"}\n')
    Path("link.json").symlink_to("own.jsonl")
    os.link("own.jsonl", "hard.json")
    write_pictures(Path("real"))
    Path("notes.txt").write_text("a note")
    Path("closed").mkdir()
    monkeypatch.setattr("spatialspec.pipeline.SpatialPipeline.from_pretrained", lambda *_, **__: pytest.fail("loaded"))
    return partial(call_main, capsys)


def inventory() -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in Path().rglob("*") if path.is_file()}


JSON = ("bench", "evaluate", "audit", "doctor")
BAD = [
    f"nowhere/{LONG[:9]}.json",
    f"{LONG}.json",
    "/dev/full",
    "closed",
    "notes.txt/a.json",
    "/" + "d/" * 3000 + "a.json",
]


@pytest.mark.parametrize("command", JSON)
@pytest.mark.parametrize("path", [*BAD, "MODEL/config.json", "./MODEL/../MODEL/transformer.safetensors", ""])
def test_outputs_that_cannot_be(call, folder, command, path):
    before = inventory() | {str(file): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    model = os.path.relpath(folder)
    code, out, err = call(command, "--model", model, "--json", path.replace("MODEL", model))
    assert code == 2 and out == "" and err.startswith("error: got --json") and err.count("\n") == 1, err
    assert before == inventory() | {str(file): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.mark.parametrize("output", ["own.jsonl", "./own.jsonl", "../work/own.jsonl", "link.json", "hard.json"])
@pytest.mark.parametrize("command", ["bench", "evaluate"])
def test_an_input_is_no_output(call, folder, command, output):
    for prompts in {"own.jsonl", output} - {"link.json", "hard.json"}:
        code, _, err = call(command, "--model", folder, "--prompts", prompts, "--json", output)
        assert code == 2 and "which this command also reads or writes" in err


@pytest.mark.parametrize(
    "options",
    [["--real", "real", "--json", "real/metadata.csv"], ["--real", "real", "--export", "real"],
     ["--real", "real", "--out", "real"], ["--out", "both", "--export", "./both"], ["--export", "notes.txt"],
     ["--out", "made", "--json", "made/settings.json"], ["--export", f"{LONG}"], ["--out", "nowhere/made"]],
    ids=" ".join,
)  # fmt: skip
def test_folders_of_evaluate(call, folder, options):
    before = inventory()
    code, _, err = call("evaluate", "--model", folder, *options)
    assert code == 2 and err.startswith("error: got --") and inventory() == before
    assert not Path("both").exists() and not Path("made").exists()


EMPTY = {
    "bench": ["prompts", "json", "model", "draft"],
    "evaluate": ["prompts", "json", "model", "draft", "real", "out", "export", "clip", "features", "scenes"],
    "audit": ["json", "model"],
    "doctor": ["json", "model", "draft"],
    "show": ["out", "model", "draft"],
    "generate": ["out", "json", "csv", "again", "model", "draft"],
    "reproduce": ["out", "prompts", "drafts", "model", "draft"],
    "train draft": ["target", "data", "self-distil", "out", "config", "features"],
    "train data": ["out", "cache"],
    "train tokenizer": ["data", "out"],
    "train target": ["data", "tokenizer", "out"],
}


@pytest.mark.parametrize(("command", "option"), [(c, o) for c, options in EMPTY.items() for o in options])
def test_an_unset_variable(call, command, option):
    before = inventory()
    for words in ([f"--{option}", ""], [f"--{option}="], [f"--{option}", " "]):
        code, _, err = call(*command.split(), *(["cat"] if command in ("show", "generate") else []), *words)
        assert code == 2 and f"got --{option} '', expected a value" in err and inventory() == before


def test_a_new_file_beside_what_is_read(tmp_path):
    (tmp_path / "old.json").write_text("{}")
    check_output(tmp_path / "new.json", "", "--json", [tmp_path, None])
    check_folder(tmp_path / "new", "--out", [tmp_path, None])
    with pytest.raises(BadInput, match="also reads or writes"):
        check_output(tmp_path / "old.json", "", "--json", [tmp_path])
    assert os.listdir(tmp_path) == ["old.json"], "no trace"


def test_a_new_folder_and_those_around_it(tmp_path):
    check_folder(tmp_path / "a" / "b" / "c", "OUT", new=True)
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    cases = {
        ".": "which exists, expected a new folder",
        "link": "which exists, expected a new folder",
        "file/a/b": "expected an existing folder around it",
        f"a/{'b' * 256}/c": "expected a name of at most 255 bytes",
        "a\0/b": "expected a name of at most 255 bytes",
    }
    for name, message in cases.items():
        with pytest.raises(BadInput, match=message):
            check_folder(tmp_path / name, "OUT", new=True)
    with pytest.raises(BadInput, match="expected an existing folder around it"):
        check_folder(tmp_path / "a" / "b", "--out")
    assert sorted(os.listdir(tmp_path)) == ["file", "link"], "no trace"


def test_no_room_is_known_before(tmp_path, monkeypatch):
    def full(self, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(BadInput, match=r"--json .*a.json \(No space left on device\)"):
        check_output(tmp_path / "a.json", "", "--json")
    with pytest.raises(BadInput, match=r"--out .*No space left on device"):
        check_folder(tmp_path / "a", "--out")
    assert not os.listdir(tmp_path)
