"""The body of a request for images: the fields of OpenAI's images API and ours, and the job that they ask for."""

from __future__ import annotations

import secrets
import threading
from contextlib import suppress
from dataclasses import replace
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from spatialspec import arguments
from spatialspec.core.errors import BadInput, shown
from spatialspec.core.sampling import Sampling
from spatialspec.generation import assemble
from spatialspec.measure.runs import check
from spatialspec.methods.method import Method
from spatialspec.methods.presets import PRESETS, dialled
from spatialspec.methods.registry import methods
from spatialspec.pipeline import SpatialPipeline
from spatialspec.request import Request
from spatialspec.serve.job import Job, JobImage
from spatialspec.serve.problems import Problem

QUALITIES = {"low": "fast", "medium": "balanced", **{name: name for name in PRESETS}}
LONGEST_METHOD = 200  # characters
SEEDS = 2**63
FREE_SEEDS = 2**53  # those that are drawn: whole numbers in every language that reads JSON


class ImageBody(BaseModel):
    """Fields of a request; others are refused.

    Attributes:
        prompt: what to draw.
        model: the one that is served.
        n: images; image i has seed + i.
        size: "auto" or the one size of the model, as WIDTHxHEIGHT in pixels.
        quality: low, medium, high or auto, or a preset of `spatial`.
        response_format: b64_json, as nothing is stored.
        output_format: of the files.
        output_compression: quality of jpeg and webp, 0 to 100.
        stream: server-sent events instead of one answer.
        partial_images: with `stream`, images to send on the way.
        background: only its default, like the next four, which mean nothing here.
        moderation: see above.
        style: see above.
        user: see above.
        safety_identifier: see above.
        seed: of the first image; drawn if missing, and named in the answer.
        negative_prompt: what guidance steers away from.
        guidance_scale: see :class:`Sampling`, here and in the next three.
        temperature: see above.
        top_k: see above.
        top_p: see above.
        method: `name[:key=value...]`.
    """

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    prompt: str
    model: str | None = None
    n: int | None = Field(default=1, ge=1, le=10)
    size: str | None = None
    quality: Literal["auto", "low", "medium", "high", "exact", "balanced", "fast"] | None = None
    response_format: Literal["b64_json"] | None = None
    output_format: Literal["png", "jpeg", "webp"] | None = None
    output_compression: int | None = Field(default=None, ge=0, le=100)
    stream: bool | None = False
    partial_images: int | None = Field(default=0, ge=0, le=3)
    background: Literal["auto"] | None = None
    moderation: Literal["auto"] | None = None
    style: Literal["vivid"] | None = None
    user: Literal[""] | None = None
    safety_identifier: Literal[""] | None = None
    seed: int | None = Field(default=None, ge=0, lt=SEEDS)
    negative_prompt: str | None = None
    guidance_scale: float | None = Field(default=None, ge=0, le=100)
    temperature: float | None = Field(default=None, ge=0, le=100)
    top_k: int | None = Field(default=None, ge=0, le=2**31)
    top_p: float | None = Field(default=None, gt=0, le=1)
    method: str | None = Field(default=None, max_length=LONGEST_METHOD)

    @property
    def file_format(self) -> str:
        """Format of the files."""
        return self.output_format or "png"


class BodyReader:
    """Reads bodies for one pipeline.

    Args:
        pipeline: target and drafts.
        reading: held while prompts are read.
        seconds: time limit of a job.
        place: of the server among several, see `Job`.

    Attributes:
        methods: names of the methods that can be drawn with.
        size: of an image, WIDTHxHEIGHT in pixels.
    """

    def __init__(self, pipeline: SpatialPipeline, reading: threading.Lock, seconds: float, place: str = "") -> None:
        self.pipeline, self.methods, self._reading = pipeline, drawable(pipeline), reading
        self._seconds, self._place = seconds, place
        grid, patch = pipeline.target.grid, pipeline.target.patch
        self.size = f"{grid.columns * patch}x{grid.rows * patch}"

    def job(self, body: ImageBody) -> Job:
        """Check everything that could stop a job, before anything is computed; takes milliseconds.

        Raises:
            Problem: a field that this model cannot serve.
        """
        self._fields(body)
        method = self._method(body)
        sampling = self._sampling(body)
        try:
            (prompt,) = arguments.prompts(body.prompt)
        except BadInput as error:
            raise Problem.of(error, "prompt") from error
        try:
            (negative,) = arguments.negatives(body.negative_prompt, 1)
        except BadInput as error:
            raise Problem.of(error, "negative_prompt") from error
        count, target = body.n or 1, self.pipeline.target
        seed = secrets.randbelow(FREE_SEEDS) if body.seed is None else body.seed
        seeds = arguments.seeds(seed, None, count)
        request = Request([prompt] * count, seeds, sampling, target.grid, "coupled", [negative] * count, images=count)
        try:
            with self._reading:
                check(self.pipeline, [method], request)
        except BadInput as error:
            raise Problem.of(error) from error
        cells, partials = target.layout(target.grid).cells, body.partial_images or 0
        return Job([JobImage(one, method, cells, partials) for one in request.each()], self._seconds, self._place)

    def _fields(self, body: ImageBody) -> None:
        name = self.pipeline.target.name
        if body.model not in (None, name):
            message = f"got model {shown(body.model)}, expected {name}, which is the one served here"
            raise Problem(404, message, param="model", code="model_not_found")
        if body.size not in (None, "auto", self.size):
            message = f"got size {shown(body.size)}, expected auto or {self.size}"
            raise Problem(400, message, param="size", code="invalid_value")
        if body.partial_images and not body.stream:
            message = f"got partial_images {body.partial_images} without stream, expected both or neither"
            raise Problem(400, message, param="partial_images", code="invalid_value")

    def _method(self, body: ImageBody) -> Method:
        text = "spatial" if body.method is None else body.method
        name = text.partition(":")[0].strip()
        if name not in self.methods:
            message = f"got method {shown(name)}, expected one of {', '.join(self.methods)}"
            raise Problem(400, message, param="method", code="invalid_value")
        try:
            method = Method.parse(text)
        except BadInput as error:
            raise Problem.of(error, "method") from error
        try:
            (chosen,) = dialled([method], QUALITIES.get(body.quality or "auto"))
        except BadInput as error:
            raise Problem.of(error, "quality") from error
        return chosen

    def _sampling(self, body: ImageBody) -> Sampling:
        numbers: dict[str, Any] = {"guidance": body.guidance_scale, "temperature": body.temperature}
        numbers |= {"top_k": body.top_k, "top_p": body.top_p}
        return replace(self.pipeline.target.default, **{k: v for k, v in numbers.items() if v is not None})


def drawable(pipeline: SpatialPipeline) -> list[str]:
    """Names of the methods that need no drafts, or whose drafts the pipeline has."""
    target, found = pipeline.target, []
    request = Request([""], [0], target.default, target.grid)
    for name, method in methods().items():
        with suppress(BadInput):
            assemble(target, pipeline.parts, method, request)
            found.append(name)
    return found
