"""`spatialspec train prompts`: a finished target learns captions as people type them; its transformer stays.

Only what feeds the transformer is trained: the sketch as before, by the pixels of an image, but under any wording of
its caption; and the text encoder, whose states for a wording come to be those for the label "red apple, 3d". The layer
from features of the sketch to pixels stays, so that the features mean what the transformer has learned.
"""

from __future__ import annotations

import copy
import platform
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Int
from torch import Tensor, nn

from spatialspec import __version__
from spatialspec.drafts.checkpoint import Checkpoint, check_finite, learning_rate, update
from spatialspec.drafts.image_folder import CaptionedImages, label
from spatialspec.drafts.limits import check_settings
from spatialspec.io.identity import facts_digest, weights_digest
from spatialspec.io.tables import read_table
from spatialspec.lab.icons.captions import Wordings
from spatialspec.lab.icons.data import epoch_batch
from spatialspec.lab.icons.sketch import SketchRecipe, sketch_error, train_sketch
from spatialspec.lab.icons.target import SHOWN, nats
from spatialspec.targets.icons.target import IconsTarget
from spatialspec.targets.icons.transformer import GridTransformer

_, _ROWS = read_table(Path(__file__).parent / "people.csv", ("prompt", "concept"))
PEOPLE = {row["prompt"]: row["concept"] for _, row in _ROWS}  # written before the training, left out of it; -> concept
EVERY = 250  # steps between two resume states


@dataclass(frozen=True)
class PromptRecipe:
    """Settings of the training on prompts.

    Attributes:
        sketch: settings of the sketch's training.
        steps: optimiser steps of the text encoder.
        batch: captions per step.
        rate: peak learning rate of AdamW, decayed by cosine.
        drop: share of captions replaced by the empty one, for classifier-free guidance.
        seed: of everything random.
    """

    sketch: SketchRecipe = field(default_factory=lambda: SketchRecipe(steps=32000, fall=0.5))
    steps: int = 7000
    batch: int = 64
    rate: float = 5e-4
    drop: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        check_settings(self, steps=1, batch=1, seed=0)


def text_encoder(model: GridTransformer) -> nn.ModuleDict:
    """The parts of a transformer that encode text; `text_place` is not trained."""
    return nn.ModuleDict({"embedding": model.text_embedding, "blocks": model.text_blocks})


def train_text(
    model: GridTransformer,
    data: CaptionedImages,
    words: Callable[[int, np.random.Generator], str],
    encode: Callable[[list[str]], Int[Tensor, "B P"]],
    out: Path,
    recipe: PromptRecipe,
    report: Callable[[str], None],
    facts: Mapping[str, object],
) -> None:
    """Train the text encoder in place; resumes from `out`, and does nothing if that is finished.

    Args:
        model: with the text encoder as it was, which is also the teacher.
        data: images of the training split; only their captions are used.
        words: a random caption of an image, by its index.
        encode: captions to BPE tokens.
        out: folder of the resume state.
        recipe: settings.
        report: called with progress lines.
        facts: everything that the result depends on besides the recipe; see :class:`Checkpoint`.
    """
    teacher, learner = copy.deepcopy(model).requires_grad_(False), text_encoder(model).requires_grad_(True)
    optimiser = torch.optim.AdamW(learner.parameters(), lr=recipe.rate, betas=(0.9, 0.98), weight_decay=0.01)
    all_facts = {**facts, **{name: value for name, value in asdict(recipe).items() if name != "sketch"}}
    checkpoint = Checkpoint(out, {"text": learner, "adam": optimiser}, lambda step: all_facts)
    first, losses = checkpoint.start(recipe.steps, report, "the text encoder "), []
    for step in range(first, recipe.steps):
        rng = np.random.default_rng((recipe.seed, 4, step))
        chosen = [int(i) for i in epoch_batch(len(data.rows), recipe.batch, step, (recipe.seed, 5))]
        typed = [words(i, rng) for i in chosen]
        labels = [label(data.rows[i]) if text else "" for i, text in zip(chosen, typed, strict=True)]
        with torch.no_grad():
            wanted = teacher.encode_text(encode(labels))
        loss = F.mse_loss(model.encode_text(encode(typed)), wanted) / wanted.var()
        update(optimiser, loss, learning_rate(step, recipe.steps, recipe.rate), 1.0)
        losses.append(loss.detach())
        if (step + 1) % EVERY == 0 or step + 1 == recipe.steps:
            mean = torch.stack(losses).mean().item()
            check_finite(mean, "squared error", step + 1, out)
            report(f"text encoder, step {step + 1}/{recipe.steps} share of variance {mean:.4f}")
            losses.clear()
            checkpoint.save(step + 1)


def train(
    data: CaptionedImages,
    target: IconsTarget,
    left_out: list[str],
    out: Path,
    recipe: PromptRecipe,
    report: Callable[[str], None] = print,
) -> dict[str, str]:
    """Train sketch and text encoder of a target in place, on the split "train"; resumes from `out`.

    Args:
        data: images of every split.
        target: a finished target of the embedded model's recipe, in fp32.
        left_out: prompts that are never trained on.
        out: folder of the resume states.
        recipe: settings.
        report: called with progress lines.

    Returns:
        Squared errors of the sketch and nats per token, by what they were measured on.

    Raises:
        BadInput: a state in `out` is damaged or of another training, or the loss is no number.
    """
    torch.manual_seed(recipe.seed)
    seen, model = data.select("train"), target.model
    wordings = Wordings(seen.rows, left_out)
    target.concepts = wordings.concepts
    facts = {"data": data.digest, "target": weights_digest(model), "drop": recipe.drop}
    facts["left out"] = facts_digest(sorted(left_out))

    def words(image: int, rng: np.random.Generator) -> str:
        return "" if rng.random() < recipe.drop else wordings(image, rng)

    def encode(captions: list[str]) -> Int[Tensor, "B P"]:
        return target.prompts(captions, truncate=True)

    train_text(model, seen, words, encode, out / "text", recipe, report, facts)
    model.sketch.requires_grad_(True).pixels.requires_grad_(False)
    pixels = torch.from_numpy(seen.pixels)
    train_sketch(model.sketch, pixels, words, encode, out / "sketch", recipe.sketch, recipe.seed, report, facts)
    model.requires_grad_(False)
    rng = np.random.default_rng((recipe.seed, 6))
    tests = {"training images": (seen.labels, seen.pixels)}
    tests["training images as typed"] = [wordings.as_typed(row, rng) for row in seen.rows], seen.pixels
    tests |= {f"{name} left out": (part.labels, part.pixels) for name in ("pair", "concept")
              if (part := data.select(name)).rows}  # fmt: skip
    figures = {}
    for name, (texts, images) in tests.items():
        figures[f"squared error of the sketch, {name}"] = f"{sketch_error(model.sketch, encode(texts), images):.4f}"
        value = nats(model, target.vq, encode(texts[:SHOWN]), images, target.grid.rows)
        figures[f"nats per token, {name}"] = f"{value:.4f}"
    return figures


def card(before: str, command: str, recipe: PromptRecipe, figures: Mapping[str, str]) -> str:
    """The card of the target before, with what was done to it.

    Args:
        before: card of the target, "" if it had none.
        command: that trained it on prompts.
        recipe: settings.
        figures: that `train` returned.
    """
    text = (
        f"The text encoder had {recipe.steps} steps of {recipe.batch} captions (AdamW {recipe.rate}, cosine), the "
        f"sketch {recipe.sketch.steps} steps of {recipe.sketch.batch} images (AdamW {recipe.sketch.rate}, rate falling "
        f"over the last {recipe.sketch.fall:.0%}); {recipe.drop:.0%} of captions dropped; seed {recipe.seed}. Captions "
        "have articles, plurals, numbers, requests, tags, other words, added and left-out adjectives, and mostly no "
        "style; without one they mean the first style in which a concept was seen (`concepts.csv`). The transformer "
        f"and the tokenizer of images are as before. {len(PEOPLE)} prompts that people typed were left out. "
        f"spatialspec {__version__}, Python {platform.python_version()}, torch {version('torch')}."
    )
    rows = [line for line in before.splitlines() if line.split(" | ")[0].removeprefix("| ") in figures]
    new = [f"| {name} | {value} |" for name, value in figures.items()]
    lines = ["## Prompts as people type them", f"    {command}", "", text, "", "| what | figure |", "|---|---|", *new]
    if rows:
        lines += ["", "Before this step:", "", "| what | figure |", "|---|---|", *rows]
    section, end = "\n".join(lines) + "\n\n", "## Images, licences, attribution"
    for row in rows:
        before = before.replace(row + "\n", "", 1)
    return before.replace(end, section + end, 1) if end in before else before + "\n" + section
