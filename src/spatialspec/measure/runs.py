"""A workload and the images that one method at a time draws of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from spatialspec import arguments
from spatialspec.core.context import DecodeContext
from spatialspec.core.errors import BadInput
from spatialspec.core.grid import Grid
from spatialspec.core.noise import Noise, image_seed
from spatialspec.core.sampling import Sampling
from spatialspec.generation import Report, Request
from spatialspec.measure.distance import Drawn
from spatialspec.measure.memory import peak, reset_peak
from spatialspec.methods.method import Method
from spatialspec.pipeline import SpatialPipeline
from spatialspec.progress import Progress

STRIDE = 1_000_003  # from the seed of a prompt to the next prompt's


@dataclass(frozen=True)
class Workload:
    """What every method of a run draws.

    Attributes:
        prompts: at least one.
        sampling: of the target and the drafts.
        grid: of every image.
        seed: of the first image, 0 to 2^63 - 1.
        images: of each prompt, at least 1.
        verifier: "coupled" or "rejection".
        negative_prompt: of the unconditional stream.
    """

    prompts: tuple[str, ...]
    sampling: Sampling
    grid: Grid
    seed: int = 0
    images: int = 1
    verifier: str = "coupled"
    negative_prompt: str = ""

    def jobs(self) -> list[tuple[str, int]]:
        """Prompt and seed of every image."""
        numbers = ((j, p, i) for j, p in enumerate(self.prompts) for i in range(self.images))
        return [(p, image_seed(self.seed, STRIDE * j + i)) for j, p, i in numbers]


@dataclass(frozen=True)
class Sample:
    """One image of one method: tokens and seed, pixels, cost, and bytes of memory at the peak."""

    drawn: Drawn
    image: Any
    report: Report
    peak: int | None


def check(pipeline: SpatialPipeline, methods: Sequence[Method], workload: Workload) -> None:
    """Refuse what would stop a run halfway, before anything is computed.

    Raises:
        BadInput: no method, an unknown verifier, a method without its drafts, a prompt that is empty or too long, a
            negative prompt without guidance, or a number out of range.
    """
    if not methods or not workload.prompts:
        raise BadInput("no method or no prompt", "at least one of each", "name some")
    arguments.images("images for each prompt", workload.images)
    arguments.prompts(workload.prompts)
    if workload.negative_prompt and workload.sampling.streams == 1:
        raise BadInput("a negative prompt with guidance 1", "another guidance", "without it nothing reads it")
    pipeline.target.check_prompts(workload.prompts, [workload.negative_prompt] * len(workload.prompts), workload.grid)
    layout = pipeline.target.layout(workload.grid)
    noise = Noise(workload.seed, layout.cells, pipeline.target.vocabulary)
    drafts = [*pipeline.drafts, *pipeline.unfit]
    for method in methods:
        context = DecodeContext(pipeline.target, drafts, workload.sampling, layout, noise)
        method.make(context, workload.verifier)


def draw(
    pipeline: SpatialPipeline, method: Method, workload: Workload, prompt: str, seed: int, images: int, report: Progress
) -> list[Sample]:
    """Draw some images of one prompt with one method, all in one batch."""
    sampling, device = workload.sampling, pipeline.target.device
    request = Request(
        [prompt] * images,
        [image_seed(seed, i) for i in range(images)],
        sampling,
        workload.grid,
        workload.verifier,
        [workload.negative_prompt] * images,
    )
    reset_peak(device)
    out = pipeline.draw(request, method, on_step=lambda step: report(str(method), len(step.written)))
    most, asked = peak(device), (prompt, workload.negative_prompt, sampling, workload.grid)
    drawn = [Drawn(*asked, image_seed(seed, i), tokens) for i, tokens in enumerate(out.tokens)]
    return [Sample(d, image, out.report, most) for d, image in zip(drawn, out.images, strict=True)]
