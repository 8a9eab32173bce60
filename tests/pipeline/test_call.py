"""The call as users of diffusers write it: sizes in pixels, generators, output types, interruption, the report."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from helpers.tiny import tiny_pipeline
from helpers.tiny_checkpoints import tiny_janus
from spatialspec import BadInput, Output, SpatialPipeline, budget, pass_time, wrap
from spatialspec.budget import Cost
from spatialspec.pass_time import PassTime
from spatialspec.targets.loading import load_target

PROMPTS = ["a cat", "red apple, 3d"]


@pytest.fixture(scope="module")
def pipe(tmp_path_factory: pytest.TempPathFactory) -> SpatialPipeline:
    pipeline = tiny_pipeline(tmp_path_factory.mktemp("tiny"))
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def test_height_and_width_are_pixels(pipe: SpatialPipeline) -> None:
    """Cells of the tiny model have 4 pixels a side, its own grid is 6 x 6."""
    assert pipe("a cat", height=12, width=16).images[0].size == (16, 12)
    assert pipe("a cat", height=12).images[0].size == (24, 12)
    assert len(pipe("a cat", height=12, width=16).tokens[0]) == 12
    for sides, message in (
        ({"height": 13}, "got height 13, expected a multiple of 4 pixels: 12 or 16"),
        ({"width": 0}, "got width 0, expected 1 to"),
        ({"height": 12, "size": "3x6"}, "expected one of them"),
        ({"height": 400}, "400|100"),
    ):
        with pytest.raises(BadInput, match=message):
            pipe("a cat", **sides)


def test_seeds_of_a_generator(pipe: SpatialPipeline) -> None:
    """A generator moves on from call to call, as in diffusers; seeded alike, it draws alike."""
    generator = torch.Generator().manual_seed(7)
    first, second = pipe(PROMPTS, generator=generator), pipe(PROMPTS, generator=generator)
    again = pipe(PROMPTS, generator=torch.Generator().manual_seed(7))
    assert first.tokens == again.tokens and first.seeds == again.seeds != second.seeds
    assert first.seeds[1] == first.seeds[0] + 1
    assert pipe(PROMPTS, seed=first.seeds[0]).tokens == first.tokens == pipe(PROMPTS, seed=first.seeds).tokens
    each = pipe(PROMPTS, generator=[torch.Generator().manual_seed(i) for i in (7, 8)])
    assert each.seeds[0] == first.seeds[0] and each.seeds[1] != first.seeds[1] and each.tokens[0] == first.tokens[0]
    for odd, message in (
        ({"generator": generator, "seed": 1}, "got a seed and a generator"),
        ({"generator": [generator]}, "got 1 generators, expected 2"),
        ({"generator": 7}, "expected torch.Generator"),
    ):
        before = generator.get_state()
        with pytest.raises(BadInput, match=message):
            pipe(PROMPTS, **odd)
        assert torch.equal(generator.get_state(), before), "a refused call draws nothing"


def test_a_fresh_seed_for_each_call(pipe: SpatialPipeline) -> None:
    one, two = pipe("a cat"), pipe("a cat")
    assert one.seeds != two.seeds
    assert pipe("a cat", seed=one.seeds).tokens == one.tokens
    torch.manual_seed(5)
    three = pipe("a cat").seeds
    torch.manual_seed(5)
    assert pipe("a cat").seeds == three


def test_output_types(pipe: SpatialPipeline) -> None:
    drawn: dict[str, Output] = {kind: pipe(PROMPTS, seed=3, output_type=kind) for kind in ("pil", "np", "pt", "tokens")}
    array, tensor = drawn["np"].images, drawn["pt"].images
    assert isinstance(array, np.ndarray) and array.shape == (2, 24, 24, 3) and array.dtype == np.float32
    assert isinstance(tensor, torch.Tensor) and tensor.shape == (2, 3, 24, 24)
    assert 0 <= array.min() < array.max() <= 1 and np.array_equal(tensor.permute(0, 2, 3, 1).numpy(), array)
    for image, pixels in zip(drawn["pil"].images, array, strict=True):
        assert isinstance(image, Image.Image) and np.array_equal(np.asarray(image), (pixels * 255).round())
    assert drawn["tokens"].images == drawn["pil"].tokens
    with pytest.raises(BadInput, match="got output_type 'latent', expected one of pil, np, pt, tokens"):
        pipe("a cat", output_type="latent")


def test_outputs_unpack_like_those_of_diffusers(pipe: SpatialPipeline) -> None:
    out = pipe("a cat", seed=3)
    images, tokens, seeds, report = out
    assert (
        out[0] is images is out.images is out["images"] and out.to_tuple()[1] is tokens and out[2:] == (seeds, report)
    )
    assert dict(out) == {"images": images, "tokens": tokens, "seeds": [3], "report": report} and len(out) == 4
    plain = pipe("a cat", seed=3, return_dict=False)
    assert isinstance(plain, tuple) and plain[1] == tokens and plain[0][0].tobytes() == images[0].tobytes()
    with pytest.raises(KeyError):
        out["image"]


@pytest.mark.parametrize("way", ["interrupt", "attribute"])
@pytest.mark.parametrize("method", ["ar", "spatial", "jacobi:length=8"])
def test_an_interrupted_call_returns_what_there_is(pipe: SpatialPipeline, method: str, way: str) -> None:
    whole = pipe(PROMPTS, seed=5, method=method)

    def stop(pipe: SpatialPipeline, step: int, timestep: int, kwargs: dict[str, Any]) -> dict[str, Any]:
        if step == 4 and way == "interrupt":
            pipe.interrupt()
        elif step == 4:
            pipe._interrupt = True
        return kwargs

    part = pipe(PROMPTS, seed=5, method=method, callback_on_step_end=stop)
    assert all(0 < len(tokens) < 36 for tokens in part.tokens)
    assert not any(image.complete for image in part.report.images)
    for image, tokens in zip(part.images, part.tokens, strict=True):
        pixels, height = np.asarray(image), len(tokens) // 6 * 4
        assert image.size == (24, 24) and (pixels[height:] == 255).all()
    rest = pipe(PROMPTS, seed=5, method=method, written=part.tokens)
    assert rest.tokens == whole.tokens and rest.images[0].tobytes() == whole.images[0].tobytes()
    assert pipe(PROMPTS, seed=5, method=method).tokens == whole.tokens, "the next call runs to its end"


def test_callbacks_get_what_they_name(pipe: SpatialPipeline) -> None:
    for inputs, expected in ((["tokens"], {"tokens"}), ([], set()), (None, set()), (("step",), {"step"})):
        seen: list[set[str]] = []
        pipe(
            "a cat",
            callback_on_step_end=lambda _, step, timestep, kwargs, seen=seen: seen.append(set(kwargs)),
            callback_on_step_end_tensor_inputs=inputs,
        )
        assert seen and all(names == expected for names in seen)
    with pytest.raises(
        BadInput, match="got callback_on_step_end_tensor_inputs 'latents', expected one of step, tokens"
    ):
        pipe("a cat", callback_on_step_end_tensor_inputs=["latents"])


def test_dials_of_the_call(pipe: SpatialPipeline) -> None:
    exact, fast = pipe("a cat", seed=1, quality="exact").report, pipe("a cat", seed=1, quality="fast").report
    assert exact.exact and exact.seed_exact and not fast.exact and fast.method == "spatial:front=0.0:tolerance=12.0"
    assert pipe("a cat", seed=1, quality="fast", tolerance=0).report.exact, "named beside a preset, it holds"
    assert pipe("a cat", seed=1, method="jacobi", tolerance=3).report.method == "jacobi:tolerance=3.0"
    assert pipe("a cat", seed=1, budget=0).report.target_passes == 36
    assert pipe("a cat", seed=1, method="spatial:budget=3", budget=9).report.method == "spatial:budget=3"
    for dials, message in (
        ({"quality": "best"}, "got quality 'best', expected one of exact, high, balanced, fast"),
        ({"method": "ar", "quality": "fast"}, "got quality fast for ar, expected a method with that"),
        ({"method": "ar", "tolerance": 1}, "got tolerance 1 for ar"),
        ({"budget": 1000}, "budget=1000"),
        ({"tolerance": float("nan")}, "tolerance=nan"),
    ):
        with pytest.raises(BadInput, match=message):
            pipe("a cat", **dials)


def test_min_p_leaves_the_likely_tokens(pipe: SpatialPipeline) -> None:
    greedy = pipe("a cat", method="ar", seed=1, temperature=0)
    assert pipe("a cat", method="ar", seed=1, min_p=1).tokens == greedy.tokens
    for method in ("spatial", "hawk", "jacobi"):
        assert (
            pipe("a cat", method=method, seed=1, min_p=0.2).tokens
            == pipe("a cat", method="ar", seed=1, min_p=0.2).tokens
        )
    with pytest.raises(BadInput, match="min_p"):
        pipe("a cat", min_p=2)


def test_the_report_of_every_image(pipe: SpatialPipeline) -> None:
    report = pipe(PROMPTS, seed=5).report
    assert [image.prompt for image in report.images] == PROMPTS and [image.seed for image in report.images] == [5, 6]
    assert sum(image.passes for image in report.images) == 2 * report.target_passes
    assert all(image.complete and 0 < image.seconds <= 2 * report.seconds for image in report.images)
    alone = pipe(PROMPTS[1], seed=6).report
    assert alone.images[0].passes == report.images[1].passes == alone.target_passes
    assert alone.images[0].accepted_length == alone.accepted_length == report.images[1].accepted_length


def test_a_bar_unless_it_is_disabled(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pipeline = tiny_pipeline(tmp_path)
    pipeline("a cat", seed=1, method="ar")
    assert "36" in capsys.readouterr().err
    pipeline.set_progress_bar_config(disable=True)
    pipeline("a cat", seed=1, method="ar")
    assert not capsys.readouterr().err


def test_around_a_loaded_model(tmp_path: Path) -> None:
    """Both ways to wrap a model are the same, and the model stays the user's."""
    target = load_target(tiny_janus(tmp_path))
    model, processor = target.model, target.processor  # type: ignore[attr-defined]
    one, other = SpatialPipeline.wrap(model, processor), SpatialPipeline(target=wrap(model, processor))
    assert one("a cat", seed=1).tokens == other("a cat", seed=1).tokens and one.target.model is model  # type: ignore[attr-defined]


def test_budget_auto_is_measured_once(pipe: SpatialPipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The budget that is fastest here; a method's own stays, and one without a budget is refused."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    costs, measured = [Cost(0, 1.0, 1.0), Cost(7, 1.0, 4.0), Cost(15, 2.0, 5.0)], []
    monkeypatch.setattr(budget, "measure_passes", lambda *given: PassTime({1: 1.0}))
    monkeypatch.setattr(budget, "measure", lambda *given: measured.append(given[3].by_prompt()[0].prompts) or costs)
    for _ in range(2):
        out = pipe(PROMPTS, seed=1, budget="auto")
        assert out.report.remarks[-1] == "auto: 7 nodes, about 4.0 times as fast as AR"
        assert out.report.method == "spatial:budget=7" and out.tokens == pipe(PROMPTS, seed=1, method="ar").tokens
    assert measured == [PROMPTS], "once, and both images together"
    assert pipe("a cat", seed=1, method="spatial:budget=3", budget="auto").report.method == "spatial:budget=3"
    with pytest.raises(BadInput, match="got budget auto for ar, expected a method with a budget"):
        pipe("a cat", method="ar", budget="auto")


def test_interrupted_while_budgets_are_measured(
    pipe: SpatialPipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The call ends with what is written, and the next one runs to its end."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for timed in (pass_time, budget):  # the first measurement, then the second one
        plain, steps = timed.steps, []

        def watched(*given: Any, plain: Any = plain, steps: Any = steps) -> Any:
            for step in plain(*given):
                steps.append(step)
                pipe.interrupt()
                yield step

        with monkeypatch.context() as patch:
            patch.setattr(timed, "steps", watched)
            assert len(pipe("a cat", seed=1, budget="auto").tokens[0]) < 36 and len(steps) == 1
        monkeypatch.setattr(budget, "measure_passes", lambda *given: PassTime({1: 1.0}))
    assert len(pipe("a cat", seed=1).tokens[0]) == 36


def test_a_verifier_that_a_method_does_not_take(pipe: SpatialPipeline) -> None:
    with pytest.warns(UserWarning, match="spatial is verified by coupled noise, whatever the verifier"):
        assert pipe("a cat", seed=1, verifier="rejection").report.seed_exact
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not pipe("a cat", seed=1, method="hawk", verifier="rejection").report.seed_exact
        assert not pipe("a cat", seed=1, method="scd").report.seed_exact
