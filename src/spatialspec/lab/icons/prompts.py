"""`spatialspec train prompts`: a finished target learns captions as people type them; its transformer stays.

Only what feeds the transformer is trained, in three steps. The sketch learns more of the images, by their pixels, under
any wording of their captions. Then the text encoder learns to read: for a wording it comes to have the prefix states
and the sketch's vector of the label "red apple, 3d". Last the sketch learns to draw from what the text encoder makes of
a caption, and no longer sums words. The layer from features of the sketch to pixels stays, so that the features mean
what the transformer has learned.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from spatialspec.drafts.checkpoint import Checkpoint, check_finite, learning_rate, update
from spatialspec.drafts.image_folder import CaptionedImages, Row, label
from spatialspec.drafts.limits import check_settings
from spatialspec.io.identity import weights_digest
from spatialspec.io.tables import read_table
from spatialspec.lab.icons.captions import Wordings
from spatialspec.lab.icons.data import epoch_batch
from spatialspec.lab.icons.sketch import SketchRecipe, sketch_error, train_sketch
from spatialspec.lab.icons.target import SHOWN, nats
from spatialspec.targets.icons.target import IconsTarget
from spatialspec.targets.icons.transformer import GridTransformer

_, _ROWS = read_table(Path(__file__).parent / "people.csv", ("prompt", "concept"))
PEOPLE = {row["prompt"]: row["concept"] for _, row in _ROWS}  # written before the training, left out of it; -> concept
LOST = ("sketch.words.weight",)
TEXT = ("text_embedding", "text_blocks", "text_summary", "read")
EVERY = 250  # steps between two resume states


@dataclass(frozen=True)
class PromptRecipe:
    """Settings of the training on prompts.

    Attributes:
        sketch: settings of the sketch's training before the text encoder's.
        steps: optimiser steps of the text encoder.
        batch: captions per step.
        mixed: captions per step, besides, of words of several labels.
        rate: peak learning rate of AdamW, decayed by cosine.
        drop: share of captions replaced by the empty one, for classifier-free guidance.
        last: settings of the sketch's training behind the text encoder.
        seed: of everything random.
    """

    sketch: SketchRecipe = field(default_factory=lambda: SketchRecipe(steps=32000, fall=0.5))
    steps: int = 11000
    batch: int = 64
    mixed: int = 12
    rate: float = 5e-4
    drop: float = 0.1
    last: SketchRecipe = field(default_factory=lambda: SketchRecipe(steps=8000, rate=1e-3, fall=0.9))
    seed: int = 0

    def __post_init__(self) -> None:
        check_settings(self, steps=1, batch=1, seed=0)


def reading(target: IconsTarget) -> GridTransformer:
    """A copy of a target's transformer whose sketch gets what the text encoder makes of a caption."""
    model = GridTransformer(replace(target.model.config, reads=True))
    model.load_state_dict(model.state_dict() | {k: v for k, v in target.model.state_dict().items() if k not in LOST})
    return model


def text_encoder(model: GridTransformer) -> nn.ParameterDict:
    """The weights of a transformer that read text."""
    return nn.ParameterDict({n.replace(".", "_"): p for n, p in model.named_parameters() if n.startswith(TEXT)})


def train_text(
    model: GridTransformer,
    teacher: GridTransformer,
    rows: Sequence[Row],
    words: Callable[[int, np.random.Generator], str],
    encode: Callable[[list[str]], Int[Tensor, "B P"]],
    out: Path,
    recipe: PromptRecipe,
    report: Callable[[str], None],
    facts: Mapping[str, object],
) -> None:
    """Train the text encoder in place; resumes from `out`, and does nothing if that is finished.

    The loss is the squared error of prefix states and of the sketch's vector, each over the variance of the teacher's,
    and the cross-entropy of the label among all labels by the distance of its vector. Some captions are made of words
    of several labels: their vectors are those of the teacher for the same words.

    Args:
        model: that reads; see `reading`.
        teacher: whose sketch sums words.
        rows: of the training images.
        words: a random caption of an image, by its index.
        encode: captions to BPE tokens.
        out: folder of the resume state.
        recipe: settings.
        report: called with progress lines.
        facts: everything that the result depends on besides the recipe; see :class:`Checkpoint`.
    """
    learner = text_encoder(model).requires_grad_(True)
    optimiser = torch.optim.AdamW(learner.parameters(), lr=recipe.rate, betas=(0.9, 0.98), weight_decay=0.01)
    all_facts = {**facts, **{name: value for name, value in asdict(recipe).items() if name not in ("sketch", "last")}}
    checkpoint = Checkpoint(out, {"text": learner, "adam": optimiser}, lambda step: all_facts)
    first, losses = checkpoint.start(recipe.steps, report, "the text encoder "), []
    labels = ["", *(label(row) for row in rows)]
    place = {text: i for i, text in enumerate(dict.fromkeys(labels))}
    with torch.no_grad():
        parts = [teacher.understood(encode(list(place)[i : i + 64])) for i in range(0, len(place), 64)]
        prefixes, vectors = (torch.cat([part[i] for part in parts]) for i in (0, 1))
        scale = prefixes.var(), vectors.var()
    for step in range(first, recipe.steps):
        rng = np.random.default_rng((recipe.seed, 4, step))
        chosen = [int(i) for i in epoch_batch(len(rows), recipe.batch, step, (recipe.seed, 5))]
        typed = [words(i, rng) for i in chosen]
        right = torch.tensor([place[labels[i + 1] if text else ""] for i, text in zip(chosen, typed, strict=True)])
        made = encode([_mixed(rows, rng) for _ in range(recipe.mixed)])
        states, read = model.understood(torch.cat((encode(typed), made)))
        with torch.no_grad():
            wanted = torch.cat((vectors[right], teacher.sketch.bag(made)))
        distance = torch.cdist(read[: len(right)], vectors).square() / (scale[1] * vectors.shape[1])
        loss = F.mse_loss(states[: len(right)], prefixes[right]) / scale[0] + F.mse_loss(read, wanted) / scale[1]
        loss = loss + 0.3 * F.cross_entropy(-20 * distance, right)
        update(optimiser, loss, learning_rate(step, recipe.steps, recipe.rate), 1.0)
        losses.append(torch.stack((loss.detach(), (distance.argmin(1) == right).float().mean())))
        if (step + 1) % EVERY == 0 or step + 1 == recipe.steps:
            mean, share = torch.stack(losses).mean(0).tolist()
            check_finite(mean, "loss", step + 1, out)
            report(f"text encoder, step {step + 1}/{recipe.steps} loss {mean:.4f}, nearest to its label {share:.1%}")
            losses.clear()
            checkpoint.save(step + 1)


def _mixed(rows: Sequence[Row], rng: np.random.Generator) -> str:
    """A caption of words from several labels, with a style."""
    two = [rows[int(i)] for i in rng.integers(len(rows), size=2)]
    pool = " ".join(row["concept"] for row in two).split()
    count = int(rng.integers(1, min(len(pool), 5) + 1))
    return f"{' '.join(str(word) for word in rng.permutation(pool)[:count])}, {two[0]['style']}"


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
    seen, teacher = data.select("train"), target.model
    wordings = Wordings(seen.rows, left_out)
    facts = {"data": data.digest, "target": weights_digest(teacher), "drop": recipe.drop}
    pixels = torch.from_numpy(seen.pixels)

    def words(image: int, rng: np.random.Generator) -> str:
        return "" if rng.random() < recipe.drop else wordings(image, rng)

    def encode(captions: list[str]) -> Int[Tensor, "B P"]:
        return target.prompts(captions, truncate=True)

    def draw(model: GridTransformer, read: Callable[[list[str]], Tensor], name: str, steps: SketchRecipe) -> None:
        model.sketch.requires_grad_(True).pixels.requires_grad_(False)
        train_sketch(model.sketch, pixels, words, read, out / name, steps, recipe.seed, report, facts)
        model.requires_grad_(False)

    draw(teacher, lambda captions: teacher.sketch.bag(encode(captions)), "sketch", recipe.sketch)
    model = reading(target)
    target.model, target.concepts = model, wordings.concepts
    train_text(model, teacher, seen.rows, words, encode, out / "text", recipe, report, facts)

    @torch.no_grad()
    def read(captions: list[str]) -> Float[Tensor, "N w"]:
        return torch.cat([model.understood(tokens)[1] for tokens in encode(captions).split(64)])

    draw(model, read, "last", recipe.last)
    model.eval()
    rng = np.random.default_rng((recipe.seed, 6))
    tests = {"training images": (seen.labels, seen.pixels)}
    tests["training images as typed"] = [wordings.as_typed(row, rng) for row in seen.rows], seen.pixels
    tests |= {f"{name} left out": (part.labels, part.pixels) for name in ("pair", "concept")
              if (part := data.select(name)).rows}  # fmt: skip
    figures = {}
    for name, (texts, images) in tests.items():
        figures[f"squared error of the sketch, {name}"] = f"{sketch_error(model.sketch, read(texts), images):.4f}"
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
        f"and the tokenizer of images are as before. {len(PEOPLE)} prompts that people typed were left out."
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
