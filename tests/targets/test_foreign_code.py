"""Folders that want their own Python run: it never is, and nobody is asked; nor is anything unpickled or followed."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from helpers.covering import covering
from helpers.foreign import Yes, clip, plant, t5, vision
from helpers.originals import original_emu3, original_janus
from helpers.real_targets import MAKES, random_drafts
from helpers.tiny import tiny_folder
from spatialspec.cli import main
from spatialspec.core.errors import BadInput
from spatialspec.drafts import weights
from spatialspec.pipeline import SpatialPipeline
from spatialspec.quality.extractors import ClipScore, feature_extractor
from spatialspec.targets.llamagen.captions import T5Captions
from spatialspec.targets.loading import load_target

FAMILIES = ("janus", "emu3", "anole", "lumina", "captions", "icons")


def drafts(folder: Path) -> Path:
    target = load_target(tiny_folder(folder))
    weights.save(random_drafts(target)[0], folder / "drafts" / "hawk", target.fingerprint, target.name)  # type: ignore[arg-type]
    return folder


def draw(folder: Path) -> object:
    return SpatialPipeline.from_pretrained(folder)


def deepseek(folder: Path) -> Path:
    original_janus(folder, folder.parent / "twin")
    return folder


def baai(folder: Path) -> Path:
    original_emu3(folder, folder.parent / "vq")
    return folder


def convert(folder: Path, *options: object) -> None:
    main([str(word) for word in ("convert", folder, folder.parent / "out", *options)])


LOADERS: dict[str, tuple[Callable[[Path], Path], Callable[[Path], object]]] = {
    **{kind: (MAKES[kind].make, draw) for kind in FAMILIES},
    "t5": (t5, lambda folder: T5Captions(folder)(["a fox"])),
    "clip": (clip, lambda folder: ClipScore(folder)),
    "features": (vision, lambda folder: feature_extractor(str(folder))),
    "drafts": (drafts, lambda folder: SpatialPipeline.from_pretrained(folder)),
    "generate": (MAKES["janus"].make, lambda folder: main(["generate", "a fox", "--model", str(folder)])),
    "convert janus": (deepseek, convert),
    "convert emu3": (baai, lambda folder: convert(folder, "--vq", folder.parent / "vq")),
    "doctor": (MAKES["emu3"].make, lambda folder: main(["doctor", "--model", str(folder), "--size", "2x2"])),
}  # fmt: skip


@pytest.mark.parametrize(("loader", "how"), covering(LOADERS, ["known classes", "unknown classes", "unknown model"]))
def test_no_code_runs(loader: str, how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make, load = LOADERS[loader]
    folder = make(tmp_path / "folder")
    marker = plant(folder, how)
    said = Yes()
    monkeypatch.setattr(sys, "stdin", said)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("builtins.input", lambda *_: said.readline())
    try:
        load(folder)
    except BadInput as error:
        assert "\n" not in str(error) and how != "known classes"
    except SystemExit as end:
        assert end.code in ((0,) if how == "known classes" else (0, 1, 2))
    assert not marker.exists() and not said.asked


def test_pickles_stay_closed(tmp_path: Path) -> None:
    """Beside or instead of the weights; also what only looks like them."""

    class Mark:
        def __reduce__(self) -> Any:
            return (Path.write_text, (tmp_path / "marker", "run"))

    for kind in ("janus", "anole"):
        folder = MAKES[kind].make(tmp_path / kind)
        for name in (
            "pytorch_model.bin",
            "model.bin",
            "training_args.bin",
            "tokenizer.pkl",
            "vq.pt",
            "consolidated.pth",
        ):
            torch.save(Mark(), folder / name)
        SpatialPipeline.from_pretrained(folder)
        for path in folder.glob("*.safetensors*"):
            path.unlink()
        with pytest.raises(BadInput, match=r"got no model\.safetensors .*, but consolidated\.pth"):
            SpatialPipeline.from_pretrained(folder)
        torch.save(Mark(), folder / "model.safetensors")
        with pytest.raises(BadInput, match="PyTorch's own format"):
            SpatialPipeline.from_pretrained(folder)
    assert not (tmp_path / "marker").exists()


OUTSIDE = (
    "../other.safetensors",
    "/dev/zero",
    "sub/../../other.safetensors",
    "",
    "..",
    7,
    None,
    ["x"],
    "C:\\x",
    "a\0b",
)


@pytest.mark.parametrize("name", OUTSIDE)
def test_the_index_stays_inside(name: object, tmp_path: Path) -> None:
    folder = MAKES["anole"].make(tmp_path / "anole")
    save_file({"model.norm.weight": torch.ones(32)}, tmp_path / "other.safetensors")
    path = folder / "model.safetensors.index.json"
    index = json.loads(path.read_text())
    index["weight_map"]["model.norm.weight"] = name
    path.write_text(json.dumps(index))
    with pytest.raises(BadInput, match="index"):
        SpatialPipeline.from_pretrained(folder)


@pytest.mark.parametrize("kind", ["janus", "emu3"])
def test_other_models_are_not_followed(kind: str, tmp_path: Path) -> None:
    """Keys and files of transformers that name further weights."""
    made = MAKES[kind].make(tmp_path / "made")
    shutil.copytree(made, tmp_path / "other")
    other = str(tmp_path / "other")
    keys: list[tuple[str, str, Any]] = [
        ("config.json", "transformers_weights", "../other/model.safetensors"),
        ("config.json", "quantization_config", {"quant_method": "bitsandbytes", "load_in_8bit": True}),
        ("processor_config.json", "audio_tokenizer", {"audio_tokenizer_name_or_path": other}),
        ("adapter_config.json", "base_model_name_or_path", other),
        ("audio_tokenizer_config.json", "audio_tokenizer_name_or_path", other),
    ]  # fmt: skip
    for number, (name, key, value) in enumerate(keys):
        folder = Path(shutil.copytree(made, tmp_path / str(number)))
        content = json.loads((folder / name).read_text()) if (folder / name).exists() else {}
        (folder / name).write_text(json.dumps(content | {key: value}))
        with pytest.raises(BadInput, match=key if name in ("config.json", "processor_config.json") else name):
            SpatialPipeline.from_pretrained(folder)
