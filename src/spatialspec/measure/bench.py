"""Methods side by side on the same prompts and seeds, image by image, against AR in the same run.

All methods draw an image before the next one, in an order that rotates, so that a slow phase of the machine affects all
of them. One image per method is a warm-up. The seed of image i of prompt j is `seed + 1000003 j + i`, modulo 2^63;
`generate --seed` repeats any image.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from spatialspec.core.progress import Progress
from spatialspec.io.identity import drafts_digest, identity
from spatialspec.measure.documents import dtype_name
from spatialspec.measure.metrics import MethodRun, summarise
from spatialspec.measure.results import Document, Settings, image_records
from spatialspec.measure.runs import Sample, check, draw
from spatialspec.methods.ar import METHOD as AR
from spatialspec.methods.method import Method
from spatialspec.pipeline import SpatialPipeline
from spatialspec.request import STRIDE, Request

SEED_RULE = f"image i of prompt j: (seed + {STRIDE} j + i) mod 2^63"


def describe(command: str, pipeline: SpatialPipeline, request: Request, rule: str = SEED_RULE) -> Settings:
    """Settings and machine of a run; without the identity for `generate`, as to hash a large model takes seconds."""
    target, sampling, small = pipeline.target, request.sampling, pipeline.draft_model
    return Settings(
        command=command,
        model=target.name,
        fingerprint=target.fingerprint,
        identity="" if command == "generate" else identity(target),
        drafts=drafts_digest(pipeline.drafts) if pipeline.drafts else "",
        prompts=len(request.prompts) // request.images,
        num_images=request.images,
        seed=request.seeds[0],
        seed_rule=rule,
        verifier=request.verifier,
        guidance=sampling.guidance,
        temperature=sampling.temperature,
        top_k=sampling.top_k,
        top_p=sampling.top_p,
        min_p=sampling.min_p,
        negative_prompt=request.negatives[0],
        size=str(request.grid),
        device=str(target.device),
        dtype=dtype_name(target.dtype),
        engine=getattr(target, "engine", ""),
        draft_model="" if small is None else f"{small.name} {small.fingerprint}",
        threads=torch.get_num_threads(),
    )


def bench(
    pipeline: SpatialPipeline,
    methods: Sequence[Method],
    request: Request,
    report: Progress,
    on_image: Callable[[Method, Sample], object] = lambda method, sample: None,
    stage: Callable[[str], object] = lambda what: None,
) -> Document:
    """Run methods on the same prompts and seeds; AR always runs, but is listed only if it is among them.

    Args:
        pipeline: target and drafts.
        methods: in the order of the result; repeated ones count once.
        request: what to draw.
        report: called after every pass, including the warm-up, as `report(method, tokens just committed)`.
        on_image: called with every measured image, including AR's; those of a method in order.
        stage: called with the name of the next computation, once all images are drawn.

    Raises:
        BadInput: see `check`; before anything is computed.
    """
    listed = list(dict.fromkeys(methods))
    check(pipeline, listed, request)
    running = list(dict.fromkeys([AR, *listed]))
    images = request.each()
    for method in running:
        draw(pipeline, method, images[0], report)
    samples: dict[Method, list[Sample]] = {method: [] for method in running}
    for index, image in enumerate(images):
        first = index % len(running)
        for method in running[first:] + running[:first]:
            samples[method] += draw(pipeline, method, image, report)
            on_image(method, samples[method][-1])
    results, records = [], []
    for method in listed:
        stage(f"distance of {method} from AR")
        run = MethodRun(pipeline, method, request, samples[method], samples[AR])
        results.append(summarise(run))
        records += image_records(run)
    return Document(settings=describe("bench", pipeline, request), methods=results, images=records)
