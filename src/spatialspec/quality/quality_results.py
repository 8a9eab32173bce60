"""The JSON document of `evaluate`: settings, for each method its figures and their intervals. Null = undefined."""

from __future__ import annotations

from pydantic import Field

from spatialspec.measure.documents import JsonDocument, Strict
from spatialspec.measure.results import Settings

Interval = tuple[float, float]


class MinusAR(Strict):
    """A method's figure minus AR's over the same prompts and seeds, with its 95 % interval."""

    value: float
    interval: Interval | None


class Quality(Strict):
    """Figures of one set of images; null if undefined or not measured.

    Attributes:
        method: as on the command line; "real" for real images.
        verifier, exact, seed_exact: as in `bench`; null for real images.
        images: number of images.
        target_passes: forward calls of the target, mean.
        kernel_distance: unbiased, to real images if there are any, else to AR's; see `distances.kernel_distance`.
        frechet_distance: to the same images; null below 5,000.
        alignment: R-precision among 100 captions, 0 to 1.
        clip_score: mean cosine similarity times 100.
        likelihood_gap, entropy: nats per token, see `distance.Distance`; null at temperature 0.
        same_tokens_as_ar: share of cells equal to AR's under the same seed.
        psnr_to_ar: dB, of the mean squared error to AR's images; null if all images equal AR's.
        diversity: mean cosine distance of the features of two images of a prompt.
        scenes: share of images that show everything in their scene's caption, 0 to 1; then the share by category.
        intervals: 95 % intervals of these figures by name.
        minus_ar: differences from AR by name.
    """

    method: str
    verifier: str | None = None
    exact: bool | None = None
    seed_exact: bool | None = None
    images: int
    target_passes: float | None = None
    kernel_distance: float | None = None
    frechet_distance: float | None = None
    alignment: float | None = None
    clip_score: float | None = None
    likelihood_gap: float | None = None
    entropy: float | None = None
    same_tokens_as_ar: float | None = None
    psnr_to_ar: float | None = None
    diversity: float | None = None
    scenes: float | None = None
    scenes_single: float | None = None
    scenes_two: float | None = None
    scenes_counting: float | None = None
    scenes_colours: float | None = None
    scenes_position: float | None = None
    scenes_attribution: float | None = None
    intervals: dict[str, Interval] = Field(default_factory=dict)
    minus_ar: dict[str, MinusAR] = Field(default_factory=dict)


class QualitySettings(Settings):
    """Settings of an evaluation.

    Attributes:
        features: name or folder of the feature extractor.
        clip: folder of the CLIP model, or its name on the Hub; null without one.
        compared_with: "real", or "ar" without real images.
        real_images: number of real images.
        scenes: name or folder of the scene judge; null without one.
        notes: always empty; a key of version 0.1.0.
    """

    features: str
    clip: str | None
    compared_with: str
    real_images: int
    scenes: str | None
    notes: list[str] = Field(default_factory=list)


class QualityDocument(JsonDocument):
    """One evaluation.

    Attributes:
        methods: in the order of the command line.
        real: figures of real images, with the kernel distance between two random halves; null without real images.
        real_scenes: scores of composed scenes of held-out drawings under the scene judge; null without a judge.
        wrong_scenes: scores of the same images with captions that are wrong in one point; null without a judge.
    """

    settings: QualitySettings
    methods: list[Quality]
    real: Quality | None
    real_scenes: Quality | None
    wrong_scenes: Quality | None
