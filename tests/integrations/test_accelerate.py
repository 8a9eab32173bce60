"""`spatialspec.accelerate(pipe)`: the call of diffusers' GLM-Image as before, its AR part in fewer passes."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate.hooks import ModelHook, add_hook_to_module
from diffusers import GlmImagePipeline
from PIL import Image

import spatialspec
from helpers.real_targets import random_drafts
from helpers.tiny_glm import CODES, shrink_previews
from helpers.tiny_glm_pipeline import tiny_glm_pipeline
from spatialspec import BadInput, SpatialPipeline, Step, arguments
from spatialspec.drafts import weights

CELLS = 13 * 19 + 2 * 3
SIZE = {"height": 64, "width": 96}


@pytest.fixture(scope="module")
def made() -> GlmImagePipeline:
    return tiny_glm_pipeline()


@pytest.fixture
def pipe(made: GlmImagePipeline) -> Iterator[GlmImagePipeline]:
    made.set_progress_bar_config(disable=True)
    yield spatialspec.accelerate(made)
    spatialspec.accelerate(made, undo=True)
    made.vision_language_encoder.generation_config.top_k = None


def draw(pipe: GlmImagePipeline, prompt: Any = "a red apple", seed: Any = 0, **more: Any) -> torch.Tensor:
    """Pixels of a call whose noise comes from `generator`."""
    seeds = seed if isinstance(seed, list) else [seed]
    each = [torch.Generator().manual_seed(one) for one in seeds]
    given = {"generator": each if isinstance(seed, list) else each[0], "num_inference_steps": 2, "output_type": "np"}
    return torch.from_numpy(pipe(prompt, **SIZE, **given, **more).images)


def inputs_of(pipe: GlmImagePipeline, *contents: dict[str, Any], size: tuple[int, int] = (64, 96)) -> Any:
    message = [{"role": "user", "content": list(contents)}]
    asked = {"target_h": size[0], "target_w": size[1], "return_dict": True, "return_tensors": "pt"}
    return pipe.processor.apply_chat_template([message], tokenize=True, padding=False, **asked)


@pytest.mark.parametrize("prompt", ["a red apple", ["a red apple", "two cats on a mat by the sea"]], ids=["one", "two"])
def test_greedy_is_the_same_image(pipe: GlmImagePipeline, prompt: Any) -> None:
    pipe.vision_language_encoder.generation_config.top_k = 1  # greedy for transformers, which refuses temperature 0
    ours = draw(pipe, prompt)
    theirs = draw(spatialspec.accelerate(pipe, undo=True), prompt)
    assert torch.equal(ours, theirs) and ours.std() > 0
    pipe.vision_language_encoder.generation_config.top_k = None
    assert not torch.equal(draw(pipe, prompt), theirs), "the image does not depend on the tokens"


def test_the_hook_that_applications_call(pipe: GlmImagePipeline) -> None:
    """Ids, prompt and end included, in the shape of `generate`; sampled as the generation config says."""
    inputs, model = inputs_of(pipe, {"type": "text", "text": "a cat"}), pipe.vision_language_encoder
    torch.manual_seed(3)
    ids = model.generate(**inputs, max_new_tokens=CELLS + 1, do_sample=True)
    torch.manual_seed(3)
    seed = arguments.seeds(None, None, 1)
    own = SpatialPipeline.wrap(model, pipe.processor)("a cat", size="2x3", seed=seed, top_k=50)
    start = inputs["input_ids"].shape[1]
    assert torch.equal(ids[:, :start], inputs["input_ids"]) and int(ids[0, -1]) == CODES + 1
    torch.manual_seed(3)
    with torch.autocast("cpu", dtype=torch.bfloat16):  # which changes nothing
        assert torch.equal(model.generate(**inputs, max_new_tokens=CELLS + 1, do_sample=True), ids)
    assert tuple(ids[0, start:-1].tolist()) == own.tokens[0] and len(own.tokens[0]) == CELLS


def test_generators(pipe: GlmImagePipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    shrink_previews(monkeypatch)
    first = draw(pipe, seed=1)
    assert torch.equal(draw(pipe, seed=1), first) and not torch.equal(draw(pipe, seed=2), first)
    latents = torch.randn(1, 4, 8, 12, generator=torch.Generator().manual_seed(0))
    tokens_alone = [draw(pipe, seed=seed, latents=latents) for seed in (1, 1, 2)]
    assert torch.equal(*tokens_alone[:2]) and not torch.equal(*tokens_alone[1:]), "the AR part ignores the generator"
    assert len(draw(pipe, seed=[1, 2], num_images_per_prompt=2)) == 2


def test_fewer_passes_with_drafts_and_a_callback(made: GlmImagePipeline, tmp_path: Path) -> None:
    target: Any = spatialspec.wrap(made.vision_language_encoder, made.processor)
    heads = random_drafts(target)[0]
    weights.save(heads, tmp_path / "hawk", target.fingerprint, target.name)  # type: ignore[arg-type]
    steps: dict[str, list[Step]] = {"ar": [], "spatial": [], "hawk": []}
    images = {}
    for method, note in steps.items():
        draft = tmp_path / "hawk" if method == "hawk" else ()
        images[method] = draw(spatialspec.accelerate(made, method=method, draft=draft, callback=note.append))
    spatialspec.accelerate(made, undo=True)
    assert torch.equal(images["ar"], images["spatial"]) and torch.equal(images["ar"], images["hawk"])
    assert len(steps["ar"]) == CELLS > len(steps["spatial"]) and len(steps["hawk"]) < CELLS
    assert steps["spatial"][-1].after.complete and len(steps["spatial"][-1].after.tokens) == CELLS


def test_a_bar_for_the_tokens(pipe: GlmImagePipeline) -> None:
    shown = io.StringIO()
    pipe.set_progress_bar_config(file=shown)
    draw(pipe)
    assert f"{CELLS}/{CELLS}" in shown.getvalue() and "2/2" in shown.getvalue()


def test_cancelling(made: GlmImagePipeline) -> None:
    """By diffusers' own flag: the call ends at once; or by raising. The next call is whole."""
    passes: list[Step] = []

    def stop(step: Step) -> None:
        passes.append(step)
        if len(passes) == 3:
            made._interrupt = True

    expected = draw(spatialspec.accelerate(made))
    stopped = draw(spatialspec.accelerate(made, callback=stop))
    assert len(passes) == 3 and stopped.shape == expected.shape and not passes[-1].after.complete

    def fail(step: Step) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        draw(spatialspec.accelerate(made, callback=fail))
    inputs = inputs_of(made, {"type": "text", "text": "a cat"})
    made._interrupt = True  # left by an earlier call
    ids = spatialspec.accelerate(made).vision_language_encoder.generate(**inputs, do_sample=True)
    assert len(set(ids[0, -100:-1].tolist())) > 5, "cancelled by an old flag"
    assert torch.equal(draw(made), expected)
    spatialspec.accelerate(made, undo=True)


def test_undo(made: GlmImagePipeline) -> None:
    model = made.vision_language_encoder
    assert "generate" not in vars(model) and spatialspec.accelerate(made, undo=True) is made
    assert spatialspec.accelerate(spatialspec.accelerate(made, method="ar")) is made and "generate" in vars(model)
    spatialspec.accelerate(made, undo=True)
    assert "generate" not in vars(model)
    model.generate = theirs = lambda **inputs: None
    spatialspec.accelerate(made)
    assert model.generate is not theirs
    spatialspec.accelerate(made, undo=True)
    assert model.generate is theirs
    del model.generate


def test_editing_is_drawn_as_before(pipe: GlmImagePipeline) -> None:
    image = {"type": "image", "image": Image.new("RGB", (64, 64), "red")}
    inputs = inputs_of(pipe, image, {"type": "text", "text": "make it blue"})
    model = pipe.vision_language_encoder
    assert inputs["pixel_values"] is not None and (inputs["input_ids"] == CODES + 1).any()
    torch.manual_seed(0)
    with pytest.warns(UserWarning, match="image= is drawn as without spatialspec"):
        ours = model.generate(**inputs, max_new_tokens=7, do_sample=True)
    spatialspec.accelerate(pipe, undo=True)
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        theirs = model.generate(**inputs, max_new_tokens=7, do_sample=True)
    assert torch.equal(ours, theirs)


class Moves(ModelHook):
    """Counts how often a model is brought to its device, as offloading does."""

    def __init__(self) -> None:
        self.times = 0

    def pre_forward(self, module: Any, *args: Any, **kwargs: Any) -> Any:
        self.times += 1
        return args, kwargs


def test_a_model_that_is_offloaded_between_calls_comes_back(pipe: GlmImagePipeline) -> None:
    moves, model = Moves(), pipe.vision_language_encoder
    add_hook_to_module(model, moves)
    model.generate(**inputs_of(pipe, {"type": "text", "text": "a cat"}), do_sample=True)
    assert moves.times == 1
    model.forward = model._old_forward
    del model._hf_hook, model._old_forward


def test_what_is_refused(made: GlmImagePipeline) -> None:
    with pytest.raises(BadInput, match="GlmImagePipeline of diffusers"):
        spatialspec.accelerate(SpatialPipeline.from_pretrained("icons"))
    with pytest.raises(BadInput, match="magic"):
        spatialspec.accelerate(made, method="magic")
    with pytest.raises(BadInput, match="callback 3"):
        spatialspec.accelerate(made, callback=3)  # type: ignore[arg-type]
    pipe = spatialspec.accelerate(made)
    with pytest.raises(BadInput, match="no image_grid_thw"):
        pipe.vision_language_encoder.generate(torch.tensor([[CODES]]), do_sample=True)
    spatialspec.accelerate(made, undo=True)
