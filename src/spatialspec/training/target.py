"""`spatialspec train target`: the sketch first, then the AR transformer of the embedded model, small grids first.

Cross-entropy of the next token, teacher-forced; the sketch stays as it is. A stage sees pictures at one size: at half
a side they cost a fifth, at a quarter a fifteenth; the last stage is at full size. The rate warms up, stays, and falls
to zero over the last part of the steps; the state before the fall is kept, so that a longer recipe goes on from it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from safetensors.torch import load_file
from torch import Tensor

from spatialspec.core.files import write_tensors
from spatialspec.targets.grid_transformer import GridTransformer, GridTransformerConfig
from spatialspec.targets.text import PromptTokenizer
from spatialspec.targets.vq import VQTokenizer
from spatialspec.training.checkpoint import Checkpoint, tune_threads
from spatialspec.training.data import Pictures, epoch_batch
from spatialspec.training.muon import Muon
from spatialspec.training.sketch import SketchRecipe, sketch_error, train_sketch
from spatialspec.training.tokenizer import to_float


@dataclass(frozen=True)
class Stage:
    """A part of the training on one grid.

    Attributes:
        side: cells a side.
        batch: pictures per step.
        steps: optimiser steps.
    """

    side: int
    batch: int
    steps: int


def parse_stages(text: str) -> tuple[Stage, ...]:
    """Read `SIDE:BATCH:STEPS`, several with commas.

    Raises:
        ValueError: not three whole numbers, or one below 1.
    """
    stages = []
    for part in text.split(","):
        numbers = part.strip().split(":")
        if len(numbers) != 3 or not all(n.isdecimal() and int(n) for n in numbers):
            raise ValueError(f"got stage {part!r}, expected SIDE:BATCH:STEPS, whole numbers from 1, as in 12:32:700")
        stages.append(Stage(*map(int, numbers)))
    return tuple(stages)


@dataclass(frozen=True)
class TargetRecipe:
    """Settings of the target's training.

    Attributes:
        stages: in order.
        sketch: settings of the step before them.
        muon_rate: learning rate of matrices inside blocks.
        adam_rate: learning rate of everything else.
        warmup: steps of linear warm-up.
        fall: share of all steps over which the rate falls to zero.
        drop: share of captions replaced by the empty one, for classifier-free guidance.
        seed: of everything random.
        compile: compile the loss with torch.compile.
    """

    stages: tuple[Stage, ...] = (
        Stage(12, 32, 700),
        Stage(6, 96, 500),
        Stage(12, 32, 1300),
        Stage(24, 12, 700),
    )
    sketch: SketchRecipe = field(default_factory=SketchRecipe)
    muon_rate: float = 2.5e-3
    adam_rate: float = 1.5e-3
    warmup: int = 50
    fall: float = 0.15
    drop: float = 0.1
    seed: int = 0
    compile: bool = True

    @property
    def steps(self) -> int:
        """Steps of all stages."""
        return sum(stage.steps for stage in self.stages)

    def stage_at(self, step: int) -> Stage:
        """The stage that a step belongs to."""
        for stage in self.stages:
            if step < stage.steps:
                return stage
            step -= stage.steps
        return self.stages[-1]

    def rate_at(self, step: int) -> float:
        """Learning rate as a share of its peak."""
        fall = max(1, int(self.fall * self.steps))
        return min(1.0, (step + 1) / self.warmup, (self.steps - step) / fall)


def caption(row: dict[str, str], rng: np.random.Generator) -> str:
    """One wording for a picture: its label, sometimes with tags, mostly with its drawing style."""
    words = [row["text"]]
    tags = [t for t in row.get("tags", "").split("|") if t]
    if tags and rng.random() < 0.3:
        words += [str(t) for t in rng.permutation(tags)[: rng.integers(1, 3)]]
    if row.get("style") and rng.random() < 0.9:
        words.append(row["style"])
    return ", ".join(words)


@torch.no_grad()
def encode_pictures(tokenizer: VQTokenizer, pixels: np.ndarray, side: int) -> Int[Tensor, "B cells"]:
    """Codes of pictures shrunk (by area) to `side` cells."""
    codes = []
    for start in range(0, len(pixels), 64):
        x = to_float(pixels[start : start + 64], side * tokenizer.config.patch)
        codes.append(tokenizer.encode(x).flatten(1).to(torch.int16))
    return torch.cat(codes)


def _cached(path: Path, tokenizer: VQTokenizer, data: Pictures, side: int) -> Int[Tensor, "B cells"]:
    """Codes of pictures, kept in a file beside the resume state."""
    if path.exists():
        return load_file(path)["codes"]
    codes = encode_pictures(tokenizer, data.pixels, side)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_tensors(path, {"codes": codes})
    return codes


def optimisers(model: GridTransformer, recipe: TargetRecipe) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of the blocks, AdamW for the rest of what is trained."""
    matrices = [p for p in model.blocks.parameters() if p.ndim == 2]
    chosen = {id(p) for p in matrices}
    rest = [p for p in model.parameters() if id(p) not in chosen and p.requires_grad]
    return [
        Muon(matrices, lr=recipe.muon_rate, weight_decay=0.01),
        torch.optim.AdamW(rest, lr=recipe.adam_rate, betas=(0.9, 0.95), weight_decay=0.01),
    ]


def loss_of(
    model: GridTransformer, text: Int[Tensor, "B P"], codes: Int[Tensor, "B cells"], side: int
) -> Float[Tensor, ""]:
    """Mean cross-entropy per token, in nats."""
    hidden = model.teacher_forced(text, codes, side, side)
    return F.cross_entropy(model.head(hidden).flatten(0, 1), codes.flatten())


@torch.no_grad()
def evaluate(model: GridTransformer, prompts: PromptTokenizer, data: Pictures, codes: Tensor, side: int) -> float:
    """Cross-entropy of up to 96 pictures under their own label and style."""
    text = prompts(data.labels[:96], truncate=True)
    parts = [loss_of(model, text[i : i + 16], codes[i : i + 16].long(), side).item() for i in range(0, len(text), 16)]
    return float(np.mean(parts))


def train(
    data: Pictures,
    tokenizer: VQTokenizer,
    prompts: PromptTokenizer,
    out: Path,
    config: GridTransformerConfig,
    recipe: TargetRecipe,
    report: Callable[[str], None] = print,
) -> tuple[GridTransformer, dict[str, str]]:
    """Train on the split "train"; resumes from `out`.

    Args:
        data: pictures of every split.
        tokenizer: the finished VQ tokenizer.
        prompts: the finished prompt tokenizer.
        out: folder of the resume state.
        config: sizes of the model.
        recipe: settings; with more steps than before, training goes on from before the fall of the rate.
        report: called with a line now and then.

    Returns:
        The model and its held-out figures at the last stage.
    """
    tune_threads()
    torch.manual_seed(recipe.seed)
    model, train_data = GridTransformer(config), data.select("train")

    def words(picture: int, rng: np.random.Generator) -> str:
        return "" if rng.random() < recipe.drop else caption(train_data.rows[picture], rng)

    def encode(captions: list[str]) -> Int[Tensor, "B P"]:
        return prompts(captions, truncate=True)

    held = {name: part for name in ("pair", "concept") if (part := data.select(name)).rows}
    train_sketch(model.sketch, train_data, words, encode, out / "sketch", recipe.sketch, recipe.seed, report)
    errors = {
        n: sketch_error(model.sketch, encode(d.labels), d.pixels) for n, d in {"train": train_data, **held}.items()
    }
    report("sketch, squared error: " + ", ".join(f"{name} {error:.4f}" for name, error in errors.items()))
    model.sketch.requires_grad_(False)
    parts = dict(zip(("muon", "adam"), optimisers(model, recipe), strict=True))
    stable = Checkpoint(out / "stable", {"model": model, **parts})
    falling = Checkpoint(out / f"falling-{recipe.steps}", {"model": model, **parts})
    first = falling.resume() or stable.resume()
    sides = {stage.side for stage in recipe.stages}
    codes = {side: _cached(out / f"codes-{side}.safetensors", tokenizer, train_data, side) for side in sides}
    held_codes = {(n, s): encode_pictures(tokenizer, d.pixels[:96], s) for n, d in held.items() for s in sides}

    def held_out(side: int) -> dict[str, str]:
        parts = {n: evaluate(model, prompts, d, held_codes[n, side], side) for n, d in held.items()}
        return {f"nats per token, {name} left out": f"{nats:.4f}" for name, nats in parts.items()}

    objective = torch.compile(loss_of, dynamic=False) if recipe.compile else loss_of
    running = 0.0
    for step in range(first, recipe.steps):
        stage, rng = recipe.stage_at(step), np.random.default_rng((recipe.seed, step))
        chosen = epoch_batch(len(train_data.rows), stage.batch, step, (recipe.seed, 1))
        text = encode([words(int(i), rng) for i in chosen])
        batch = codes[stage.side][torch.from_numpy(chosen)].long()
        for optimiser, peak in zip(parts.values(), (recipe.muon_rate, recipe.adam_rate), strict=True):
            for group in optimiser.param_groups:
                group["lr"] = peak * recipe.rate_at(step)
            optimiser.zero_grad(set_to_none=True)
        loss = objective(model, text, batch, stage.side)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimiser in parts.values():
            optimiser.step()
        running = loss.item() if step == first else 0.95 * running + 0.05 * loss.item()
        if (step + 1) % 25 == 0:
            report(f"step {step + 1}/{recipe.steps} side {stage.side} loss {running:.4f}")
        if (step + 1) % 100 == 0 or step + 1 == recipe.steps:
            (stable if recipe.rate_at(step) == 1.0 or step < recipe.warmup else falling).save(step + 1)
        if (step + 1) % 250 == 0:
            report(f"step {step + 1} held-out " + ", ".join(f"{k} {v}" for k, v in held_out(stage.side).items()))
    figures = held_out(recipe.stages[-1].side)
    report("held-out " + ", ".join(f"{k} {v}" for k, v in figures.items()))
    return model, figures
