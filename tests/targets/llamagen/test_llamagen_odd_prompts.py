"""Odd prompts of LlamaGen, and text encoders that are damaged, of other sizes, or bring code."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from helpers.llamagen_tiny import PREFIX, tiny_t5
from spatialspec.core.errors import BadInput
from spatialspec.targets.llamagen.captions import T5Captions
from spatialspec.targets.llamagen.classes import class_id
from spatialspec.targets.llamagen.text import clean_caption


@pytest.fixture(scope="module")
def t5(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_t5(tmp_path_factory.mktemp("t5"))


@pytest.mark.parametrize(
    ("caption", "clean"),
    [
        ("\ufb01ne art \ufb02ower", "fine art flower"),
        ("\uff32ed \uff41pple\u3000pie", "red apple pie"),
        ("a re\ad ap\0ple\ufeff", "a red apple"),
        ("\u201ccurly\u201d cat\u2019s", '"curly" cat\'s'),
        ("cafe\u0301 m\u00b2", "caf\u00e9 m\u00b2"),
        ("a red\r\napple\u2028pie", "a red apple pie"),
        ("an apple <![=", "an apple <! ="),
    ],
)
def test_text_is_plain(caption: str, clean: str) -> None:
    assert clean_caption(caption) == clean


@pytest.mark.parametrize("prompt", ["9" * 5000, "\u00b2", "-1", "1.0", "1e2", "x" * 9999, "\u0663\u0663\u0663\u0663"])
def test_odd_numbers_are_no_classes(prompt: str) -> None:
    with pytest.raises(BadInput) as error:
        class_id(prompt, 1000)
    assert len(str(error.value)) < 300


def test_classes_are_read_whatever_their_case_and_blanks() -> None:
    assert class_id("  Golden \n RETRIEVER ", 1000) == class_id("golden retriever", 1000) == 207
    assert class_id("\t7 ", 1000) == class_id("0000007", 1000) == class_id("\u0667", 1000) == 7


FAULTS: dict[str, tuple[str, object, str]] = {
    "no T5": ("model_type", "bert", "got a model of type 'bert'"),
    "width": ("d_model", "24", "d_model: got '24'"),
    "layers": ("num_layers", 10**9, "num_layers"),
    "words": ("vocab_size", 10**12, "vocab_size: got 1000000000000"),
    "other words": ("vocab_size", 8, "shared.weight"),
    "heads": ("num_heads", 0, "one that does not load"),
    "kind": ("feed_forward_proj", 3, "feed_forward_proj"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_text_encoder_of_other_sizes_is_refused(t5: Path, tmp_path: Path, fault: str) -> None:
    key, value, message = FAULTS[fault]
    folder = Path(shutil.copytree(t5, tmp_path / "t5"))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, key: value}))
    with pytest.raises(BadInput, match=re.escape(message)):
        T5Captions(folder, PREFIX)(["a red apple"])


def test_no_code_of_a_text_encoder_runs(t5: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(t5, tmp_path / "t5"))
    (folder / "code.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Own: pass\n")
    for name in ("config.json", "tokenizer_config.json"):
        config = json.loads((folder / name).read_text())
        config["auto_map"] = {"AutoTokenizer": ["code.Own", "code.Own"], "AutoModel": "code.Own"}
        (folder / name).write_text(json.dumps({**config, "tokenizer_class": "Own"}))
    assert len(T5Captions(folder, PREFIX)(["a red apple"])) == 1
    assert not (tmp_path / "ran").exists()
