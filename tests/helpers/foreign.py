"""Folders with code of their own in them, small models of every other kind that is loaded, and an eager typist."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

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

CODE = """
from pathlib import Path
Path({marker!r}).write_text("run")
class Own:
    def __init__(self, *args, **kwargs): Path({marker!r}).write_text("run")
    from_pretrained = classmethod(lambda cls, *args, **kwargs: cls())
def generate(*args, **kwargs): Path({marker!r}).write_text("run")
"""
AUTO = ("Config", "Model", "Processor", "Tokenizer", "ImageProcessor", "FeatureExtractor", "VideoProcessor")


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
