"""Committed rows as they come, cancelling midway, going on from saved tokens; through the real cache."""

from pathlib import Path
from typing import Any

import pytest

from helpers.tiny import tiny_pipeline
from spatialspec.core.step import Step
from spatialspec.pipeline import SpatialPipeline

PROMPTS = ["a cat", "red apple, 3d", "green tree"]
METHODS = ["ar", "hawk", "jacobi:length=8", "spatial", "ssd-strict"]


class Cancelled(Exception):
    pass


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> SpatialPipeline:
    folder: Path = tmp_path_factory.mktemp("tiny")
    return tiny_pipeline(folder)


@pytest.mark.parametrize("method", METHODS)
def test_committed_tokens_do_not_change(pipeline: SpatialPipeline, method: str) -> None:
    """Every step of every image goes on from the step before; previews grow by whole rows."""
    seen: dict[int, tuple[int, ...]] = {}
    heights = set()

    def look(pipe: SpatialPipeline, index: int, cells: int, kwargs: dict[str, Any]) -> None:
        step: Step = kwargs["step"]
        before = seen.get(step.image, ())
        assert step.after.tokens[: len(before)] == before and step.before.passes == index
        assert kwargs["tokens"] == step.after.tokens and len(kwargs["tokens"]) == cells
        seen[step.image] = step.after.tokens
        picture = pipe.preview(step.after)
        heights.add(picture.height if picture else 0)
        assert (picture.height if picture else 0) == step.after.frontier // 6 * 4

    out = pipeline(PROMPTS, method=method, seed=3, callback_on_step_end=look)
    assert [seen[i] for i in range(3)] == out.tokens and 24 in heights and len(heights) > 3


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("after", [1, 4])
def test_cancelled_and_resumed(pipeline: SpatialPipeline, method: str, after: int) -> None:
    """The pipeline stays usable, and saved tokens lead to the same images, some of them with nothing written."""
    whole = pipeline(PROMPTS, method=method, seed=5).tokens
    saved: list[tuple[int, ...]] = [(), (), ()]

    def stop(pipe: SpatialPipeline, index: int, cells: int, kwargs: dict[str, Any]) -> None:
        if kwargs["step"].image < 2:
            saved[kwargs["step"].image] = kwargs["tokens"]
        if index >= after:
            raise Cancelled

    with pytest.raises(Cancelled):
        pipeline(PROMPTS, method=method, seed=5, callback_on_step_end=stop)
    assert saved[0] and saved[1] and not saved[2]
    assert pipeline(PROMPTS, method=method, seed=5, written=saved).tokens == whole
    assert pipeline(PROMPTS, method="ar", seed=5, written=saved).tokens == whole


def test_tokens_that_cannot_be_gone_on_from(pipeline: SpatialPipeline) -> None:
    for tokens, expected in (([0] * 37, "at most 36"), ([64], "0 to 63"), ([-1], "0 to 63"), ([0.5], "whole number")):
        with pytest.raises(ValueError, match=f"expected .*{expected}"):
            pipeline("a cat", written=[tokens])


def test_a_resumed_report_counts_what_was_drawn(pipeline: SpatialPipeline) -> None:
    tokens = pipeline("a cat", method="ar", seed=5).tokens
    report = pipeline("a cat", method="ar", seed=5, written=[tokens[0][:20]]).report
    assert report.accepted_length == 1.0 and report.target_passes == 1 + 36 - 20
    with pytest.raises(ValueError, match="got written tokens of 1 images, expected those of 3"):
        pipeline(PROMPTS, method="ar", seed=5, written=[tokens[0][:20]])


def test_the_seed_behind_the_last_is_the_first(pipeline: SpatialPipeline) -> None:
    last = 2**63 - 1
    out = pipeline("a cat", method="ar", seed=last, num_images_per_prompt=2)
    assert out.tokens[1] == pipeline("a cat", method="ar", seed=0).tokens[0] != out.tokens[0]
    for seed in (-1, 2**63):
        with pytest.raises(ValueError, match=r"expected 0 to 2\^63 - 1"):
            pipeline("a cat", method="ar", seed=seed)
