"""Going on after an interruption: at any pass, with images that are finished, and with seeds of their own."""

import warnings
from typing import Any

import numpy as np
import pytest
import torch

from spatialspec.core.errors import BadInput
from spatialspec.pipeline import SpatialPipeline
from tiny import tiny_pipeline

PROMPTS = ["a cat", "red apple, 3d", "green tree"]
SEEDS = [2**63 - 1, 7, 7]


class Stopped(Exception):
    pass


@pytest.fixture(scope="module")
def pipe(tmp_path_factory: pytest.TempPathFactory) -> SpatialPipeline:
    return tiny_pipeline(tmp_path_factory.mktemp("model"))


def interrupted(pipe: SpatialPipeline, method: str, after: int) -> list[tuple[int, ...]] | None:
    """What is written when a call is stopped after so many steps; None where it ends before."""
    saved: list[tuple[int, ...]] = [()] * len(PROMPTS)
    steps = 0

    def stop(pipe: SpatialPipeline, passes: int, step: Any) -> None:
        nonlocal steps
        saved[step.image] = step.state.tokens
        steps += 1
        if steps == after:
            raise Stopped

    try:
        pipe(PROMPTS, method=method, seed=SEEDS, size="3x3", callback_on_step_end=stop)
    except Stopped:
        return saved
    return None


@pytest.mark.parametrize("method", ["spatial", "jacobi", "hawk", "ssd-strict"])
def test_at_any_pass(pipe: SpatialPipeline, method: str) -> None:
    """The first to finish is the ordinary case; what was finished comes back as it is."""
    whole = pipe(PROMPTS, method="ar", seed=SEEDS, size="3x3")
    after, finished = 1, set[int]()
    while (saved := interrupted(pipe, method, after)) is not None:
        finished |= {sum(len(tokens) == 9 for tokens in saved)}
        steps: list[int] = []
        out = pipe(PROMPTS, method=method, seed=SEEDS, size="3x3", written=saved,
                   callback_on_step_end=lambda _, n, step, steps=steps: steps.append(step.image))  # fmt: skip
        assert out.tokens == whole.tokens and out.report.seed_exact
        assert [i.tobytes() for i in out.images] == [i.tobytes() for i in whole.images]
        assert set(steps) == {i for i in range(3) if len(saved[i]) < 9}, "a finished image takes no pass"
        assert out.report.target_passes == pytest.approx(len(steps) / max(len(set(steps)), 1))
        after += 1
    assert finished >= {0, 1}, "some interruptions come before, some after an image is finished"


def test_nothing_left_to_draw(pipe: SpatialPipeline) -> None:
    tokens = pipe(PROMPTS, seed=SEEDS, size="3x3").tokens
    out = pipe(PROMPTS, seed=SEEDS, size="3x3", written=tokens)
    assert out.tokens == tokens and len(out.images) == 3
    report = out.report
    assert (report.target_passes, report.tokens_per_pass, report.accepted_length) == (0, 0, 0)


def test_written_as_people_have_it(pipe: SpatialPipeline) -> None:
    tokens = pipe("a cat", size="3x3").tokens[0]
    rows = ([tokens[:5]], [list(tokens[:5])], torch.tensor([tokens[:5]]), np.array([tokens]), [torch.tensor(tokens)])
    for written in (*rows, [None], [], None, ()):
        assert pipe("a cat", size="3x3", written=written).tokens[0] == tokens


def test_seeds_of_their_own(pipe: SpatialPipeline) -> None:
    alone = [pipe(p, seed=s, size="3x3").tokens[0] for p, s in zip(PROMPTS, SEEDS, strict=True)]
    for seeds in (SEEDS, tuple(SEEDS), np.array(SEEDS), torch.tensor(SEEDS), [np.int64(s) for s in SEEDS]):
        assert pipe(PROMPTS, seed=seeds, size=(3, 3)).tokens == alone
    with pytest.raises(BadInput, match="got 2 seeds, expected 3, one for each image"):
        pipe(PROMPTS, seed=[1, 2])


def test_negative_prompts(pipe: SpatialPipeline) -> None:
    """One for each prompt, repeated with it; None and blanks are none; a wrong count is refused."""
    words = ["blue heart, flat", None, ""]
    alone = [pipe(p, negative_prompt=w, seed=3).tokens[0] for p, w in zip(PROMPTS, words, strict=True)]
    plain = [pipe(p, seed=3).tokens[0] for p in PROMPTS]
    assert alone[0] != plain[0] and alone[1:] == plain[1:]
    assert pipe(PROMPTS, negative_prompt=words, seed=[3, 3, 3]).tokens == alone
    twice = pipe(PROMPTS[:2], negative_prompt=["a cat", " "], seed=3, num_images_per_prompt=2).tokens
    assert twice[:2] == pipe(PROMPTS[0], negative_prompt="a cat", seed=3, num_images_per_prompt=2).tokens
    with pytest.raises(BadInput, match="got 2 negative prompts, expected 3"):
        pipe(PROMPTS, negative_prompt=["ugly", "bad"])


def test_a_negative_prompt_without_guidance_is_told(pipe: SpatialPipeline) -> None:
    with pytest.warns(UserWarning, match="no effect with guidance_scale 1"):
        out = pipe("a cat", negative_prompt="a dog", guidance_scale=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert pipe("a cat", negative_prompt=["", None][:1], guidance_scale=1).tokens == out.tokens


def test_a_callback_that_raises_leaves_the_pipeline_usable(pipe: SpatialPipeline) -> None:
    before = pipe(PROMPTS).tokens
    for method in ("spatial", "hawk"):
        assert interrupted(pipe, method, 2) is not None
    assert pipe(PROMPTS).tokens == before and torch.is_grad_enabled() and not torch.is_inference_mode_enabled()


def test_every_call_has_a_session_of_its_own(pipe: SpatialPipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """What changed in a model between two calls is seen by the second."""
    opened: list[object] = []
    session = type(pipe.target).session
    monkeypatch.setattr(type(pipe.target), "session", lambda *rest: opened.append(s := session(*rest)) or s)
    pipe("a cat", size="2x2")
    pipe("a cat", size="2x2")
    assert len(opened) == 2 and opened[0] is not opened[1]
