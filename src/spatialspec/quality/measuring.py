"""Images drawn prompt by prompt, or taken from a folder, and measured one by one; no picture is held longer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from spatialspec.measure.bench import AR
from spatialspec.measure.distance import measure
from spatialspec.measure.runs import Workload, draw
from spatialspec.methods.method import Method
from spatialspec.pipeline import SpatialPipeline
from spatialspec.progress import Progress
from spatialspec.quality.alignment import Alignment
from spatialspec.quality.clip_score import ClipScore
from spatialspec.quality.efficientnet import picture_features
from spatialspec.quality.export import export, export_table
from spatialspec.quality.features import FeatureExtractor
from spatialspec.quality.pixels import squared_error
from spatialspec.quality.prompt_sets import PromptSet
from spatialspec.quality.scenes.scores import SceneTest
from spatialspec.quality.store import Kept, Store, slug


@dataclass(frozen=True)
class Instruments:
    """What pictures are measured with.

    Attributes:
        features: of pictures, for distances between sets; None where they cannot be had.
        judge: of alignment; None where it cannot be had.
        clip: CLIP score; None where no model was given.
        scenes: judge of scenes, whose prompts are drawn; None where other prompts are.
        store: keeps images; None keeps none.
        export: folder for the layouts of official scorers; None for none.
    """

    features: FeatureExtractor | None = None
    judge: Alignment | None = None
    clip: ClipScore | None = None
    scenes: SceneTest | None = None
    store: Store | None = None
    export: Path | None = None


@dataclass
class Measured:
    """Figures of images, one entry for each, in the order of prompts and images.

    Attributes:
        prompts: number of the image's prompt.
        passes: target passes.
        gap: mean surprisal minus mean entropy; None at temperature 0, as `entropy`.
        entropy: mean entropy of p.
        same: share of tokens equal to AR's.
        error: mean squared difference from AR's picture.
        clip: CLIP score; empty without CLIP.
        shown: whether it shows its scene; empty without a judge of scenes.
        features, judged: features of each picture, for distances and for the judge; empty without them.
    """

    prompts: list[int] = field(default_factory=list)
    passes: list[float] = field(default_factory=list)
    gap: list[float | None] = field(default_factory=list)
    entropy: list[float | None] = field(default_factory=list)
    same: list[float] = field(default_factory=list)
    error: list[float] = field(default_factory=list)
    clip: list[float] = field(default_factory=list)
    shown: list[bool] = field(default_factory=list)
    features: list[Tensor] = field(default_factory=list)
    judged: list[Tensor] = field(default_factory=list)

    def add(self, prompt: int, kept: Kept, ar: Kept, error: float) -> None:
        """Take over what is known of an image without looking at it."""
        self.prompts.append(prompt)
        self.passes.append(kept.target_passes)
        defined = kept.surprisal is not None and kept.entropy is not None
        self.gap.append(kept.surprisal - kept.entropy if defined else None)  # type: ignore[operator]
        self.entropy.append(kept.entropy)
        self.same.append(float(np.mean(np.array(kept.tokens) == np.array(ar.tokens))))
        self.error.append(error)


def look(
    measured: Measured, instruments: Instruments, pixels: UInt8[np.ndarray, "N H W 3"], captions: list[str]
) -> None:
    """Measure pictures with all instruments."""
    if instruments.features is not None:
        measured.features += list(instruments.features(pixels))
    if instruments.judge is not None:
        measured.judged += list(picture_features(pixels, instruments.judge.side))
    if instruments.clip is not None:
        measured.clip += instruments.clip(pixels, captions).tolist()
    if instruments.scenes is not None:
        measured.shown += instruments.scenes(pixels, captions)


def measure_all(
    pipeline: SpatialPipeline,
    methods: Sequence[Method],
    workload: Workload,
    prompts: PromptSet,
    instruments: Instruments,
    report: Progress,
) -> dict[Method, Measured]:
    """Draw what is not there yet, and measure everything; AR runs too.

    Args:
        pipeline: target and drafts.
        methods: listed ones.
        workload: its prompts are those of `prompts`.
        prompts: with the names that an export needs.
        instruments: to measure with.
        report: called as images come along, `report(method, tokens)`.
    """
    running = list(dict.fromkeys([AR, *methods]))
    measured = {method: Measured() for method in running}
    for place, prompt in enumerate(workload.prompts):
        reference: list[tuple[Kept, UInt8[np.ndarray, "H W 3"]]] = []
        for method in running:
            images = _images(pipeline, method, workload, place, instruments.store, report)
            pixels = np.stack([np.asarray(picture) for _, picture in images])
            if method == AR:
                reference = [(kept, own) for (kept, _), own in zip(images, pixels, strict=True)]
            for (kept, _), own, (ar, other) in zip(images, pixels, reference, strict=True):
                measured[method].add(place, kept, ar, squared_error(own, other))
            look(measured[method], instruments, pixels, [prompt] * len(images))
            if instruments.export is not None and method in methods:
                export(instruments.export / slug(str(method)), prompts, place, [picture for _, picture in images])
    if instruments.export is not None:
        for method in methods:
            export_table(instruments.export / slug(str(method)), prompts, workload.images)
    return measured


def _images(
    pipeline: SpatialPipeline, method: Method, workload: Workload, place: int, store: Store | None, report: Progress
) -> list[tuple[Kept, Image.Image]]:
    """The images of one prompt, drawn together unless all are there."""
    jobs = workload.jobs()[place * workload.images : (place + 1) * workload.images]
    if store is not None:
        there = [store.load(str(method), place, i, job) for i, job in enumerate(jobs)]
        found = [image for image in there if image is not None]
        if len(found) == len(jobs):
            report(str(method), len(jobs) * workload.grid.cells)
            return found
    prompt, seed = jobs[0]
    images = []
    for i, sample in enumerate(draw(pipeline, method, workload, prompt, seed, len(jobs), report)):
        cells = measure(pipeline.target, sample.drawn)
        kept = Kept(
            prompt,
            sample.drawn.seed,
            sample.drawn.tokens,
            sample.report.target_passes,
            None if cells is None else float(cells.surprisal.mean()),
            None if cells is None else float(cells.entropy.mean()),
        )
        if store is not None:
            store.save(str(method), place, i, kept, sample.image)
        images.append((kept, sample.image))
    return images


def stacked(features: Sequence[Tensor]) -> Tensor:
    """Features of all pictures, one row each."""
    return torch.stack(list(features))
