"""The first step of `spatialspec train target`: the sketch, from captions to pixels, before any token is predicted.

Its loss is the squared error of the pixels. An image costs a thousandth of its cost in the transformer, so the sketch
sees every image dozens of times, the transformer a few times.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Int, UInt8
from torch import Tensor

from spatialspec.drafts.checkpoint import Checkpoint, check_finite, update
from spatialspec.drafts.limits import check_settings
from spatialspec.lab.icons.data import epoch_batch
from spatialspec.lab.icons.tokenizer import to_float
from spatialspec.targets.icons.sketch import Sketch

EVERY = 500  # steps between two resume states


@dataclass(frozen=True)
class SketchRecipe:
    """Settings of the sketch's training.

    Attributes:
        steps: optimiser steps.
        batch: images per step.
        rate: peak learning rate of AdamW.
        warmup: steps of linear warm-up.
        fall: share of all steps over which the rate falls to zero.
    """

    steps: int = 16000
    batch: int = 64
    rate: float = 2e-3
    warmup: int = 100
    fall: float = 0.4

    def __post_init__(self) -> None:
        check_settings(self, steps=1, batch=1, warmup=1)

    def rate_at(self, step: int) -> float:
        """Learning rate of a step."""
        return self.rate * min(1.0, (step + 1) / self.warmup, (self.steps - step) / (self.fall * self.steps))


@torch.no_grad()
def sketch_error(sketch: Sketch, text: Int[Tensor, "N P"], pixels: UInt8[np.ndarray, "N H W 3"]) -> float:
    """Mean squared error of sketches, pixels from -1 to 1."""
    errors = []
    for start in range(0, len(text), 64):
        drawn = sketch.draw(sketch(text[start : start + 64]))
        real = to_float(torch.from_numpy(pixels[start : start + 64]).to(text.device), drawn.shape[-1])
        errors.append((drawn - real).square().flatten(1).mean(1))
    return torch.cat(errors).mean().item()


def train_sketch(
    sketch: Sketch,
    pixels: UInt8[Tensor, "N H W 3"],
    words: Callable[[int, np.random.Generator], str],
    encode: Callable[[list[str]], Int[Tensor, "B P"]],
    out: Path,
    recipe: SketchRecipe,
    seed: int,
    report: Callable[[str], None],
    facts: Mapping[str, object] | None = None,
) -> None:
    """Train in place; resumes from `out`, and does nothing if that is finished.

    Args:
        sketch: to be trained.
        pixels: images of the training split, on the device of the sketch.
        words: a random caption of an image, by its index.
        encode: captions to BPE tokens.
        out: folder of the resume state.
        recipe: settings.
        seed: of everything random.
        report: called with progress lines.
        facts: everything that the result depends on besides recipe and seed; see :class:`Checkpoint`.
    """
    optimiser = torch.optim.AdamW(sketch.parameters(), lr=recipe.rate, betas=(0.9, 0.98), weight_decay=0.01)
    all_facts = {**(facts or {}), "seed": seed, **{f"sketch {name}": value for name, value in asdict(recipe).items()}}
    checkpoint = Checkpoint(out, {"sketch": sketch, "adam": optimiser}, lambda step: all_facts)
    losses: list[Tensor] = []
    first = checkpoint.start(recipe.steps, report, "the sketch ")
    for step in range(first, recipe.steps):
        rng = np.random.default_rng((seed, 2, step))
        chosen = epoch_batch(len(pixels), recipe.batch, step, (seed, 3))
        drawn = sketch.draw(sketch(encode([words(int(i), rng) for i in chosen])))
        loss = F.mse_loss(drawn, to_float(pixels[torch.from_numpy(chosen).to(pixels.device)], drawn.shape[-1]))
        update(optimiser, loss, recipe.rate_at(step), 1.0)
        losses.append(loss.detach())
        if (step + 1) % EVERY == 0 or step + 1 == recipe.steps:
            mean = torch.stack(losses).mean().item()
            check_finite(mean, "squared error", step + 1, out)
            report(f"sketch, step {step + 1}/{recipe.steps} squared error {mean:.4f}")
            losses.clear()
            checkpoint.save(step + 1)
