"""What somebody gives who has a model, but not the way that is wanted: taken, or told which way works."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from helpers.real_targets import MAKES
from helpers.tiny import tiny_folder
from spatialspec.core.errors import BadInput
from spatialspec.models import draft_folder, model_folder
from spatialspec.pipeline import SpatialPipeline

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n"


def refused(model: object) -> str:
    with pytest.raises(BadInput) as error:
        SpatialPipeline.from_pretrained(str(model))
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tiny_folder(tmp_path / "tiny")


def test_paths_that_are_taken(folder: Path) -> None:
    for model in (
        "~/tiny",
        f"{folder}/",
        f"{folder}/config.json",
        "tiny",
        "./tiny//",
        "../" + folder.parent.name + "/tiny",
    ):
        assert model_folder(model).resolve() == folder.resolve()


@pytest.mark.parametrize("refs", [True, False])
def test_the_cache_of_the_hub(folder: Path, refs: bool) -> None:
    """`models--OWNER--NAME`: that of main, else the only one; never one outside."""
    cache = folder.parent / "models--owner--tiny"
    (cache / "snapshots").mkdir(parents=True)
    snapshot = folder.rename(cache / "snapshots" / "0123abc")
    if refs:
        (cache / "refs").mkdir()
        (cache / "refs" / "main").write_text("0123abc\n")
        (cache / "snapshots" / "older").mkdir()
    assert model_folder(str(cache)) == snapshot
    (cache / "snapshots" / "older").mkdir(exist_ok=True)
    if refs:
        (cache / "refs" / "main").write_text("../../..")
        assert "expected one inside" in refused(cache)
    else:
        assert "got 2 snapshots, expected one" in refused(cache)


def test_what_is_said_of_others(folder: Path) -> None:
    root = folder.parent
    name = "deepseek-community/Janus-Pro-1B"
    for given in (name, f"https://huggingface.co/{name}/", f"https:/huggingface.co/{name}"):
        assert "run `hf download deepseek-community/Janus-Pro-1B` while you are online" in refused(given)
    for given, nearest in {
        "Janus-Pro-1b": "give deepseek-community/Janus-Pro-1B, or run `hf download deepseek-community/Janus-Pro-1B`",
        "icon": "give icons, the nearest known name",
        "lumina-mgpt-7b-768": "hf download Alpha-VLLM/Lumina-mGPT-7B-768`",
    }.items():
        assert nearest in refused(given)
    for name, said in {
        "": "got model ''", "  ": "give one with --model", "x/y/z": "no such folder",
        "~nobody-here/x": "check the path",
        "a" * 5000: "check the path", "a\0b": "got model 'a\\x00b'", str(folder / "vq.safetensors"): "give its folder",
    }.items():  # fmt: skip
        with pytest.raises(BadInput) as error:
            model_folder(name)
        assert said in str(error.value)
    for number, (names, said) in enumerate({
        (): "the folder is empty", ("consolidated.00.pth",): "it has consolidated.00.pth", ("c2i_B_256.pt",): "convert",
        ("model_index.json",): "a pipeline of diffusers", ("adapter_config.json",): "adapters of a model",
        ("inner/config.json",): "give a folder inside it: inner", ("model.safetensors",): "fetch config.json too",
    }.items()):  # fmt: skip
        other = root / str(number)
        other.mkdir()
        for name in names:
            (other / name).parent.mkdir(exist_ok=True)
            (other / name).write_text("{}")
        assert said in refused(other)
    (root / "c2i.pt").write_text("")
    assert "this is a file" in refused(root / "c2i.pt") and "convert" in refused(root / "c2i.pt")


def test_layouts_of_the_authors(tmp_path: Path) -> None:
    for kind, said in {
        "multi_modality": f"run `spatialspec convert {tmp_path} OUT`, then give OUT",
        "Emu3": f"run `spatialspec convert {tmp_path} OUT --vq BAAI/Emu3-VisionTokenizer`",
        "Emu3VisionVQ": f"run `spatialspec convert BAAI/Emu3-Gen OUT --vq {tmp_path}`",
        "spatialspec_draft": "--draft",
    }.items():
        (tmp_path / "config.json").write_text(json.dumps({"model_type": kind, "auto_map": {"AutoModel": "own.Own"}}))
        assert said in refused(tmp_path)
    for kind in (None, 7, ["janus"], {"a": 1}, True, "x" * 10**5):
        (tmp_path / "config.json").write_text(json.dumps({"model_type": kind, "architectures": kind}))
        assert "model_type" in refused(tmp_path)


@pytest.mark.parametrize("kind", ["janus", "anole"])
def test_weights_that_are_none(kind: str, tmp_path: Path) -> None:
    made = MAKES[kind].make(tmp_path / kind)
    first = sorted(made.glob("*.safetensors"))[0]
    for content, said in (
        (LFS, "git lfs pull"),
        (b"<html>", "a web page"),
        (b"", "damaged"),
        (b"PK\x03\x04", "PyTorch's own"),
    ):
        first.write_bytes(content)
        assert said in refused(made)
    first.unlink()
    assert "no " in refused(made)


def test_drafts(folder: Path) -> None:
    for name in ("", " ", "a" * 5000, "a\0b", "~nobody-here/x", "none"):
        with pytest.raises(BadInput, match="got draft"):
            draft_folder("icons", name)
    assert draft_folder("icons", "~/tiny") == folder
