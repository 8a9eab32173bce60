"""The sketch: what it sees of a caption, what the transformer is told of it, and its training."""

from pathlib import Path

import numpy as np
import pytest
import torch

from spatialspec.drafts.image_folder import CaptionedImages
from spatialspec.lab.icons.sketch import SketchRecipe, sketch_error, train_sketch
from spatialspec.targets.icons.sketch import Sketch, SketchConditioning

RECIPE = SketchRecipe(steps=60, batch=4, rate=1e-2, warmup=5)


def sketch() -> Sketch:
    torch.manual_seed(0)
    return Sketch(vocabulary=9, width=24, layers=1, rows=6, columns=6)


def pictures() -> CaptionedImages:
    """Four images in one colour each."""
    pixels = np.zeros((4, 24, 24, 3), dtype=np.uint8)
    pixels[0, ..., 0], pixels[1, ..., 1], pixels[2, ..., 2] = 255, 255, 255
    return CaptionedImages(pixels, [{"text": str(number)} for number in range(4)])


def encode(captions: list[str]) -> torch.Tensor:
    return torch.tensor([[int(caption) + 1, 0] if caption else [0, 0] for caption in captions])


def train(out: Path, stop: int | None = None) -> Sketch:
    """Train; with `stop`, until that many captions were asked for."""
    made, asked = sketch(), 0

    def words(picture: int, rng: np.random.Generator) -> str:
        nonlocal asked
        asked += 1
        if asked == stop:
            raise KeyboardInterrupt
        return "" if rng.random() < 0.1 else str(picture)

    train_sketch(made, torch.from_numpy(pictures().pixels), words, encode, out, RECIPE, 0, lambda line: None)
    return made


def test_sketch_reads_words_and_no_padding() -> None:
    net = sketch()
    one, padded, other = (net(torch.tensor([row])) for row in ([3, 4, 0], [3, 4, 0, 0, 0], [3, 5]))
    torch.testing.assert_close(one, padded)
    assert (one - other).abs().max() > 1e-3
    assert one.shape[-2:] == (6, 6)
    assert net.draw(one).shape == (1, 3, 24, 24)


@pytest.mark.parametrize("grid", [(6, 6), (3, 4), (8, 5)])
def test_told_is_per_cell_and_starts_at_nothing(grid: tuple[int, int]) -> None:
    told, features = SketchConditioning(10), torch.randn(2, 24, 6, 6)
    assert not told(features, *grid).any()
    torch.nn.init.normal_(told.around.weight)
    rows = told(features, *grid)
    assert rows.shape == (2, grid[0] * grid[1] + 1, 10)
    assert not rows[:, -1].any()
    moved = features.clone()
    moved[:, :, 0, 0] += 100
    changed = (told(moved, *grid) - rows).abs().amax((0, 2)) > 1e-3
    assert changed[0]
    assert not changed[grid[0] * grid[1] - 1], "the far corner is told of its own place"


def test_training_learns_and_goes_on_to_the_same_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spatialspec.lab.icons.sketch.EVERY", 20)
    text, pixels = encode(["0", "1", "2", "3"]), pictures().pixels
    straight = train(tmp_path / "straight")
    assert sketch_error(straight, text, pixels) < sketch_error(sketch(), text, pixels) / 5
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "stopped", stop=4 * 33)
    resumed = train(tmp_path / "stopped")
    for name, weight in straight.state_dict().items():
        torch.testing.assert_close(weight, resumed.state_dict()[name], atol=0, rtol=0, msg=name)
