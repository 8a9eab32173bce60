"""Draw images prompt by prompt, or read them from a folder, and measure them; they are not held in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from spatialspec.core.progress import Progress
from spatialspec.measure.distance import measure
from spatialspec.measure.runs import draw
from spatialspec.methods.ar import METHOD as AR
from spatialspec.methods.method import Method
from spatialspec.pipeline import SpatialPipeline
from spatialspec.quality.distances import squared_error
from spatialspec.quality.encoders import image_features
from spatialspec.quality.extractors import ClipScore, FeatureExtractor
from spatialspec.quality.judge import Alignment
from spatialspec.quality.prompt_sets import PromptSet, export, export_table
from spatialspec.quality.scenes.scores import SceneTest
from spatialspec.quality.store import ImageRecord, Store, slug
from spatialspec.request import Request


@dataclass(frozen=True)
class Metrics:
    """The networks that measure images, and the folders for images.

    Attributes:
        features: extractor for distances between sets; None without its package.
        judge: of alignment; None without its packages.
        clip: CLIP score; None without a model.
        scenes: scenes and their judge; None with other prompts.
        store: saves images; None saves none.
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
        prompts: index of the image's prompt.
        passes: target passes.
        gap: mean surprisal minus mean entropy; None at temperature 0, as `entropy`.
        entropy: mean entropy of p.
        same: share of tokens equal to AR's.
        error: mean squared difference from AR's image.
        clip: CLIP score; empty without CLIP.
        shown: whether the image shows its scene; empty without a judge of scenes.
        features, judged: features of each image, for distances and for the judge; empty without them.
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

    def add_record(self, prompt: int, record: ImageRecord, ar: ImageRecord) -> None:
        """Add the figures that need no pixels."""
        self.prompts.append(prompt)
        self.passes.append(record.target_passes)
        self.gap.append(record.gap)
        self.entropy.append(record.entropy)
        self.same.append(float(np.mean(np.array(record.tokens) == np.array(ar.tokens))))

    def add_pixels(self, metrics: Metrics, pixels: UInt8[np.ndarray, "N H W 3"], captions: list[str]) -> None:
        """Add the figures of the networks."""
        if metrics.features is not None:
            self.features += list(metrics.features(pixels))
        if metrics.judge is not None:
            self.judged += list(image_features(pixels, metrics.judge.side))
        if metrics.clip is not None:
            self.clip += metrics.clip(pixels, captions).tolist()
        if metrics.scenes is not None:
            self.shown += metrics.scenes(pixels, captions)


def measure_all(
    pipeline: SpatialPipeline,
    methods: Sequence[Method],
    request: Request,
    prompts: PromptSet,
    metrics: Metrics,
    report: Progress,
) -> dict[Method, Measured]:
    """Draw the images that are not in the store, and measure all of them; AR always runs, as the first."""
    running = list(dict.fromkeys([AR, *methods]))
    measured = {method: Measured() for method in running}
    for index, group in enumerate(request.by_prompt()):
        reference: list[tuple[ImageRecord, Image.Image]] = []
        for method in running:
            images = _images(pipeline, method, group, index, metrics.store, report)
            reference = reference or images
            pixels = [np.asarray(image) for _, image in images]
            for (record, _), mine, (ar, other) in zip(images, pixels, reference, strict=True):
                measured[method].add_record(index, record, ar)
                measured[method].error.append(squared_error(mine, np.asarray(other)))
            measured[method].add_pixels(metrics, np.stack(pixels), list(group.prompts))
            if metrics.export is not None and method in methods:
                export(metrics.export / slug(str(method)), prompts, index, [image for _, image in images])
    if metrics.export is not None:
        for method in methods:
            export_table(metrics.export / slug(str(method)), prompts, request.images)
    return measured


def _images(
    pipeline: SpatialPipeline, method: Method, request: Request, index: int, store: Store | None, report: Progress
) -> list[tuple[ImageRecord, Image.Image]]:
    """The images of one prompt, drawn together unless all are in the store."""
    jobs = list(zip(request.prompts, request.seeds, strict=True))
    if store is not None:
        loaded = [store.load(str(method), index, i, job) for i, job in enumerate(jobs)]
        images = [image for image in loaded if image is not None]
        if len(images) == len(jobs):
            report(str(method), len(jobs) * pipeline.target.layout(request.grid).cells)
            return images
    images = []
    for i, sample in enumerate(draw(pipeline, method, request, report)):
        cells = measure(pipeline.target, sample.drawn)
        means = (None, None) if cells is None else (float(cells.surprisal.mean()), float(cells.entropy.mean()))
        record = ImageRecord(
            sample.drawn.prompt, sample.drawn.seed, sample.drawn.tokens, sample.report.target_passes, *means
        )
        if store is not None:
            store.save(str(method), index, i, record, sample.image)
        images.append((record, sample.image))
    return images
