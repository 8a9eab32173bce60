"""What a user of diffusers types: names, order and defaults of arguments, compared with its installed pipelines."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest
from diffusers import DiffusionPipeline, GlmImagePipeline, StableDiffusionPipeline

import spatialspec
from helpers.tiny import tiny_pipeline
from helpers.tiny_checkpoints import tiny_janus
from spatialspec import BadInput, SpatialPipeline

OWN = {"size", "temperature", "top_k", "top_p", "min_p", "seed", "method", "quality", "tolerance", "budget", "verifier"}
OWN |= {"written"}
ELSEWHERE = {  # defaults that differ: theirs, and why
    "prompt": None,  # they take embeddings instead
    "guidance_scale": (7.5, 1.5),  # None takes the model's own
    "callback_on_step_end_tensor_inputs": ["latents"],  # there are none
}
LOADING = ("torch_dtype", "device_map", "revision", "cache_dir", "token", "local_files_only", "quantization_config")


def parameters(call: Any) -> dict[str, inspect.Parameter]:
    kept = {p.name: p for p in inspect.signature(call).parameters.values() if p.kind != p.VAR_KEYWORD}
    kept.pop("self", None)
    return kept


@pytest.mark.parametrize("theirs", [StableDiffusionPipeline, GlmImagePipeline])
def test_the_call(theirs: type[DiffusionPipeline]) -> None:
    ours, known = parameters(SpatialPipeline.__call__), parameters(theirs.__call__)
    shared = [name for name in ours if name in known]
    missing = {"negative_prompt"} if theirs is GlmImagePipeline else set()
    assert ours.keys() - shared == OWN | missing
    assert shared == [name for name in known if name in ours], "another order"
    for name in shared:
        if name not in ELSEWHERE:
            assert ours[name].default == known[name].default, name
        else:
            allowed = ELSEWHERE[name]
            assert known[name].default in (allowed if isinstance(allowed, tuple) else (allowed,)), name
    positional = [name for name, p in ours.items() if p.kind == p.POSITIONAL_OR_KEYWORD]
    assert positional == ["prompt", "height", "width"] == [name for name in known if name in positional]


def test_loading_moving_and_saving() -> None:
    """Their `from_pretrained` names most of its arguments in its code alone."""
    ours, theirs = parameters(SpatialPipeline.from_pretrained), inspect.getsource(DiffusionPipeline.from_pretrained)
    assert ours.keys() >= {*LOADING}
    for name in LOADING:
        assert f'kwargs.pop("{name}", None)' in theirs, name
        assert ours[name].default in (None, False)
    for name in ("to", "save_pretrained", "set_progress_bar_config", "components", "device", "dtype"):
        assert hasattr(DiffusionPipeline, name) and hasattr(SpatialPipeline, name)
    for name in ("device", "dtype", "components"):
        assert isinstance(getattr(SpatialPipeline, name), property)
    assert next(iter(parameters(SpatialPipeline.save_pretrained))) == "save_directory"
    assert "save_directory" in parameters(DiffusionPipeline.save_pretrained)


def test_lines_of_its_users(tmp_path: Path) -> None:
    """A script for diffusers, line by line."""
    import torch

    tiny_janus(tmp_path / "janus")
    pipe = SpatialPipeline.from_pretrained(str(tmp_path / "janus"), torch_dtype=torch.float32, local_files_only=True)
    pipe = pipe.to("cpu")
    pipe.set_progress_bar_config(disable=True)
    generator = torch.Generator("cpu").manual_seed(0)
    images = pipe("a red apple", 64, 64, guidance_scale=5.0, num_images_per_prompt=2, generator=generator).images
    assert [image.size for image in images] == [(64, 64)] * 2
    (first, *_) = pipe("a red apple", generator=torch.Generator().manual_seed(0), return_dict=False)
    assert first[0].size == (64, 64)
    seen: list[int] = []

    def step_end(pipe: SpatialPipeline, step: int, timestep: int, callback_kwargs: dict[str, Any]) -> dict[str, Any]:
        seen.append(step)
        pipe._interrupt = step == 1
        return callback_kwargs

    out = pipe("a red apple", seed=0, callback_on_step_end=step_end)
    assert seen == [0, 1] and out.images[0].size == (64, 64) and out["images"] is out.images
    assert repr(pipe) == "SpatialPipeline(JanusTarget janus, cpu, float32, drafts: none)"
    again = type(pipe)(**pipe.components)
    assert again("a red apple", seed=0).tokens == pipe("a red apple", seed=0).tokens


def test_the_public_names() -> None:
    wanted = "SpatialPipeline Method Sampling Grid Output Report Step register wrap BadInput"
    assert {*wanted.split()} <= {*spatialspec.__all__}
    page = Path(spatialspec.__file__).parents[2].joinpath("docs", "api.md").read_text()
    for name in spatialspec.__all__:
        assert getattr(spatialspec, name) is not None
        assert name == "__version__" or f"::: spatialspec.{name}\n" in page, f"{name} is not on the API page"


def test_errors_have_fields(tmp_path: Path) -> None:
    pipe = tiny_pipeline(tmp_path)
    for call in (lambda: pipe(""), lambda: pipe("a cat", 7), lambda: SpatialPipeline.from_pretrained("nowhere")):
        with pytest.raises(ValueError) as caught:
            call()
        error = caught.value
        assert isinstance(error, BadInput) and error.got and error.expected
        advice = f": {error.advice}" if error.advice else ""
        assert str(error).endswith(f"got {error.got}, expected {error.expected}{advice}")
