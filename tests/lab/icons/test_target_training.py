"""Training of the target: images that are moved, tokens that are misread, and a training that goes on."""

from pathlib import Path

import numpy as np
import pytest
import torch

from spatialspec.drafts.image_folder import CaptionedImages
from spatialspec.lab.icons import target as training
from spatialspec.lab.icons.sketch import SketchRecipe
from spatialspec.lab.icons.target_recipe import Stage, TargetRecipe, parse_stages
from spatialspec.targets.icons.text import PromptTokenizer, train_bpe
from spatialspec.targets.icons.transformer import GridTransformerConfig
from spatialspec.targets.icons.vq import VQConfig, VQTokenizer

SIZES = {"width": 16, "layers": 1, "heads": 2, "mlp_width": 24, "rows": 4, "columns": 4, "prefix": 6}
RECIPE = TargetRecipe(
    stages=(Stage(2, 3, 10), Stage(4, 2, 20)), sketch=SketchRecipe(steps=2, batch=2), warmup=3, compile=False
)


def test_moved_pictures_repeat_their_border() -> None:
    pixels = torch.arange(2 * 5 * 6 * 3, dtype=torch.uint8).view(2, 5, 6, 3)
    found = training.moved(pixels, np.array([2, -1]), np.array([0, 3]))
    assert torch.equal(found[0, 2:], pixels[0, :3])
    assert torch.equal(found[0, :2], pixels[0, :1].expand(2, -1, -1))
    assert torch.equal(found[1, :4, 3:], pixels[1, 1:, :3])
    assert torch.equal(found[1, 4], found[1, 3])
    assert torch.equal(found[1, :, 0], found[1, :, 2])


def test_misread_tokens_are_those_of_other_cells_of_the_same_picture() -> None:
    codes = torch.arange(2 * 4000).view(2, 4000)
    found = training.misread(codes, 0.25, torch.Generator().manual_seed(0))
    assert ((found // 4000) == torch.tensor([[0], [1]])).all()
    other = found != codes
    assert abs(other.double().mean().item() - 0.25) < 0.03  # 6 standard deviations
    assert found[other].unique().numel() > 1500  # drawn from everywhere
    assert torch.equal(training.misread(codes, 0.0, torch.Generator().manual_seed(0)), codes)


def test_loss_is_that_of_the_true_tokens_where_some_are_misread() -> None:
    torch.manual_seed(0)
    model = training.GridTransformer(GridTransformerConfig(codes=8, text_vocabulary=9, text_layers=1, **SIZES))
    torch.nn.init.normal_(model.code_embedding.weight)
    for block in model.blocks:
        torch.nn.init.normal_(block.attention.out.weight)  # type: ignore[union-attr]
    text, codes = torch.ones(1, 6, dtype=torch.long), torch.arange(16).view(1, 16) % 8
    plain = training.loss_of(model, text, codes, codes, 4)
    last = codes.clone()
    last[:, -1] = 5  # nothing comes behind the last token, so that misreading it changes nothing
    assert training.loss_of(model, text, codes, last, 4) == plain
    first = codes.clone()
    first[:, 0] = 5
    assert training.loss_of(model, text, codes, first, 4) != plain


def test_rate_and_stages() -> None:
    assert parse_stages("2:3:10, 4:2:20") == RECIPE.stages
    assert [RECIPE.stage_at(step).side for step in (0, 9, 10, 29)] == [2, 2, 4, 4]
    assert [step for step in range(30) if RECIPE.falls(step)] == list(range(23, 30))
    rates = [RECIPE.rate_at(step) for step in range(30)]
    assert rates[0] == pytest.approx(1 / 3)
    assert rates[2:23] == [1.0] * 21
    assert rates[23:] == sorted(rates[23:], reverse=True)


def run(out: Path, stop: str | None = None) -> dict[str, torch.Tensor]:
    """Train; with `stop`, until a line begins with it."""
    rng = np.random.default_rng(0)
    rows = [{"text": f"thing {i}", "style": "flat", "split": "pair" if i == 9 else "train"} for i in range(10)]
    data = CaptionedImages(rng.integers(256, size=(10, 16, 16, 3), dtype=np.uint8), rows)
    words = out.parent / "words.json"
    if not words.exists():
        train_bpe([row["text"] for row in rows], 300).save(str(words))
    torch.manual_seed(1)
    vq = VQTokenizer(VQConfig(codes=8, width=16, encoder_blocks=1, decoder_blocks=1)).eval()
    config = GridTransformerConfig(
        codes=8, text_vocabulary=300, text_layers=1, sketch_width=24, sketch_layers=1, **SIZES
    )

    def report(line: str) -> None:
        if stop and line.startswith(stop):
            raise KeyboardInterrupt

    model, figures = training.train(data, vq, PromptTokenizer.from_file(words, 6, 300), out, config, RECIPE, report)
    assert list(figures) == ["nats per token, pair left out"]
    return model.state_dict()


def test_a_training_that_was_stopped_goes_on_to_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "SAVE_EVERY", 0)
    whole = run(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "stopped", "step 25/")
    again = run(tmp_path / "stopped")
    torch.testing.assert_close(again, whole, rtol=0, atol=1e-5)  # sums are not taken in the same order
