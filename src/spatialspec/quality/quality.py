"""How good the pictures of methods are: every figure with its interval, paired with AR over prompts and seeds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import inf

import numpy as np

from spatialspec.measure.bench import AR, describe
from spatialspec.measure.intervals import Figure, mean_over_prompts
from spatialspec.measure.runs import Workload, check
from spatialspec.methods.method import Method
from spatialspec.pipeline import SpatialPipeline
from spatialspec.progress import Progress
from spatialspec.quality.diversity import diversity
from spatialspec.quality.frechet import frechet_distance
from spatialspec.quality.kernel import Features, kernel_difference, kernel_distance
from spatialspec.quality.measuring import Instruments, Measured, look, measure_all, stacked
from spatialspec.quality.pixels import decibels
from spatialspec.quality.prompt_sets import PromptSet
from spatialspec.quality.quality_results import Difference, Quality, QualityDocument, QualitySettings
from spatialspec.quality.real import Real
from spatialspec.quality.scenes.scores import FIELDS

SHARES = ("alignment", *FIELDS)


def evaluate(
    pipeline: SpatialPipeline,
    methods: Sequence[Method],
    workload: Workload,
    prompts: PromptSet,
    instruments: Instruments,
    real: Real | None,
    asked: dict[str, str | None],
    notes: Sequence[str],
    report: Progress,
    stage: Callable[[str], object] = lambda what: None,
) -> QualityDocument:
    """Measure methods on the same prompts and seeds; AR runs too, and is listed if it was asked for.

    Args:
        pipeline: target and drafts.
        methods: in the order of the result; one named twice counts once.
        workload: what to draw.
        prompts: those of the workload, with names.
        instruments: to measure with.
        real: pictures to compare with; None compares with AR's.
        asked: names of the features, of CLIP and of the scene judge, for the settings.
        notes: for the settings.
        report: called as images come along, `report(method, tokens)`.
        stage: called with what is computed next, once all images are there.

    Raises:
        BadInput: see `runs.check`; before anything is computed.
    """
    listed = list(dict.fromkeys(methods))
    check(pipeline, listed, workload)
    measured = measure_all(pipeline, listed, workload, prompts, instruments, report)
    captions = [workload.prompts[j] for j in measured[AR].prompts]
    if real is not None:
        stage(f"measuring {len(real.pixels)} real images")
    truth = None if real is None else _real(real, workload, instruments)
    ar = measured[AR]
    results = []
    for method in listed:
        stage(f"kernel distance, alignment and intervals of {method}")
        figures = summarise(measured[method], ar, truth, instruments, captions, method == AR)
        known = (str(method), method.rule_under(workload.verifier), method.exact, method.seed_exact(workload.verifier))
        results.append(_quality(known, measured[method], ar if method != AR else None, figures))
    settings = QualitySettings(
        **describe("evaluate", pipeline, workload).model_dump(),
        features=asked["features"] or "",
        clip=asked["clip"],
        compared_with="ar" if real is None else "real",
        real_images=0 if real is None else len(real.pixels),
        scenes=asked.get("scenes"),
        notes=list(notes),
    )
    stage("figures of the real images")
    judged = None if real is None or truth is None else _judge_real(real, truth, instruments)
    scenes = instruments.scenes
    return QualityDocument(
        settings=settings,
        methods=results,
        real=judged,
        real_scenes=None if scenes is None else scenes.own,
        wrong_scenes=None if scenes is None else scenes.wrong,
    )


def summarise(
    own: Measured, ar: Measured, truth: Measured | None, instruments: Instruments, captions: list[str], is_ar: bool
) -> dict[str, tuple[Figure | None, Figure | None]]:
    """Every figure of a method, and its difference from AR where one makes sense."""
    prompts, none = own.prompts, None
    found: dict[str, tuple[Figure | None, Figure | None]] = {}

    def paired(name: str, mine: Sequence[float], others: Sequence[float], groups: Sequence[int] = prompts) -> None:
        if len(mine):
            low, high = (0.0, 1.0) if name in SHARES else (-inf, inf)
            difference = np.subtract(mine, others)
            minus = none if is_ar else mean_over_prompts(difference, groups, bounds=(low - high, high - low))
            found[name] = mean_over_prompts(mine, groups, bounds=(low, high)), minus

    paired("target_passes", own.passes, ar.passes)
    paired("clip_score", own.clip, ar.clip)
    if None not in own.gap + ar.gap:
        paired("likelihood_gap", [g for g in own.gap if g is not None], [g for g in ar.gap if g is not None])
        paired("entropy", [e for e in own.entropy if e is not None], [e for e in ar.entropy if e is not None])
    found["same_tokens_as_ar"] = mean_over_prompts(own.same, prompts, bounds=(0, 1)), none
    found["psnr_to_ar"] = mean_over_prompts(own.error, prompts, decibels), none
    if instruments.judge is not None:
        hits = [instruments.judge.hits(stacked(m.judged), captions).astype(float) for m in (own, ar)]
        paired("alignment", hits[0].tolist(), hits[1].tolist())
    if instruments.scenes is not None:
        for name in FIELDS:
            counts = [i for i, caption in enumerate(captions) if instruments.scenes.of(name, caption)]
            mine, others = ([float(m.shown[i]) for i in counts] for m in (own, ar))
            paired(name, mine, others, [prompts[i] for i in counts])
    if instruments.features is not None:
        found |= _of_sets(own, ar, truth, is_ar)
    return found


def _of_sets(
    own: Measured, ar: Measured, truth: Measured | None, is_ar: bool
) -> dict[str, tuple[Figure | None, Figure | None]]:
    """Figures of whole sets of pictures."""
    found: dict[str, tuple[Figure | None, Figure | None]] = {}
    mine, ars = (Features(stacked(m.features), m.prompts) for m in (own, ar))
    if truth is not None or not is_ar:  # AR is at no distance from itself
        other = ars if truth is None else Features(stacked(truth.features), truth.prompts)
        minus = None if truth is None or is_ar else kernel_difference(mine, ars, other)
        found["kernel_distance"] = kernel_distance(mine, other), minus
        found["frechet_distance"] = frechet_distance(mine.values, other.values), None
    value, groups = diversity(mine.values, own.prompts)
    minus = None if is_ar else mean_over_prompts(value - diversity(ars.values, ar.prompts)[0], groups)
    found["diversity"] = mean_over_prompts(value, groups), minus
    return found


def _real(real: Real, workload: Workload, instruments: Instruments) -> Measured:
    """Real pictures under the same instruments; one whose caption is a prompt is paired with that prompt."""
    truth = Measured()
    place = {prompt: j for j, prompt in enumerate(workload.prompts)}
    truth.prompts = [place.get(c, len(place) + i) for i, c in enumerate(real.captions)]
    look(truth, replace(instruments, scenes=None), real.pixels, list(real.captions))
    return truth


def _judge_real(real: Real, truth: Measured, instruments: Instruments) -> Quality:
    """What real pictures would get: the ceiling of alignment, the floor of the kernel distance."""
    found: dict[str, tuple[Figure | None, Figure | None]] = {}
    if instruments.judge is not None:
        hits = instruments.judge.hits(stacked(truth.judged), list(real.captions)).astype(float)
        found["alignment"] = mean_over_prompts(hits, truth.prompts, bounds=(0, 1)), None
    if truth.clip:
        found["clip_score"] = mean_over_prompts(truth.clip, truth.prompts), None
    if instruments.features is not None:
        values, half = stacked(truth.features), len(truth.features) // 2
        halves = (Features(values[:half], truth.prompts[:half]), Features(values[half:], truth.prompts[half:]))
        found["kernel_distance"] = kernel_distance(*halves), None
    return _quality(("real", None, None, None), truth, None, found, len(real.pixels))


def _quality(
    known: tuple[str, str | None, bool | None, bool | None],
    own: Measured,
    ar: Measured | None,
    figures: dict[str, tuple[Figure | None, Figure | None]],
    images: int | None = None,
) -> Quality:
    name, verifier, exact, seed_exact = known
    there = {key: figure for key, (figure, _) in figures.items() if figure is not None}
    minus = {key: one for key, (_, one) in figures.items() if one is not None}
    return Quality(
        method=name,
        verifier=verifier,
        exact=exact,
        seed_exact=seed_exact,
        images=len(own.prompts) if images is None else images,
        intervals={key: figure.interval for key, figure in there.items() if figure.interval is not None},
        minus_ar={key: Difference(value=one.value, interval=one.interval) for key, one in minus.items()},
        **{key: figure.value for key, figure in there.items()},
    )
