"""Training on prompts: text encoder and sketch learn, everything behind them stays, and it resumes."""

from pathlib import Path

import numpy as np
import pytest
import torch

from spatialspec.core.sampling import Sampling
from spatialspec.drafts.image_folder import CaptionedImages
from spatialspec.lab.icons.prompts import PromptRecipe, card, train
from spatialspec.lab.icons.sketch import SketchRecipe
from spatialspec.targets.icons.target import IconsTarget
from spatialspec.targets.icons.text import PromptTokenizer, train_bpe
from spatialspec.targets.icons.transformer import GridTransformer, GridTransformerConfig
from spatialspec.targets.icons.vq import VQConfig, VQTokenizer

NAMES = ("red apple", "green frog", "rocket", "teapot")
ROWS = [
    {"text": name, "concept": name, "style": style, "tags": "", "split": "pair" if (name, style) == HELD else "train"}
    for HELD in [("rocket", "flat")]
    for name in NAMES
    for style in ("3d", "flat")
]
RECIPE = PromptRecipe(SketchRecipe(steps=40, batch=4, rate=1e-2, warmup=5), steps=30, batch=4, rate=3e-3)
LEARNED = ("text_embedding", "text_blocks", "sketch")


def target(folder: Path) -> IconsTarget:
    words = folder / "words.json"
    train_bpe([row["text"] for row in ROWS], 300).save(str(words))
    torch.manual_seed(1)
    sizes = {"width": 16, "layers": 1, "heads": 2, "mlp_width": 24, "rows": 4, "columns": 4, "prefix": 24}
    config = GridTransformerConfig(
        codes=8, text_vocabulary=300, text_layers=1, sketch_width=24, sketch_layers=1, **sizes
    )
    vq = VQTokenizer(VQConfig(codes=8, width=16, encoder_blocks=1, decoder_blocks=1))
    prompts = PromptTokenizer.from_file(words, 24, 300)
    return IconsTarget("tiny", GridTransformer(config), vq, prompts, Sampling(2.0, 0.6))


def images() -> CaptionedImages:
    return CaptionedImages(np.random.default_rng(0).integers(256, size=(8, 16, 16, 3), dtype=np.uint8), ROWS)


def run(folder: Path, stop: str | None = None) -> tuple[IconsTarget, dict[str, str]]:
    """Train; with `stop`, until a line begins with it."""
    made = target(folder)

    def report(line: str) -> None:
        if stop and line.startswith(stop):
            raise KeyboardInterrupt

    return made, train(images(), made, ["a red apple"], folder / "state", RECIPE, report)


def test_what_feeds_the_transformer_is_trained_and_nothing_else(tmp_path: Path) -> None:
    before = {name: weight.clone() for name, weight in target(tmp_path).model.state_dict().items()}
    made, figures = run(tmp_path)
    for name, weight in made.model.state_dict().items():
        learned = name.startswith(LEARNED) and not name.startswith("sketch.pixels")
        assert torch.equal(weight, before[name]) != learned, name
    assert not any(parameter.requires_grad for parameter in made.model.parameters())
    assert made.concepts is not None and list(made.concepts.known) == list(NAMES)
    assert {"nats per token, pair left out", "squared error of the sketch, training images as typed"} <= figures.keys()


@pytest.mark.parametrize("stop", ["text encoder, step 20/30", "sketch, step 30/40"])
def test_it_resumes_where_it_stopped(tmp_path: Path, stop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("prompts", "sketch"):
        monkeypatch.setattr(f"spatialspec.lab.icons.{module}.EVERY", 10)
    for folder in (tmp_path / "one", tmp_path / "two"):
        folder.mkdir()
    whole, _ = run(tmp_path / "one")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "two", stop)
    resumed, _ = run(tmp_path / "two")
    for name, weight in whole.model.state_dict().items():
        assert torch.equal(weight, resumed.model.state_dict()[name]), name


def test_a_saved_model_reads_prompts_as_the_trained_one(tmp_path: Path) -> None:
    made, _ = run(tmp_path)
    made.save(tmp_path / "model")
    read = IconsTarget.from_folder(tmp_path / "model")
    assert read.concepts is not None and made.concepts is not None and read.concepts.known == made.concepts.known
    assert read.completed("draw me a rocket!").text == "rocket, draw me a rocket, 3d"


def test_the_card_has_the_new_figures_and_those_before() -> None:
    name = "nats per token, pair left out"
    before = f"# tiny\n| what | figure |\n|---|---|\n| {name} | 2.0 |\n\n## Images, licences, attribution\nx\n"
    text = card(before, "spatialspec train prompts", RECIPE, {name: "1.5"})
    new, old = text.index(f"| {name} | 1.5 |"), text.index(f"| {name} | 2.0 |")
    assert new < text.index("Before this step") < old < text.index("## Images, licences")
    assert text.count("left out | 2.0") == 1
    assert "spatialspec train prompts" in card("", "spatialspec train prompts", RECIPE, {})
