"""From a folder to a target: every key accounted for, one line for what is wrong, any device map, any dtype."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from accelerate.hooks import AlignDevicesHook, add_hook_to_module
from safetensors.torch import load_file, save_file
from torch import Tensor

from helpers.real_targets import random_drafts
from helpers.tiny import tiny_folder
from helpers.tiny_checkpoints import tiny_emu3, tiny_janus
from spatialspec.drafts import weights
from spatialspec.pipeline import SpatialPipeline
from spatialspec.targets.icons.target import IconsTarget
from spatialspec.targets.janus import JanusTarget
from spatialspec.targets.loading import load_target, wrap

SIZES = {"janus": None, "emu3": "3x5"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("checkpoints")
    return {"janus": tiny_janus(root / "janus"), "emu3": tiny_emu3(root / "emu3")}


@pytest.fixture
def janus(made: dict[str, Path], tmp_path: Path) -> Path:
    """A copy to spoil."""
    return Path(shutil.copytree(made["janus"], tmp_path / "janus"))


def rewrite(folder: Path, change: Callable[[dict[str, Tensor]], None]) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def error_of(folder: Path, **options: object) -> str:
    with pytest.raises(ValueError) as error:
        SpatialPipeline.from_pretrained(folder, **options)  # type: ignore[arg-type]
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_missing_key_is_named(janus: Path) -> None:
    rewrite(janus, lambda tensors: tensors.__delitem__("model.generation_head.vision_head.bias"))
    assert "got no weights for model.generation_head.vision_head.bias (1 in all)" in error_of(janus)


def test_a_surplus_key_is_named(janus: Path) -> None:
    rewrite(janus, lambda tensors: tensors.update({"model.language_model.layers.7.mlp.up_proj.weight": torch.ones(2)}))
    assert "got surplus weights model.language_model.layers.7.mlp.up_proj.weight (1 in all)" in error_of(janus)


def test_another_shape_is_an_error(janus: Path) -> None:
    name = "model.generation_embeddings.weight"
    rewrite(janus, lambda tensors: tensors.update({name: torch.ones(3, 4)}))
    said = error_of(janus)
    assert f"got {name} (3, 4) instead of (64, 4) (1 in all)" in said and "JanusForConditionalGeneration" in said


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "processor_config.json", "config.json"])
@pytest.mark.parametrize("damage", ["missing", "cut"])
def test_files(janus: Path, name: str, damage: str) -> None:
    file = janus / name
    file.unlink() if damage == "missing" else file.write_bytes(file.read_bytes()[:100])
    assert "janus" in error_of(janus)


def test_pickles_are_not_read(janus: Path) -> None:
    torch.save(load_file(janus / "model.safetensors"), janus / "pytorch_model.bin")
    (janus / "model.safetensors").unlink()
    assert "expected a checkpoint of JanusForConditionalGeneration" in error_of(janus)


def test_an_unknown_kind_is_named(janus: Path) -> None:
    config = json.loads((janus / "config.json").read_text())
    (janus / "config.json").write_text(json.dumps(config | {"model_type": "show_o"}))
    assert (
        "got model_type 'show_o' in config.json, expected one of icons, lumina_mgpt_2, lumina_mgpt, janus, "
        in error_of(janus)
    )


def test_the_embedded_kind(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path / "tiny")
    assert isinstance(load_target(folder), IconsTarget)
    assert "got a device map, expected none" in error_of(folder, device_map="auto")


@pytest.mark.parametrize("kind", SIZES)
def test_shards(made: dict[str, Path], kind: str, tmp_path: Path) -> None:
    """In many files, as published: the same pictures."""
    pipe = SpatialPipeline.from_pretrained(made[kind])
    folder = Path(shutil.copytree(made[kind], tmp_path / kind))
    (folder / "model.safetensors").unlink()
    pipe.target.model.save_pretrained(folder, max_shard_size="300KB")  # type: ignore[attr-defined]
    assert len(list(folder.glob("model-*.safetensors"))) > 2
    again = SpatialPipeline.from_pretrained(folder)
    asked = {"prompt": "a red apple", "seed": 0, "size": SIZES[kind]}
    assert again(**asked).tokens == pipe(**asked).tokens  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", SIZES)
def test_types(made: dict[str, Path], kind: str) -> None:
    """Every decoder works in bfloat16, and the fingerprint of a checkpoint in bfloat16 is that in float16 too."""
    fingerprints = set()
    for dtype in (torch.bfloat16, torch.float16, torch.float32):
        pipe = SpatialPipeline.from_pretrained(made[kind], torch_dtype=torch.bfloat16)
        pipe.target.model.to(dtype)  # type: ignore[attr-defined]
        fingerprints.add(wrap(pipe.target.model, pipe.target.processor).fingerprint)  # type: ignore[attr-defined]
    assert len(fingerprints) == 1 and len(fingerprints.pop()) == 16
    pipe = SpatialPipeline.from_pretrained(made[kind], torch_dtype=torch.bfloat16)
    assert all(p.dtype == torch.bfloat16 for p in pipe.target.model.parameters())  # type: ignore[attr-defined]
    pipe.drafts = [draft.to(torch.bfloat16) for draft in random_drafts(pipe.target)]  # type: ignore[misc]
    for method in ("hawk", "spatial"):
        out = pipe("a red apple", size=SIZES[kind], method=method)
        assert len(out.tokens[0]) == out.images[0].width * out.images[0].height // (256 if kind == "janus" else 64)


@pytest.mark.parametrize("kind", SIZES)
def test_device_maps(made: dict[str, Path], kind: str) -> None:
    """Hooks that move inputs, where accelerate puts them, one of them around the language model itself."""
    plain = SpatialPipeline.from_pretrained(made[kind])
    mapped = SpatialPipeline.from_pretrained(made[kind], device_map={"": "cpu"})
    model, processor = mapped.target.model, mapped.target.processor  # type: ignore[attr-defined]
    language = model.model.language_model if kind == "janus" else model.model.text_model
    for module in (model, language, *language.layers, language.norm):
        add_hook_to_module(module, AlignDevicesHook("cpu", io_same_device=True))
    asked = {"prompt": "a red apple", "seed": 0, "size": SIZES[kind], "method": "spatial"}
    assert SpatialPipeline(wrap(model, processor))(**asked).tokens == plain(**asked).tokens  # type: ignore[arg-type]


def test_offloaded_weights_are_refused(made: dict[str, Path]) -> None:
    target = JanusTarget.from_folder(made["janus"])
    target.model.model.language_model.layers[0].to("meta")
    with pytest.raises(ValueError, match="got weights offloaded"):
        wrap(target.model, target.processor)


def test_drafts_beside_the_model_or_given(janus: Path, tmp_path: Path) -> None:
    target = load_target(janus)
    heads, predictors, *_ = random_drafts(target)
    weights.save(heads, janus / "drafts" / "hawk", target.fingerprint, target.name)  # type: ignore[arg-type]
    weights.save(predictors, tmp_path / "mine", target.fingerprint, target.name)  # type: ignore[arg-type]
    assert [type(d).__name__ for d in SpatialPipeline.from_pretrained(janus).drafts] == ["HawkHeads"]
    given = SpatialPipeline.from_pretrained(janus, draft=tmp_path / "mine")
    assert [type(d).__name__ for d in given.drafts] == ["SSDPredictors"]
    pipe = SpatialPipeline(target=wrap(target.model, target.processor), draft=janus / "drafts")  # type: ignore[attr-defined]
    assert pipe("a red apple", method="hawk", seed=0).tokens == pipe("a red apple", method="ar", seed=0).tokens
    other = tiny_janus(tmp_path / "other", seed=1)
    with pytest.raises(ValueError, match="got drafts for target"):
        SpatialPipeline.from_pretrained(other, draft=tmp_path / "mine")
