"""Image quality of methods: every figure with its interval, paired with AR over prompts and seeds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import inf
from typing import Any

import numpy as np
import torch

from spatialspec.core.errors import BadInput
from spatialspec.core.interfaces import Target
from spatialspec.core.progress import Progress
from spatialspec.measure.bench import describe
from spatialspec.measure.intervals import Figure, mean_over_prompts
from spatialspec.measure.runs import check
from spatialspec.methods.ar import METHOD as AR
from spatialspec.methods.method import Method
from spatialspec.pipeline import SpatialPipeline
from spatialspec.quality.distances import (
    ImageFeatures,
    decibels,
    diversity,
    frechet_distance,
    kernel_difference,
    kernel_distance,
)
from spatialspec.quality.measuring import Measured, Metrics, measure_all
from spatialspec.quality.prompt_sets import PromptSet
from spatialspec.quality.quality_results import MinusAR, Quality, QualityDocument, QualitySettings
from spatialspec.quality.real import Real
from spatialspec.quality.scenes.scores import FIELDS
from spatialspec.request import Request

SHARES = ("alignment", *FIELDS)
Figures = dict[str, tuple[Figure | None, Figure | None]]  # by name: the figure, and its difference from AR


def check_images(target: Target) -> None:
    """Refuse a target whose cells have the colours of their codes, by its attribute `coloured`, which few have.

    Raises:
        BadInput: it does not draw images.
    """
    if getattr(target, "coloured", False):
        got, advice = f"{target.name}, which draws cells coloured by their codes", "compare methods with bench"
        raise BadInput(got, "a model that draws images", advice)


def evaluate(
    pipeline: SpatialPipeline,
    methods: Sequence[Method],
    request: Request,
    prompts: PromptSet,
    metrics: Metrics,
    real: Real | None,
    names: dict[str, str | None],
    report: Progress,
    stage: Callable[[str], object] = lambda what: None,
) -> QualityDocument:
    """Measure methods on the same prompts and seeds; AR always runs, but is listed only if it is among them.

    Args:
        pipeline: target and drafts.
        methods: in the order of the result; repeated ones count once.
        request: prompts, seeds, sampling.
        prompts: those of the request, with names.
        metrics: to measure with.
        real: images to compare with; None compares with AR's.
        names: of the feature extractor, the CLIP model and the scene judge, for the settings.
        report: called as images are drawn, `report(method, tokens)`.
        stage: called with the name of the next computation, once all images are drawn.

    Raises:
        BadInput: see `runs.check` and `check_images`; before anything is computed.
    """
    check_images(pipeline.target)
    listed = list(dict.fromkeys(methods))
    check(pipeline, listed, request)
    measured = measure_all(pipeline, listed, request, prompts, metrics, report)
    ar, truth = measured[AR], None
    captions = [prompts.prompts[j] for j in ar.prompts]
    if real is not None:
        stage(f"measuring {len(real.pixels)} real images")
        truth = _measure_real(real, prompts.prompts, metrics)
    results = []
    for method in listed:
        stage(f"kernel distance, alignment and intervals of {method}")
        mine = measured[method]
        rule, seed_exact = method.rule_under(request.verifier), method.seed_exact(request.verifier)
        known = {"method": str(method), "verifier": rule, "exact": method.exact, "seed_exact": seed_exact}
        figures = summarise(mine, ar, truth, metrics, captions, method == AR)
        results.append(_quality(figures, images=len(mine.prompts), **known))
    settings = QualitySettings(
        **describe("evaluate", pipeline, request).model_dump(),
        features=names["features"] or "",
        clip=names["clip"],
        compared_with="ar" if real is None else "real",
        real_images=0 if real is None else len(real.pixels),
        scenes=names.get("scenes"),
    )
    stage("figures of the real images")
    scenes = metrics.scenes
    return QualityDocument(
        settings=settings,
        methods=results,
        real=None if real is None or truth is None else _judge_real(real, truth, metrics),
        real_scenes=None if scenes is None else scenes.own,
        wrong_scenes=None if scenes is None else scenes.wrong,
    )


def summarise(
    measured: Measured, ar: Measured, truth: Measured | None, metrics: Metrics, captions: list[str], is_ar: bool
) -> Figures:
    """Every figure of a method, and its difference from AR if defined; `truth` are real images."""
    prompts, figures = measured.prompts, Figures()

    def paired(name: str, mine: Sequence[Any], others: Sequence[Any], groups: Sequence[int] = prompts) -> None:
        if len(mine):
            low, high = (0.0, 1.0) if name in SHARES else (-inf, inf)
            difference = np.subtract(mine, others, dtype=np.float64)
            minus = None if is_ar else mean_over_prompts(difference, groups, bounds=(low - high, high - low))
            figures[name] = mean_over_prompts(mine, groups, bounds=(low, high)), minus

    paired("target_passes", measured.passes, ar.passes)
    paired("clip_score", measured.clip, ar.clip)
    if None not in measured.gap + ar.gap:
        paired("likelihood_gap", measured.gap, ar.gap)
        paired("entropy", measured.entropy, ar.entropy)
    figures["same_tokens_as_ar"] = mean_over_prompts(measured.same, prompts, bounds=(0, 1)), None
    figures["psnr_to_ar"] = mean_over_prompts(measured.error, prompts, decibels), None
    if metrics.judge is not None:
        mine, others = (metrics.judge.hits(torch.stack(m.judged), captions).tolist() for m in (measured, ar))
        paired("alignment", mine, others)
    if metrics.scenes is not None:
        for name in FIELDS:
            counts = [i for i, caption in enumerate(captions) if metrics.scenes.of(name, caption)]
            mine, others = ([m.shown[i] for i in counts] for m in (measured, ar))
            paired(name, mine, others, [prompts[i] for i in counts])
    return figures if metrics.features is None else figures | _of_sets(measured, ar, truth, is_ar)


def _of_sets(measured: Measured, ar: Measured, truth: Measured | None, is_ar: bool) -> Figures:
    """Figures of whole sets of images."""
    figures, mine, ars = Figures(), _features(measured), _features(ar)
    if truth is not None or not is_ar:  # AR has no distance from itself
        other = ars if truth is None else _features(truth)
        minus = None if truth is None or is_ar else kernel_difference(mine, ars, other)
        figures["kernel_distance"] = kernel_distance(mine, other), minus
        figures["frechet_distance"] = frechet_distance(mine.values, other.values), None
    value, groups = diversity(mine.values, measured.prompts)
    minus = None if is_ar else mean_over_prompts(value - diversity(ars.values, ar.prompts)[0], groups)
    figures["diversity"] = mean_over_prompts(value, groups), minus
    return figures


def _features(measured: Measured, part: slice = slice(None)) -> ImageFeatures:
    return ImageFeatures(torch.stack(measured.features[part]), measured.prompts[part])


def _measure_real(real: Real, prompts: Sequence[str], metrics: Metrics) -> Measured:
    """Figures of real images; an image whose caption is a prompt is paired with that prompt."""
    number = {prompt: j for j, prompt in enumerate(prompts)}
    truth = Measured([number.get(c, len(number) + i) for i, c in enumerate(real.captions)])
    truth.add_pixels(replace(metrics, scenes=None), real.pixels, list(real.captions))
    return truth


def _judge_real(real: Real, truth: Measured, metrics: Metrics) -> Quality:
    """Scores of real images: upper bound of alignment, lower bound of the kernel distance."""
    figures = Figures()
    if metrics.judge is not None:
        hits = metrics.judge.hits(torch.stack(truth.judged), list(real.captions)).astype(float)
        figures["alignment"] = mean_over_prompts(hits, truth.prompts, bounds=(0, 1)), None
    if truth.clip:
        figures["clip_score"] = mean_over_prompts(truth.clip, truth.prompts), None
    if metrics.features is not None:
        half = len(truth.features) // 2
        parts = _features(truth, slice(half)), _features(truth, slice(half, None))
        figures["kernel_distance"] = kernel_distance(*parts), None
    return _quality(figures, method="real", images=len(real.pixels))


def _quality(figures: Figures, **known: Any) -> Quality:
    defined = {name: figure for name, (figure, _) in figures.items() if figure is not None}
    values: dict[str, Any] = {name: figure.value for name, figure in defined.items()}
    return Quality(
        intervals={name: figure.interval for name, figure in defined.items() if figure.interval is not None},
        minus_ar={n: MinusAR(value=m.value, interval=m.interval) for n, (_, m) in figures.items() if m is not None},
        **values,
        **known,
    )
