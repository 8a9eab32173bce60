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
    """Figures of one set of images; null where one is undefined or could not be measured.

    Attributes:
        method: as on the command line; "real" for real images.
        verifier, exact, seed_exact: as in `bench`; null for real images.
        images: number of images.
        target_passes: forward calls of the target, mean.
        kernel_distance: unbiased, from real images if there are any, else from AR's; see `kernel`.
        frechet_distance: from the same images; null below 5,000.
        alignment: R-precision among 100 captions, 0 to 1.
        clip_score: mean cosine similarity times 100.
        likelihood_gap, entropy: nats per token, see `distance.Distance`; null at temperature 0.
        same_tokens_as_ar: share of cells equal to AR's under the same seed.
        psnr_to_ar: dB, of the mean squared error to AR's images; null where all images are AR's.
        diversity: mean cosine distance of the features of two images of a prompt.
        scenes: share of images that show everything in their scene's caption, 0 to 1; then the same by category.
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
        notes: what could not be measured, and why.
    """

    features: str
    clip: str | None
    compared_with: str
    real_images: int
    scenes: str | None
    notes: list[str]


class QualityDocument(JsonDocument):
    """One evaluation.

    Attributes:
        methods: in the order of the command line.
        real: real images judged the same way, their kernel distance that of two random halves; null without any.
        real_scenes: scores of composed scenes of left-out drawings under the scene judge; null without a judge.
        wrong_scenes: of the same images under captions that are wrong in one point; null without a judge.
    """

    settings: QualitySettings
    methods: list[Quality]
    real: Quality | None
    real_scenes: Quality | None
    wrong_scenes: Quality | None
