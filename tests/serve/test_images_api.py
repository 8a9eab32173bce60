"""OpenAI's images API, by the official client: what it answers is what the pipeline draws."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from io import BytesIO

import numpy as np
import openai
import pytest
from PIL import Image

from helpers.serving import Serving, serving
from spatialspec.core.grid import Grid
from spatialspec.pipeline import SpatialPipeline


@pytest.fixture(scope="module")
def served(pipeline: SpatialPipeline) -> Iterator[Serving]:
    with serving(pipeline) as running:
        yield running


@pytest.fixture(scope="module")
def client(served: Serving) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{served.url}/v1", api_key="none", max_retries=0)


def decoded(text: str | None) -> Image.Image:
    assert text
    return Image.open(BytesIO(base64.b64decode(text)))


def same(one: Image.Image, other: Image.Image) -> bool:
    return np.array_equal(np.asarray(one), np.asarray(other))


def test_images_are_those_of_the_pipeline(client: openai.OpenAI, pipeline: SpatialPipeline) -> None:
    answer = client.images.generate(prompt="a cat", model="tiny", n=3, size="24x24", extra_body={"seed": 5})
    out = pipeline("a cat", seed=5, num_images_per_prompt=3)
    assert answer.data is not None and len(answer.data) == 3
    assert all(same(decoded(one.b64_json), image) for one, image in zip(answer.data, out.images, strict=True))
    assert [one.seed for one in answer.data] == [5, 6, 7]  # type: ignore[attr-defined]
    assert answer.usage is not None and answer.usage.output_tokens == answer.usage.total_tokens == 3 * 36
    assert answer.usage.passes == sum(one.passes for one in out.report.images)  # type: ignore[attr-defined]
    assert (answer.size, answer.output_format, answer.background) == ("24x24", "png", "opaque")


@pytest.mark.parametrize("format", ["png", "jpeg", "webp"])
def test_formats(client: openai.OpenAI, format: str) -> None:
    sizes = []
    for quality in (100, 5):
        answer = client.images.generate(
            prompt="a cat", output_format=format, output_compression=quality, extra_body={"seed": 1}
        )  # type: ignore[call-overload]
        image = decoded(answer.data[0].b64_json)
        assert image.format == format.upper() and image.size == (24, 24)
        sizes.append(len(answer.data[0].b64_json))
    assert sizes[0] > sizes[1] or format == "png"


def test_a_seed_is_drawn_and_told(client: openai.OpenAI) -> None:
    first, second = (client.images.generate(prompt="a cat").data[0] for _ in range(2))  # type: ignore[index]
    assert first.seed != second.seed  # type: ignore[attr-defined]
    again = client.images.generate(prompt="a cat", extra_body={"seed": first.seed}).data[0]  # type: ignore[index,attr-defined]
    assert again.b64_json == first.b64_json


@pytest.mark.parametrize(
    ("quality", "preset"),
    [("low", "fast"), ("medium", "balanced"), ("high", "high"), ("auto", None),
     ("exact", "exact"), ("balanced", "balanced"), ("fast", "fast"), (None, None)],
)  # fmt: skip
def test_qualities(served: Serving, pipeline: SpatialPipeline, quality: str | None, preset: str | None) -> None:
    with served.stream(seed=2, quality=quality) as (_, events):
        (done,) = events
    out = pipeline("a cat", seed=2, quality=preset)
    assert done["tokens"] == list(out.tokens[0]) and done["passes"] == out.report.images[0].passes
    assert done["method"] == out.report.method and done["seed_exact"] == out.report.seed_exact


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_partial_images(client: openai.OpenAI, pipeline: SpatialPipeline, count: int) -> None:
    """Complete rows as they are in the end, and white below."""
    events = list(
        client.images.generate(
            prompt="a cat", stream=True, partial_images=count, n=2, extra_body={"seed": 5, "method": "ar"}
        )
    )
    out = pipeline("a cat", seed=5, num_images_per_prompt=2)
    for i, final in enumerate(out.images):
        *partial, last = [event for event in events if event.index == i]  # type: ignore[union-attr]
        assert last.type == "image_generation.completed" and same(decoded(last.b64_json), final)
        assert last.tokens == list(out.tokens[i]) and last.usage.passes == last.passes == 36  # type: ignore[union-attr]
        assert [event.partial_image_index for event in partial] == list(range(count))  # type: ignore[union-attr]
        cells = [event.cells for event in partial]  # type: ignore[union-attr]
        assert cells == sorted(set(cells)) and all(0 < number < 36 for number in cells)
        for event in partial:
            image, rows = decoded(event.b64_json), event.cells // 6  # type: ignore[union-attr]
            assert event.passes == event.cells and rows  # type: ignore[union-attr]
            written = pipeline.target.pixels(out.tokens[i][: rows * 6], Grid(rows, 6))
            assert same(image.crop((0, 0, 24, rows * 4)), written)
            assert (np.asarray(image)[rows * 4 :] == 255).all()


def test_models(client: openai.OpenAI) -> None:
    (model,) = client.models.list().data
    assert model.id == "tiny" and client.models.retrieve("tiny") == model
    assert {"ar", "spatial", "hawk", "ssd"} <= {*model.methods} and "spatial-model" not in model.methods  # type: ignore[attr-defined]
    with pytest.raises(openai.NotFoundError, match="expected tiny"):
        client.models.retrieve("dall-e-3")
    with pytest.raises(openai.NotFoundError) as refused:
        client.images.generate(prompt="a cat", model="dall-e-3")
    assert (refused.value.code, refused.value.param) == ("model_not_found", "model")


def test_official_defaults_are_taken(client: openai.OpenAI) -> None:
    answer = client.images.generate(
        prompt="a cat", background="auto", moderation="auto", style="vivid", user="", response_format="b64_json",
        size="auto", quality="auto", n=1, stream=False,
    )  # fmt: skip
    assert answer.data is not None and decoded(answer.data[0].b64_json).size == (24, 24)


@pytest.mark.parametrize(
    ("field", "value"),
    [("background", "transparent"), ("moderation", "low"), ("style", "natural"), ("user", "me"), ("size", "1024x1024"),
     ("safety_identifier", "me"), ("quality", "hd"), ("response_format", "url"), ("output_format", "gif"), ("n", 11)],
)  # fmt: skip
def test_other_values_are_refused_by_name(client: openai.OpenAI, field: str, value: object) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.images.generate(**{"prompt": "a cat", field: value})  # type: ignore[arg-type]
    assert refused.value.param == field and field in refused.value.message
    if field == "size":
        assert "auto or 24x24" in refused.value.message


def test_metrics(served: Serving) -> None:
    before = {name: served.metric(name) for name in ("spatialspec_passes_total", "spatialspec_tokens_total")}
    completed = 'spatialspec_requests_total{outcome="completed"}'
    count = served.metric(completed)
    with served.stream(seed=2) as (_, events):
        (done,) = events
    served.settled()
    assert served.metric(completed) == count + 1
    assert served.metric("spatialspec_tokens_total") == before["spatialspec_tokens_total"] + 36
    assert served.metric("spatialspec_passes_total") == before["spatialspec_passes_total"] + done["passes"]
    for name in ("queue_images", "batch_images", "tokens_per_second"):
        assert f"spatialspec_{name} 0.0" in served.http.get("/metrics").text
    for stage in ("queue", "draw", "pixels"):
        assert served.metric(f'spatialspec_seconds_count{{stage="{stage}"}}') > 0
    assert served.metric("spatialspec_accepted_length_sum") == served.metric("spatialspec_tokens_total")
