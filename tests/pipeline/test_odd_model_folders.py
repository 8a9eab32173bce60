"""Any value for any key of a model's JSON, and any bytes for any small file of it: a picture or a BadInput.

No code runs, standard input is not read, and no tensor is made that the files of the weights do not account for.
"""

from __future__ import annotations

import json
import shutil
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.overrides import TorchFunctionMode

from helpers.covering import covering
from helpers.foreign import Yes
from helpers.real_targets import MAKES
from spatialspec.core.errors import BadInput
from spatialspec.pipeline import SpatialPipeline

KINDS = ("janus", "emu3", "anole")
CONFIGS = ("config.json", "generation_config.json", "processor_config.json", "tokenizer_config.json")
JSON = (*CONFIGS, "model.safetensors.index.json")
KEYS = st.sampled_from(("rope_type", "AutoModel", "a"))
ELEMENTS = 1 << 24  # of the largest tensor that drawing may make; the models have less than 1 << 18 in all
NUMBERS = (10**9, 10**12, 2**31, 10**30, -1, 0, 1, 7, 1e300, 1.5, -0.5)
WORDS = ("x", "", "../x.safetensors", "/dev/zero", "own.Own", "dynamic", "float8_e4m3fn", "\x1b[31m", "a" * 1000)
VALUES = st.recursive(
    st.none() | st.booleans() | st.sampled_from(NUMBERS) | st.sampled_from(WORDS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=2),
    max_leaves=4,
)  # fmt: skip
MORE = (  # keys that no file of ours has and transformers knows
    "auto_map", "num_labels", "id2label", "transformers_weights", "quantization_config", "attn_implementation", "dtype",
    "top_k", "top_p", "temperature", "guidance_scale", "repetition_penalty", "return_dict", "custom_generate",
    "head_dim",
    "audio_tokenizer", "init_inputs", "added_tokens_decoder", "model_max_length", "chat_template", "tokenizer_class",
)  # fmt: skip
QUICK = settings(
    max_examples=12, deadline=None, database=None, suppress_health_check=list(HealthCheck), derandomize=True
)


class Sizes(TorchFunctionMode):
    """The largest tensor that a function of torch returns; those of the meta device take no memory."""

    def __init__(self) -> None:
        super().__init__()
        self.largest = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        if isinstance(found, torch.Tensor) and not found.is_meta:
            self.largest = max(self.largest, found.numel())
        return found


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {kind: MAKES[kind].make(tmp_path_factory.mktemp(kind) / kind) for kind in KINDS}


def places(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every key of a document, at any depth."""
    if isinstance(value, dict) and path[-1:] not in (("vocabulary_map",), ("weight_map",)):
        for key, inner in value.items():
            yield (*path, key)
            yield from places(inner, (*path, key))


def put(document: Any, path: tuple[str, ...], value: Any) -> Any:
    key, *rest = path
    return document | {key: put(document[key], tuple(rest), value) if rest else value}


def draws_or_refuses(folder: Path, kind: str) -> None:
    sizes, stdin, said = Sizes(), sys.stdin, Yes()
    sys.stdin = said  # type: ignore[assignment]
    try:
        with warnings.catch_warnings(), sizes:
            warnings.simplefilter("ignore")
            pipe = SpatialPipeline.from_pretrained(folder)
            assert len(pipe("a red fox", size=MAKES[kind].size).images) == 1
    except BadInput as error:
        assert "\n" not in str(error) and str(error).isprintable() and len(str(error)) < 2000
    finally:
        sys.stdin = stdin
    assert sizes.largest < ELEMENTS and not said.asked


@pytest.mark.parametrize("kind", KINDS)
def test_any_value_for_any_key(kind: str, made: dict[str, Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(made[kind], tmp_path / kind))
    whole = {name: (folder / name).read_text() for name in JSON if (folder / name).exists()}
    keys = [(name, path) for name, text in whole.items() for path in [*places(json.loads(text)), *((k,) for k in MORE)]]

    @QUICK
    @given(st.sampled_from(keys), VALUES)
    def check(place: tuple[str, tuple[str, ...]], value: Any) -> None:
        name, path = place
        (folder / name).write_text(json.dumps(put(json.loads(whole[name]), path, value)))
        try:
            draws_or_refuses(folder, kind)
        finally:
            (folder / name).write_text(whole[name])

    check()


@pytest.mark.parametrize("kind", KINDS)
def test_any_bytes_for_any_file(kind: str, made: dict[str, Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(made[kind], tmp_path / kind))
    files = sorted(path.name for path in folder.iterdir())
    also = ("special_tokens_map.json", "added_tokens.json", "adapter_config.json", "chat_template.json")

    @QUICK
    @given(
        st.sampled_from([*files, *also]), st.binary(max_size=40), st.sampled_from(["whole", "head", "middle", "tail"])
    )
    def check(name: str, content: bytes, where: str) -> None:
        before = (folder / name).read_bytes() if (folder / name).exists() else None
        old, half = before or b"", len(before or b"") // 2
        new = {"whole": content, "head": content + old[len(content) :], "tail": old[:-4] + content}
        (folder / name).write_bytes(new.get(where, old[:half] + content + old[half + len(content) :]))
        try:
            draws_or_refuses(folder, kind)
        finally:
            (folder / name).write_bytes(before) if before is not None else (folder / name).unlink()

    check()


ABSURD = (
    ("config.json", "num_hidden_layers"), ("config.json", "vocab_size"), ("config.json", "hidden_size"),
    ("config.json", "num_attention_heads"), ("config.json", "intermediate_size"), ("config.json", "head_dim"),
    ("config.json", "num_labels"), ("config.json", "num_embeddings"), ("config.json", "base_channels"),
    ("config.json", "num_res_blocks"), ("config.json", "embed_dim"), ("config.json", "resolution"),
    ("config.json", "num_patches"), ("config.json", "image_size"), ("config.json", "max_position_embeddings"),
    ("config.json", "codebook_size"), ("config.json", "latent_channels"), ("config.json", "projection_dim"),
    ("processor_config.json", "num_image_tokens"), ("processor_config.json", "image_area"),
)  # fmt: skip


@pytest.mark.parametrize(("kind", "place"), covering(KINDS, ABSURD))
def test_absurd_sizes(kind: str, place: tuple[str, str], made: dict[str, Path], tmp_path: Path) -> None:
    """Wherever a size stands, and where none stood: billions of it take neither time nor memory."""
    folder, (name, key) = Path(shutil.copytree(made[kind], tmp_path / kind)), place
    path = folder / name
    document = json.loads(path.read_text()) if path.exists() else {}
    for at in [at for at in places(document) if at[-1] == key] or [(key,)]:
        path.write_text(json.dumps(put(document, at, 20000 if key == "head_dim" else 10**9)))
        draws_or_refuses(folder, kind)
