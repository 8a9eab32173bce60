"""Methods side by side on the same prompts and seeds, image by image, against AR in the same run.

For every image all methods take their turn, each time in another order, so that a machine that slows down slows all of
them; one image per method warms up first. The seed of image i of prompt j is `seed + 1000003 j + i`, modulo 2^63, so
that `generate --seed` repeats any image.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from statistics import fmean, median

import torch

from spatialspec import __version__
from spatialspec.identity import drafts_digest
from spatialspec.measure.distance import distance, explained, measure
from spatialspec.measure.results import Document, MethodResult, Settings, dtype_name, quartiles
from spatialspec.measure.runs import STRIDE, Sample, Workload, check, draw
from spatialspec.methods.method import Method
from spatialspec.pipeline import SpatialPipeline
from spatialspec.progress import Progress

AR = Method.parse("ar")
SEED_RULE = f"image i of prompt j: (seed + {STRIDE} j + i) mod 2^63"


def summarise(
    pipeline: SpatialPipeline,
    method: Method,
    workload: Workload,
    samples: Sequence[Sample],
    reference: Sequence[Sample] | None,
) -> MethodResult:
    """Figures of one method.

    Args:
        pipeline: that drew the images.
        method: that drew the images.
        workload: of the run.
        samples: the method's images.
        reference: AR's, in the same order; None if AR did not run.
    """
    reports = [sample.report for sample in samples]
    seconds = [r.seconds for r in reports]
    faster, fewer, same, unexplained = None, None, None, None
    if reference is not None:
        pairs = list(zip(reference, samples, strict=True))
        faster = [a.report.seconds / s.report.seconds for a, s in pairs]
        fewer = [a.report.target_passes / s.report.target_passes for a, s in pairs]
        equal = [x == y for a, s in pairs for x, y in zip(a.drawn.tokens, s.drawn.tokens, strict=True)]
        same = sum(equal) / len(equal)
        if method.seed_exact(workload.verifier) and pipeline.target.dtype == torch.float32:
            unexplained = sum(not explained(pipeline.target, a.drawn, s.drawn.tokens) for a, s in pairs)
    far = distance([measure(pipeline.target, sample.drawn) for sample in samples])
    peaks = [sample.peak for sample in samples if sample.peak is not None]
    return MethodResult(
        method=str(method),
        verifier=method.rule_under(workload.verifier),
        exact=method.exact,
        seed_exact=method.seed_exact(workload.verifier),
        images=len(samples),
        target_passes=fmean(r.target_passes for r in reports),
        tokens_per_pass=fmean(r.tokens_per_pass for r in reports),
        accepted_length=fmean(r.accepted_length for r in reports),
        seconds=median(seconds),
        seconds_min=min(seconds),
        seconds_max=max(seconds),
        seconds_quartiles=quartiles(seconds),
        speedup_seconds=median(faster) if faster else None,
        speedup_seconds_quartiles=quartiles(faster) if faster else None,
        speedup_passes=median(fewer) if fewer else None,
        same_tokens_as_ar=same,
        unexplained_divergences=unexplained,
        likelihood_gap=far.likelihood_gap if far else None,
        entropy=far.entropy if far else None,
        pit_ks=far.pit_ks if far else None,
        peak_memory_bytes=max(peaks, default=None),
        device=str(pipeline.target.device),
        dtype=dtype_name(pipeline.target.dtype),
        version=__version__,
    )


def describe(command: str, pipeline: SpatialPipeline, workload: Workload, rule: str = SEED_RULE) -> Settings:
    """What a run was asked for, and what it ran on."""
    target, sampling = pipeline.target, workload.sampling
    return Settings(
        command=command,
        model=target.name,
        fingerprint=target.fingerprint,
        drafts=drafts_digest(pipeline.drafts) if pipeline.drafts else "",
        prompts=len(workload.prompts),
        num_images=workload.images,
        seed=workload.seed,
        seed_rule=rule,
        verifier=workload.verifier,
        guidance=sampling.guidance,
        temperature=sampling.temperature,
        top_k=sampling.top_k,
        top_p=sampling.top_p,
        negative_prompt=workload.negative_prompt,
        size=str(workload.grid),
        device=str(target.device),
        dtype=dtype_name(target.dtype),
        version=__version__,
        torch=torch.__version__,
        python=platform.python_version(),
        threads=torch.get_num_threads(),
    )


def bench(
    pipeline: SpatialPipeline,
    methods: Sequence[Method],
    workload: Workload,
    report: Progress,
    on_image: Callable[[Method, Sample], object] = lambda method, sample: None,
    stage: Callable[[str], object] = lambda what: None,
) -> Document:
    """Run methods on the same prompts and seeds; AR runs too, and is listed if it was asked for.

    Args:
        pipeline: target and drafts.
        methods: in the order of the result; one named twice counts once.
        workload: what to draw.
        report: called after every pass, those of the warm-up too, as `report(method, tokens just committed)`.
        on_image: called with every image that counts, AR's too; prompt by prompt, a method's in order.
        stage: called with what is computed next, once all images are there.

    Raises:
        BadInput: see `check`; before anything is computed.
    """
    listed = list(dict.fromkeys(methods))
    check(pipeline, listed, workload)
    running = list(dict.fromkeys([AR, *listed]))
    jobs = workload.jobs()
    for method in running:
        draw(pipeline, method, workload, *jobs[0], 1, report)
    samples: dict[Method, list[Sample]] = {method: [] for method in running}
    for turn, (prompt, seed) in enumerate(jobs):
        first = turn % len(running)
        for method in running[first:] + running[:first]:
            samples[method] += draw(pipeline, method, workload, prompt, seed, 1, report)
            on_image(method, samples[method][-1])
    results = []
    for method in listed:
        stage(f"distance of {method} from AR")
        results.append(summarise(pipeline, method, workload, samples[method], samples[AR]))
    return Document(settings=describe("bench", pipeline, workload), methods=results)
