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
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    CLIPProcessor,
    PreTrainedTokenizerFast,
    T5Config,
    T5EncoderModel,
    ViTConfig,
    ViTImageProcessor,
    ViTModel,
)

from real_targets import MAKES, random_drafts
from spatialspec.cli import main
from spatialspec.core.errors import BadInput
from spatialspec.drafters import weights
from spatialspec.evaluation.clip_score import ClipScore
from spatialspec.evaluation.features import feature_extractor
from spatialspec.pipeline import SpatialPipeline
from spatialspec.targets.llamagen_captions import T5Captions
from spatialspec.targets.loading import load_target
from tiny import tiny_folder

CODE = """
from pathlib import Path
Path({marker!r}).write_text("run")
class Own:
    def __init__(self, *args, **kwargs): Path({marker!r}).write_text("run")
    from_pretrained = classmethod(lambda cls, *args, **kwargs: cls())
def generate(*args, **kwargs): Path({marker!r}).write_text("run")
"""
AUTO = ("Config", "Model", "Processor", "Tokenizer", "ImageProcessor", "FeatureExtractor", "VideoProcessor")
FAMILIES = ("janus", "emu3", "anole", "lumina", "captions", "icons")


class Yes:
    """Standard input on which everybody agrees to everything; reading it is the fault."""

    def __init__(self) -> None:
        self.asked = 0

    def readline(self, *_: Any) -> str:
        self.asked += 1
        return "y\n"

    read = readline

    def fileno(self) -> int:
        self.asked += 1
        return 0


def small_tokenizer() -> PreTrainedTokenizerFast:
    bpe = Tokenizer(
        models.BPE(vocab={c: i for i, c in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}, merges=[])
    )
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.add_special_tokens(["</s>"])
    return PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token="</s>", pad_token="</s>")


def t5(folder: Path) -> Path:
    sizes = {"d_model": 16, "d_kv": 4, "d_ff": 16, "num_layers": 1, "num_heads": 2, "vocab_size": 300}
    T5EncoderModel(T5Config(**sizes)).save_pretrained(folder)
    small_tokenizer().save_pretrained(folder)
    return folder


def clip(folder: Path) -> Path:
    text = {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "vocab_size": 300,
    }
    look = {k: v for k, v in text.items() if k != "vocab_size"} | {"image_size": 8, "patch_size": 4}
    CLIPModel(CLIPConfig(text_config=text, vision_config=look, projection_dim=8)).save_pretrained(folder)
    processor = CLIPImageProcessor(size={"shortest_edge": 8}, crop_size={"height": 8, "width": 8})
    CLIPProcessor(processor, small_tokenizer()).save_pretrained(folder)
    return folder


def vision(folder: Path) -> Path:
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    ViTModel(ViTConfig(**sizes, image_size=8, patch_size=4)).save_pretrained(folder)
    ViTImageProcessor(size={"height": 8, "width": 8}).save_pretrained(folder)
    return folder


def drafts(folder: Path) -> Path:
    target = load_target(tiny_folder(folder / "model"))
    weights.save(random_drafts(target)[0], folder / "model" / "drafts" / "hawk", target.fingerprint, target.name)  # type: ignore[arg-type]
    return folder


def draw(folder: Path) -> object:
    return SpatialPipeline.from_pretrained(folder)


LOADERS: dict[str, tuple[Callable[[Path], Path], Callable[[Path], object]]] = {
    **{kind: (MAKES[kind].make, draw) for kind in FAMILIES},
    "t5": (t5, lambda folder: T5Captions(folder)(["a fox"])),
    "clip": (clip, lambda folder: ClipScore(folder)),
    "features": (vision, lambda folder: feature_extractor(str(folder))),
    "drafts": (drafts, lambda folder: SpatialPipeline.from_pretrained(folder / "model")),
    "generate": (MAKES["janus"].make, lambda folder: main(["generate", "a fox", "--model", str(folder)])),
    "doctor": (MAKES["emu3"].make, lambda folder: main(["doctor", "--model", str(folder), "--size", "2x2"])),
}  # fmt: skip


def plant(folder: Path, how: str) -> Path:
    """Point every file that may name code to some that leaves a mark."""
    marker = folder.parent / "marker"
    for inner in [folder, *(path for path in folder.rglob("*") if path.is_dir())]:
        for name in (
            "own.py",
            "configuration_own.py",
            "custom_generate/generate.py",
            "tests.py",
            "setup.py",
            "__init__.py",
        ):
            (inner / name).parent.mkdir(exist_ok=True)
            (inner / name).write_text(CODE.format(marker=str(marker)))
        references: dict[str, Any] = {f"Auto{kind}": "own.Own" for kind in AUTO}
        references["AutoTokenizer"] = ["own.Own", "own.Own"]
        for name in ("config.json", "processor_config.json", "preprocessor_config.json", "tokenizer_config.json"):
            path = inner / name
            content = json.loads(path.read_text()) if path.exists() else {}
            if not content and name == "config.json":
                continue
            content |= {
                "auto_map": references,
                "custom_generate": "custom_generate/generate.py",
                "trust_remote_code": True,
            }
            unknown = {
                "processor_class": "Own",
                "tokenizer_class": "Own",
                "image_processor_type": "Own",
                "model_type": "own",
            }
            if how == "unknown classes":
                content |= {key: value for key, value in unknown.items() if key != "model_type"}
                for part in (content.get("image_processor"),):
                    if isinstance(part, dict):
                        part |= {"image_processor_type": "Own", "auto_map": references}
            if how == "unknown model" and name == "config.json":
                content |= unknown
            path.write_text(json.dumps(content))
    return marker


@pytest.mark.parametrize("how", ["known classes", "unknown classes", "unknown model"])
@pytest.mark.parametrize("loader", LOADERS)
def test_no_code_runs(loader: str, how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make, load = LOADERS[loader]
    marker = plant(make(tmp_path / "folder"), how)
    said = Yes()
    monkeypatch.setattr(sys, "stdin", said)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("builtins.input", lambda *_: said.readline())
    try:
        load(tmp_path / "folder")
    except (BadInput, SystemExit) as error:
        assert "\n" not in str(error) and how != "known classes"
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
