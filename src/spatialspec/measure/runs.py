"""Check and execution of a request by one method."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from spatialspec import arguments
from spatialspec.core.context import DecodeContext
from spatialspec.core.errors import BadInput
from spatialspec.core.noise import Noise
from spatialspec.core.progress import Progress
from spatialspec.generation import ImageReport, Report
from spatialspec.measure.distance import Drawn
from spatialspec.measure.memory import peak, reset_peak
from spatialspec.methods.method import Method
from spatialspec.pipeline import SpatialPipeline
from spatialspec.request import Request


@dataclass(frozen=True)
class Sample:
    """One image of one method: tokens and seed, pixels, cost of its batch and its own, and peak memory in bytes."""

    drawn: Drawn
    image: Any
    report: Report
    cost: ImageReport
    peak: int | None


def check(pipeline: SpatialPipeline, methods: Sequence[Method], request: Request) -> None:
    """Check everything that could stop a run halfway, before anything is computed.

    Raises:
        BadInput: no method, an unknown verifier, a method without its drafts, a prompt that is empty or too long, a
            negative prompt without guidance, or a number out of range.
    """
    arguments.images("images for each prompt", request.images)
    if not methods or not request.prompts:
        raise BadInput("no method or no prompt", "at least one of each", "name some")
    arguments.prompts(request.prompts)
    if any(request.negatives) and request.sampling.streams == 1:
        raise BadInput("a negative prompt with guidance 1", "another guidance", "guidance 1 ignores negative prompts")
    for target in pipeline.targets:
        request.check(target)
    layout = pipeline.target.layout(request.grid)
    noise = Noise(request.seeds[0], layout.cells, pipeline.target.vocabulary)
    for method in methods:
        context = DecodeContext(pipeline.target, pipeline.parts, request.sampling, layout, noise)
        method.make(context, request.verifier)


def draw(pipeline: SpatialPipeline, method: Method, request: Request, report: Progress) -> list[Sample]:
    """Draw all images of a request with one method, in one batch."""
    device = pipeline.target.device
    reset_peak(device)
    out = pipeline.draw(request, method, on_step=lambda step: report(str(method), len(step.written)))
    most = peak(device)
    sources = zip(request.prompts, request.negatives, request.seeds, out.tokens, strict=True)
    drawn = [Drawn(prompt, no, request.sampling, request.grid, seed, tokens) for prompt, no, seed, tokens in sources]
    return [
        Sample(one, image, out.report, cost, most)
        for one, image, cost in zip(drawn, out.images, out.report.images, strict=True)
    ]
