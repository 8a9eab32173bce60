"""Training of the judge: its pairs, its damaged images, from images to figures."""

from pathlib import Path

import numpy as np
import torch

from spatialspec.drafts.image_folder import CaptionedImages
from spatialspec.lab.icons.degradation import degrade
from spatialspec.lab.icons.judge import JudgeRecipe, info_nce, train
from spatialspec.lab.icons.precision import alignment
from spatialspec.quality.judge import Judge, JudgeConfig

SMALL = JudgeConfig(picture=12, text=7, hidden=16, width=8)


def test_same_concepts_are_no_negatives():
    """With one concept only, nothing is left to tell apart: the loss is zero."""
    judge, generator = Judge(SMALL), torch.Generator().manual_seed(0)
    pictures, texts = torch.randn(6, 12, generator=generator), torch.randn(6, 7, generator=generator)
    assert info_nce(judge, pictures, texts, torch.zeros(6, dtype=torch.long)).item() == 0.0
    assert info_nce(judge, pictures, texts, torch.arange(6)).item() > 0.5


def test_damage_repeats_and_keeps_the_picture_recognisable():
    pixels = np.full((8, 96, 96, 3), 255, np.uint8)
    pixels[:, 30:66, 30:66] = (200, 30, 30)
    damaged = degrade(pixels, seed=1)
    assert damaged.shape == pixels.shape
    assert damaged.dtype == np.uint8
    assert (damaged == degrade(pixels, seed=1)).all()
    assert (damaged != degrade(pixels, seed=2)).any()
    assert (damaged != pixels).any()
    assert (damaged[:, 44:52, 44:52, 0].mean((1, 2)) > damaged[:, 44:52, 44:52, 1].mean((1, 2)) + 80).all()


def test_training_from_pictures_to_figures(tmp_path: Path):
    """Coloured squares named by a number: a few epochs on 110 concepts write a judge that can be loaded and asked."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (120, 1, 1, 3), dtype=np.uint8).repeat(32, 1).repeat(32, 2)
    rows = [
        {"file_name": f"{i}.png", "text": f"colour {i}", "style": "flat", "split": "train" if i < 110 else "concept"}
        for i in range(120)
    ]
    lines: list[str] = []
    recipe = JudgeRecipe(JudgeConfig(side=32), epochs=2, batch=32, damaged=1, wordings=2)
    figures = train(CaptionedImages(pixels, rows), tmp_path / "judge", recipe, lines.append, tmp_path / "cache")
    assert set(figures) == {"train", "concept"}
    assert len(figures["concept"].hits) == 10
    assert {path.name for path in (tmp_path / "judge").iterdir()} == {"config.json", "judge.safetensors", "README.md"}
    assert "MIT" in (tmp_path / "judge" / "README.md").read_text()
    captions = [f"{row['text']}, flat" for row in rows]
    asked = alignment(pixels[110:], captions[110:], captions, tmp_path / "judge")
    assert len(asked.hits) == 10
