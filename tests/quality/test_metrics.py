"""Metrics on hand-made numbers, against torchmetrics, and on images that get worse and worse."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from spatialspec.measure.intervals import mean_over_prompts
from spatialspec.quality import distances
from spatialspec.quality.distances import (
    ImageFeatures,
    decibels,
    diversity,
    frechet_distance,
    kernel_difference,
    kernel_distance,
    squared_error,
)


def normal(count: int, width: int = 8, seed: int = 0, shift: float = 0.0) -> torch.Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed)).double() + shift


def test_images_of_a_prompt_stay_together():
    alike = np.repeat(np.random.default_rng(0).normal(size=20), 10)
    clustered, loose = mean_over_prompts(alike, np.repeat(range(20), 10)), mean_over_prompts(alike, range(200))
    width = [f.interval[1] - f.interval[0] for f in (clustered, loose)]
    assert width[0] > 2 * width[1], "ten copies of a number are no ten numbers"


def test_kernel_distance_is_torchmetrics_own():
    from torchmetrics.image.kid import KernelInceptionDistance

    x, y = normal(60), normal(60, seed=1, shift=0.3)
    metric = KernelInceptionDistance(feature=distances.FeaturesOnly(8), subsets=1, subset_size=60)
    metric.update(x, real=True)
    metric.update(y, real=False)
    found = kernel_distance(ImageFeatures(x, range(60)), ImageFeatures(y, range(60, 120)))
    assert found.value == pytest.approx(float(metric.compute()[0]), rel=1e-9)


def test_kernel_distance_is_unbiased_and_its_interval_honest():
    """60 draws from one distribution: their mean is within 4 standard errors of 0 (odds 1e-4); 9 of 10 intervals do."""
    for paired in (False, True):
        found = [
            kernel_distance(
                ImageFeatures(normal(40, seed=2 * s), range(40)), ImageFeatures(normal(40, seed=2 * s + 1), ids)
            )
            for s in range(60)
            for ids in [range(40) if paired else range(40, 80)]
        ]
        values = np.array([f.value for f in found])
        assert abs(values.mean()) < 4 * values.std() / 60**0.5
        assert sum(f.interval[0] <= 0 <= f.interval[1] for f in found) >= 54


def test_pairs_of_one_prompt_are_left_out():
    x = ImageFeatures(normal(40), np.repeat(range(20), 2))
    assert kernel_distance(x, x).value == pytest.approx(0.0, abs=1e-12), "the very same images"
    assert kernel_distance(x, x).interval == pytest.approx((0.0, 0.0), abs=1e-12)
    one = ImageFeatures(normal(4), [0, 0, 0, 0])
    assert kernel_distance(one, one) is None
    near, far = (ImageFeatures(normal(40, shift=s), x.prompts) for s in (0.2, 0.6))
    real = ImageFeatures(normal(50, seed=9), range(100, 150))
    gap = kernel_difference(far, near, real)
    assert gap.interval[0] > 0
    assert gap.value == pytest.approx(kernel_distance(far, real).value - kernel_distance(near, real).value)


def test_frechet_distance(monkeypatch):
    x, y = normal(400), normal(400, seed=1, shift=1.0)
    assert frechet_distance(x, y) is None, "too few images"
    monkeypatch.setattr(distances, "LEAST", 400)
    found = frechet_distance(x, y)
    assert found.value == pytest.approx(8.0, rel=0.15), "eight dimensions, each shifted by one"
    assert found.interval[0] < 8.0 < found.interval[1] and found.interval[1] - found.interval[0] < 4
    assert frechet_distance(x, x).value == pytest.approx(0.0, abs=1e-4)


def test_diversity():
    x = torch.tensor([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [0.0, 2.0], [1.0, 1.0]])
    value, prompts = diversity(x, [0, 0, 1, 1, 2])
    assert value.tolist() == pytest.approx([0.0, 1.0]) and prompts.tolist() == [0, 1]
    assert len(diversity(x, range(5))[0]) == 0


def test_psnr_is_torchmetrics_own():
    from torchmetrics.functional.image import peak_signal_noise_ratio

    a, b = np.random.default_rng(0).integers(0, 256, (2, 12, 12, 3), dtype=np.uint8)
    ours = decibels(np.array(squared_error(a, b)))
    theirs = peak_signal_noise_ratio(torch.from_numpy(a).float(), torch.from_numpy(b).float(), data_range=255.0)
    assert float(ours) == pytest.approx(float(theirs), rel=1e-5)
    assert mean_over_prompts([0.0, 0.0], [0, 1], decibels) is None, "no noise: the ratio is infinite"
    some = mean_over_prompts([0.0, 8.0], [0, 1], decibels)
    assert some.value == pytest.approx(10 * np.log10(255**2 / 4)) and some.interval is None


COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "brown", "black")
SHAPES = ("circle", "square", "triangle", "heart")


def drawn(shade: int) -> tuple[np.ndarray, list[str]]:
    """Coloured shapes with captions in the words of the judge."""
    pictures, captions = [], []
    for i, (shape, colour) in enumerate((s, c) for s in SHAPES for c in COLOURS):
        picture = Image.new("RGB", (96, 96), "white")
        pen, (x, y, r) = ImageDraw.Draw(picture), (48 + (i * 7 + shade) % 5, 48 - (i + shade) % 4, 30 + (i + shade) % 6)
        if shape == "circle":
            pen.ellipse((x - r, y - r, x + r, y + r), colour)
        elif shape == "square":
            pen.rectangle((x - r, y - r, x + r, y + r), colour)
        elif shape == "triangle":
            pen.polygon([(x, y - r), (x - r, y + r), (x + r, y + r)], colour)
        else:
            pen.pieslice((x - r, y - r, x, y), 180, 360, colour)
            pen.pieslice((x, y - r, x + r, y), 180, 360, colour)
            pen.polygon([(x - r, y - r / 2), (x + r, y - r / 2), (x, y + r)], colour)
        pictures.append(np.asarray(picture))
        captions.append(f"{colour} {shape}, flat")
    return np.stack(pictures), captions


def blurred(pixels: np.ndarray, times: int) -> np.ndarray:
    x = torch.from_numpy(pixels).permute(0, 3, 1, 2).float()
    for _ in range(times):
        x = torch.nn.functional.avg_pool2d(torch.nn.functional.pad(x, (1, 1, 1, 1), mode="replicate"), 3, 1)
    return x.permute(0, 2, 3, 1).round().to(torch.uint8).numpy()


def noisy(pixels: np.ndarray, strength: float) -> np.ndarray:
    return np.clip(pixels + np.random.default_rng(0).normal(0, strength, pixels.shape), 0, 255).astype(np.uint8)


def test_metrics_move_the_right_way():
    from spatialspec.quality.extractors import feature_extractor
    from spatialspec.quality.judge import Alignment

    (real, captions), (other, _), extract = drawn(0), drawn(1), feature_extractor("efficientnet-lite0")
    prompts = list(range(len(real)))

    def far(pixels: np.ndarray) -> float:
        return kernel_distance(ImageFeatures(extract(pixels), prompts), ImageFeatures(extract(real), prompts)).value

    same = kernel_distance(
        ImageFeatures(extract(other), [100 + i for i in prompts]), ImageFeatures(extract(real), prompts)
    )
    assert same.interval[0] < 0 < same.interval[1], "real against real"
    blurs, noises = [far(blurred(real, t)) for t in (2, 8, 30)], [far(noisy(real, s)) for s in (4, 16, 64)]
    assert far(real) == pytest.approx(0, abs=1e-9) and 0 < blurs[0] < blurs[1] < blurs[2]
    assert 0 < noises[0] < noises[1] < noises[2]
    assert blurs[2] > same.interval[1] and noises[2] > same.interval[1]
    twice = np.concatenate([real, real])
    alike, unlike = (
        diversity(extract(twice), prompts * 2)[0],
        diversity(extract(np.concatenate([real, other])), prompts * 2)[0],
    )
    assert alike == pytest.approx(np.zeros(len(real)), abs=1e-6) and unlike.mean() > 0.01, "repeats are not diverse"
    errors = [np.mean([squared_error(a, b) for a, b in zip(noisy(real, s), real, strict=True)]) for s in (4, 16, 64)]
    assert decibels(np.array(errors[0])) > decibels(np.array(errors[1])) > decibels(np.array(errors[2]))

    judge, features = Alignment(captions), extract(real)
    right = judge.hits(features, captions).mean()
    shuffled = judge.hits(features, captions[5:] + captions[:5]).mean()
    static = np.random.default_rng(1).integers(0, 256, real.shape, dtype=np.uint8)
    ruined = judge.hits(extract(static), captions).mean()
    print(f"alignment: right {right:.2f}, shuffled {shuffled:.2f}, static {ruined:.2f}")
    assert right > shuffled + 0.15 and right > ruined + 0.15


def test_frechet_distance_grows_with_blur_and_noise(monkeypatch):
    """64 images in each set: real ones of one kind are nearest, and every step of damage is farther."""
    from spatialspec.quality.extractors import feature_extractor

    monkeypatch.setattr(distances, "LEAST", 64)
    monkeypatch.setattr(distances, "FRECHET_SUBSETS", 2)  # the interval is not looked at
    network = feature_extractor("efficientnet-lite0")
    real, other = (np.concatenate([drawn(k + shift)[0] for k in range(0, 4, 2)]) for shift in (0, 1))

    def extract(pixels: np.ndarray) -> torch.Tensor:
        return network(pixels)[:, ::20]  # 64 of 1,280 tell, and are quick

    truth = extract(real)

    def far(pixels: np.ndarray) -> float:
        return frechet_distance(extract(pixels), truth).value

    blurs, noises = [far(blurred(real, t)) for t in (2, 8, 30)], [far(noisy(real, s)) for s in (4, 16, 64)]
    assert far(real) == pytest.approx(0, abs=1e-3)
    assert 0 < blurs[0] < blurs[1] < blurs[2] and 0 < noises[0] < noises[1] < noises[2]
    assert far(other) < min(blurs[2], noises[2]), "real against real"


def test_judge_knows_a_hundred_concepts():
    from spatialspec.quality.judge import AMONG, DISTRACTORS
    from spatialspec.targets.icons.sources import concept_in

    assert len({concept_in(text) for text in DISTRACTORS}) > AMONG + 20, "enough when some are a prompt's own"
