"""Training of the VQ tokenizer: it learns, unused codes are moved, and a training that was stopped goes on."""

from pathlib import Path

import numpy as np
import pytest
import torch

from spatialspec.drafts.image_folder import CaptionedImages
from spatialspec.lab.icons.tokenizer import Codebook, TokenizerRecipe, psnr, train
from spatialspec.targets.icons.vq import VQConfig, VQTokenizer

CONFIG = VQConfig(codes=32, width=16, encoder_blocks=1, decoder_blocks=1)
RECIPE = TokenizerRecipe(steps=150, batch=2, crop=8, restart_every=10)


def pictures() -> CaptionedImages:
    """Ten images in one colour each, one of them left out."""
    colours = np.random.default_rng(0).integers(256, size=(10, 1, 1, 3), dtype=np.uint8)
    rows = [{"text": f"colour {i}", "split": "concept" if i == 9 else "train"} for i in range(10)]
    return CaptionedImages(np.tile(colours, (1, 16, 16, 1)), rows)


def run(out: Path, stop: str | None = None) -> VQTokenizer:
    """Train; with `stop`, until a line begins with it."""

    def report(line: str) -> None:
        if stop and line.startswith(stop):
            raise KeyboardInterrupt

    return train(pictures(), out, CONFIG, RECIPE, report)


def test_a_training_that_was_stopped_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    whole = run(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "stopped", "step 150")  # the last state is that of step 100
    again = run(tmp_path / "stopped")
    torch.testing.assert_close(again.state_dict(), whole.state_dict(), rtol=0, atol=1e-5)
    assert {p.device.type for p in whole.parameters()} == {"cpu"}
    torch.manual_seed(RECIPE.seed)
    assert psnr(whole, pictures().pixels) > psnr(VQTokenizer(CONFIG), pictures().pixels) + 3


def test_unused_codes_are_put_on_latents_of_the_batch() -> None:
    torch.manual_seed(0)
    model = VQTokenizer(CONFIG)
    before, codebook = model.codebook.clone(), Codebook(model, RECIPE)
    latent = torch.nn.functional.normalize(torch.randn(6, CONFIG.code_width), dim=-1)
    codes = torch.tensor([0, 0, 1, 1, 2, 2])
    codebook.update(latent, codes, RECIPE.restart_every - 2, np.random.default_rng(0))
    torch.testing.assert_close(model.codebook[3:], before[3:])
    codebook.update(latent, codes, RECIPE.restart_every - 1, np.random.default_rng(0))
    likeness = (model.codebook @ latent.T).amax(1)
    assert likeness[3:].min() > 1 - 1e-5 > likeness[:3].max()
