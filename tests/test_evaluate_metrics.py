"""Metrics on hand-made numbers, against torchmetrics, and on pictures that get worse and worse."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from spatialspec.evaluation import frechet
from spatialspec.evaluation.diversity import diversity
from spatialspec.evaluation.frechet import frechet_distance
from spatialspec.evaluation.intervals import mean_over_prompts
from spatialspec.evaluation.kernel import Features, kernel_difference, kernel_distance
from spatialspec.evaluation.pixels import decibels, squared_error


def normal(count: int, width: int = 8, seed: int = 0, shift: float = 0.0) -> torch.Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed)).double() + shift


def test_a_mean_and_its_interval():
    """Coverage: 200 intervals of 40 normal numbers hold the true mean 95 % of the time, give or take the bootstrap's
    usual shortfall; under 88 % or over 99 % would be a false alarm with odds below 1e-4."""
    figure = mean_over_prompts([1.0, 3.0, 5.0, 7.0], [0, 0, 1, 1])
    assert figure is not None and figure.value == 4.0 and figure.interval == (2.0, 6.0)
    held = 0
    for seed in range(200):
        found = mean_over_prompts(np.random.default_rng(seed).normal(size=40), range(40), seed=seed)
        held += found.interval[0] <= 0 <= found.interval[1]
    assert 176 <= held <= 198
    assert mean_over_prompts([], []) is None


def test_images_of_a_prompt_stay_together():
    alike = np.repeat(np.random.default_rng(0).normal(size=20), 10)
    clustered, loose = mean_over_prompts(alike, np.repeat(range(20), 10)), mean_over_prompts(alike, range(200))
    width = [f.interval[1] - f.interval[0] for f in (clustered, loose)]
    assert width[0] > 2 * width[1], "ten copies of a number are no ten numbers"


def test_kernel_distance_is_torchmetrics_own():
    from torchmetrics.image.kid import KernelInceptionDistance

    x, y = normal(60), normal(60, seed=1, shift=0.3)
    metric = KernelInceptionDistance(feature=frechet._Given(8), subsets=1, subset_size=60)
    metric.update(x, real=True)
    metric.update(y, real=False)
    found = kernel_distance(Features(x, range(60)), Features(y, range(60, 120)))
    assert found.value == pytest.approx(float(metric.compute()[0]), rel=1e-9)


def test_kernel_distance_is_unbiased_and_its_interval_honest():
    """60 draws from one law: the mean is within 4 standard errors of 0 (odds 1e-4); nine intervals in ten hold 0."""
    for paired in (False, True):
        found = [
            kernel_distance(Features(normal(40, seed=2 * s), range(40)), Features(normal(40, seed=2 * s + 1), ids))
            for s in range(60)
            for ids in [range(40) if paired else range(40, 80)]
        ]
        values = np.array([f.value for f in found])
        assert abs(values.mean()) < 4 * values.std() / 60**0.5
        assert sum(f.interval[0] <= 0 <= f.interval[1] for f in found) >= 54


def test_pairs_of_one_prompt_are_left_out():
    x = Features(normal(40), np.repeat(range(20), 2))
    assert kernel_distance(x, x).value == pytest.approx(0.0, abs=1e-12), "the very same pictures"
    assert kernel_distance(x, x).interval == pytest.approx((0.0, 0.0), abs=1e-12)
    one = Features(normal(4), [0, 0, 0, 0])
    assert kernel_distance(one, one) is None
    near, far = (Features(normal(40, shift=s), x.prompts) for s in (0.2, 0.6))
    real = Features(normal(50, seed=9), range(100, 150))
    gap = kernel_difference(far, near, real)
    assert gap.interval[0] > 0
    assert gap.value == pytest.approx(kernel_distance(far, real).value - kernel_distance(near, real).value)


def test_frechet_distance(monkeypatch):
    x, y = normal(400), normal(400, seed=1, shift=1.0)
    assert frechet_distance(x, y) is None, "too few pictures"
    monkeypatch.setattr(frechet, "LEAST", 400)
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
    from spatialspec.evaluation.alignment import Alignment
    from spatialspec.evaluation.features import feature_extractor

    (real, captions), (other, _), extract = drawn(0), drawn(1), feature_extractor("efficientnet-lite0")
    prompts = list(range(len(real)))

    def far(pixels: np.ndarray) -> float:
        return kernel_distance(Features(extract(pixels), prompts), Features(extract(real), prompts)).value

    same = kernel_distance(Features(extract(other), [100 + i for i in prompts]), Features(extract(real), prompts))
    assert same.interval[0] < 0 < same.interval[1], "real against real"
    blurs, noises = [far(blurred(real, t)) for t in (2, 8, 30)], [far(noisy(real, s)) for s in (4, 16, 64)]
    assert far(real) == pytest.approx(0, abs=1e-9) and 0 < blurs[0] < blurs[1] < blurs[2]
    assert 0 < noises[0] < noises[1] < noises[2]
    assert blurs[2] > same.interval[1] and noises[2] > same.interval[1]
    errors = [np.mean([squared_error(a, b) for a, b in zip(noisy(real, s), real, strict=True)]) for s in (4, 16, 64)]
    assert decibels(np.array(errors[0])) > decibels(np.array(errors[1])) > decibels(np.array(errors[2]))

    judge, features = Alignment(captions), extract(real)
    right = judge.hits(features, captions).mean()
    shuffled = judge.hits(features, captions[5:] + captions[:5]).mean()
    static = np.random.default_rng(1).integers(0, 256, real.shape, dtype=np.uint8)
    ruined = judge.hits(extract(static), captions).mean()
    print(f"alignment: right {right:.2f}, shuffled {shuffled:.2f}, static {ruined:.2f}")
    assert right > shuffled + 0.15 and right > ruined + 0.15


def test_judge_knows_a_hundred_concepts():
    from spatialspec.evaluation.alignment import AMONG, DISTRACTORS
    from spatialspec.evaluation.judge import concept_in

    assert len({concept_in(text) for text in DISTRACTORS}) > AMONG + 20, "enough when some are a prompt's own"


def test_clip_score_from_a_folder(tmp_path):
    """A tiny CLIP with random weights: the score is the cosine similarity of its two embeddings, times 100."""
    transformers = pytest.importorskip("transformers")
    from spatialspec.evaluation.clip_score import ClipScore

    letters = [chr(97 + i) for i in range(26)]
    words = [*letters, *(f"{c}</w>" for c in letters), "<|startoftext|>", "<|endoftext|>"]
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = sizes | {"vocab_size": len(words), "max_position_embeddings": 12, "eos_token_id": 53, "bos_token_id": 52}
    text |= {"pad_token_id": 53}
    vision = sizes | {"image_size": 24, "patch_size": 8}
    torch.manual_seed(0)
    model = transformers.CLIPModel(transformers.CLIPConfig(text_config=text, vision_config=vision, projection_dim=8))
    model.save_pretrained(tmp_path)
    vocabulary = {word: i for i, word in enumerate(words)}
    tokenizer = transformers.CLIPTokenizer(vocab=vocabulary, merges=[])
    images = transformers.CLIPImageProcessor(size={"shortest_edge": 24}, crop_size={"height": 24, "width": 24})
    transformers.CLIPProcessor(image_processor=images, tokenizer=tokenizer).save_pretrained(tmp_path)
    pictures = np.random.default_rng(0).integers(0, 256, (3, 24, 24, 3), dtype=np.uint8)
    clip = ClipScore(tmp_path)
    scores = clip(pictures, ["a cat", "a dog", "a very long prompt that goes on and on"])
    assert scores.shape == (3,) and (np.abs(scores) <= 100).all() and scores.std() > 0
    assert clip(pictures[:1], ["a cat"])[0] == pytest.approx(scores[0], abs=1e-4)
    with pytest.raises(ValueError, match="expected a folder with a CLIP model"):
        ClipScore(tmp_path / "none")
