"""Where and how a model is loaded: device, dtype, quantised weights, no offloading; moved, converted and saved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from optimum.quanto import QLinear
from transformers import QuantoConfig

from helpers.real_targets import MAKES, random_drafts
from helpers.tiny_checkpoints import tiny_janus
from spatialspec import BadInput, SpatialPipeline, devices
from spatialspec.targets.loading import wrap

OF_TRANSFORMERS = ("janus", "emu3", "anole", "lumina", "liquid", "simplear")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("placed")
    return {kind: maker.make(root / kind) for kind, maker in MAKES.items()}


def request(kind: str) -> dict[str, Any]:
    return {"prompt": MAKES[kind].prompts[1], "size": MAKES[kind].size, "seed": 0}


def test_the_device_and_dtype_that_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    assert devices.placement(None, None, None, None) == ("cpu", torch.float32, None)
    monkeypatch.setattr(devices, "_devices", lambda: ["cpu", "cuda", "cuda:0"])
    assert devices.placement(None, None, None, None) == ("cuda", torch.bfloat16, None)
    assert devices.placement(None, "auto", None, None)[1] == torch.bfloat16
    assert devices.placement("cpu", None, None, None) == ("cpu", torch.float32, None)
    assert devices.placement(None, None, "fp16", None)[:2] == ("cuda", torch.float16)


@pytest.mark.parametrize("kind", OF_TRANSFORMERS)
def test_quantised_weights(made: dict[str, Path], kind: str) -> None:
    """Layers in int8 of quanto, and still the tokens of plain AR, loaded here or wrapped."""
    pipe = SpatialPipeline.from_pretrained(made[kind], quantization_config=QuantoConfig(weights="int8"))
    model: Any = pipe.target.model  # type: ignore[attr-defined]
    assert model.is_quantized and sum(isinstance(module, QLinear) for module in model.modules()) > 10
    ours, plain = pipe(**request(kind)), pipe(**request(kind), method="ar")
    assert ours.tokens == plain.tokens and ours.report.target_passes < plain.report.target_passes
    processor = getattr(pipe.target, "processor", None) or pipe.target.words.tokenizer  # type: ignore[attr-defined]
    if kind in ("janus", "emu3"):
        assert SpatialPipeline.wrap(model, processor)(**request(kind)).tokens == ours.tokens
    with pytest.raises(BadInput, match="got a quantised model, expected one that can be moved"):
        pipe.to(torch.bfloat16)


def test_what_is_for_transformers_only(made: dict[str, Path]) -> None:
    for kind in ("icons", "classes"):
        with pytest.raises(BadInput, match="got quantization_config, expected none of it"):
            SpatialPipeline.from_pretrained(made[kind], quantization_config=QuantoConfig(weights="int8"))
    with pytest.raises(BadInput, match="check quantization_config, or fetch it again"):
        SpatialPipeline.from_pretrained(made["janus"], quantization_config="int8")
    for wrong, said in (
        ({"trust_remote_code": True}, "expected False, always"),
        ({"use_safetensors": False}, "expected True, always"),
        ({"variant": "fp16"}, "expected None, always"),
        ({"torch_dtyp": "fp16"}, "got the argument 'torch_dtyp'"),
        ({"safety_checker": None}, "got the argument"),
    ):
        with pytest.raises(BadInput, match=said):
            SpatialPipeline.from_pretrained(made["janus"], **wrong)  # type: ignore[arg-type]
    pipe: Any = SpatialPipeline.from_pretrained(made["janus"], attn_implementation="eager", use_safetensors=True)
    assert pipe.target.model.config.text_config._attn_implementation == "eager"


@pytest.mark.parametrize("kind", MAKES)
def test_one_device_as_a_map(made: dict[str, Path], kind: str) -> None:
    for place in ("cpu", {"": "cpu"}, torch.device("cpu")):
        assert SpatialPipeline.from_pretrained(made[kind], device_map=place).device == torch.device("cpu")


@pytest.mark.parametrize("kind", ["icons", "emu3", "lumina"])
def test_autocast_changes_nothing(made: dict[str, Path], kind: str) -> None:
    """Scripts for diffusers are often inside one: the dtype stays that of the weights, as the report says."""
    pipe = SpatialPipeline.from_pretrained(made[kind])
    plain = pipe(**request(kind))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = pipe(**request(kind))
        assert torch.is_autocast_enabled("cpu")
    assert out.tokens == plain.tokens and out.images[0].tobytes() == plain.images[0].tobytes()


def test_offloading_is_refused(made: dict[str, Path]) -> None:
    """Never slow without a word: weights that do not fit stay on no device."""
    with pytest.raises(BadInput, match="offloaded, for want of room, expected all weights on devices"):
        SpatialPipeline.from_pretrained(made["janus"], device_map="auto", max_memory={"cpu": 300_000})
    pipe = SpatialPipeline.from_pretrained(made["icons"])
    for offload in (pipe.enable_model_cpu_offload, pipe.enable_sequential_cpu_offload, pipe.enable_group_offload):
        with pytest.raises(BadInput, match="got offloading, expected all weights on devices"):
            offload("cuda")


@pytest.mark.parametrize("kind", MAKES)
def test_moved_and_converted(made: dict[str, Path], kind: str) -> None:
    pipe = SpatialPipeline.from_pretrained(made[kind])
    pipe.drafts = random_drafts(pipe.target)  # type: ignore[assignment]
    first = pipe(**request(kind)).tokens
    assert pipe.to("cpu") is pipe and (pipe.device.type, pipe.dtype) == ("cpu", torch.float32)
    assert pipe.to("cpu", torch.bfloat16).dtype == torch.bfloat16
    loaded = SpatialPipeline.from_pretrained(made[kind], dtype="bf16")
    assert pipe(**request(kind)).tokens == loaded(**request(kind)).tokens
    assert {weight.dtype for part in pipe.drafts for weight in part.parameters()} == {torch.bfloat16}
    assert len(pipe(**request(kind), method="hawk").tokens[0]) == len(first[0])
    assert pipe.to(dtype="fp32").dtype == torch.float32
    for wrong in ({"device": "cuda:7"}, {"dtype": "int8"}, {"device": 3.5}):
        with pytest.raises(BadInput):
            pipe.to(**wrong)


def test_a_split_model_is_not_moved(made: dict[str, Path]) -> None:
    pipe: Any = SpatialPipeline.from_pretrained(made["janus"])
    pipe.target.model.hf_device_map = {"model": 0, "lm_head": 1}
    with pytest.raises(BadInput, match="split over devices"):
        pipe.to("cpu")


@pytest.mark.parametrize("kind", MAKES)
def test_saved_and_loaded(made: dict[str, Path], kind: str, tmp_path: Path) -> None:
    pipe = SpatialPipeline.from_pretrained(made[kind])
    pipe.drafts = random_drafts(pipe.target)  # type: ignore[assignment]
    pipe.save_pretrained(tmp_path / "saved")
    again = SpatialPipeline.from_pretrained(tmp_path / "saved", dtype=torch.float32)
    names = [sorted(type(part).__name__ for part in one.drafts) for one in (again, pipe)]
    assert names[0] == names[1]
    if kind == "icons":  # which is saved in bfloat16
        pipe = SpatialPipeline.from_pretrained(tmp_path / "saved")
    ours, theirs = pipe(**request(kind)), again(**request(kind))
    assert ours.tokens == theirs.tokens and ours.images[0].tobytes() == theirs.images[0].tobytes()
    assert again(**request(kind), method="hawk").tokens == again(**request(kind), method="ar").tokens
    with pytest.raises(BadInput, match="which exists, expected a new folder"):
        pipe.save_pretrained(tmp_path / "saved")


def test_components_make_another_pipeline(made: dict[str, Path], tmp_path: Path) -> None:
    pipe = SpatialPipeline.from_pretrained(made["icons"])
    other = SpatialPipeline(**pipe.components)
    assert other.target is pipe.target and [*map(id, other.drafts)] == [*map(id, pipe.drafts)]


def test_a_wrapped_model_is_saved_as_it_is_now(tmp_path: Path) -> None:
    pipe: Any = SpatialPipeline.from_pretrained(tiny_janus(tmp_path / "janus"))
    model, processor = pipe.target.model, pipe.target.processor
    model.model.generation_head.vision_head.weight.data.mul_(-1)
    wrapped = SpatialPipeline(target=wrap(model, processor))
    wrapped.save_pretrained(tmp_path / "own")
    again = SpatialPipeline.from_pretrained(tmp_path / "own")
    assert again("a red apple", seed=0).tokens == wrapped("a red apple", seed=0).tokens
