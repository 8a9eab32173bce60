"""`spatialspec train tokenizer`: VQ-VAE on random crops, codebook by exponential moving average.

Loss = Charbonnier(x, x_hat) + beta * (1 - <z_e, e_k>), straight-through gradient (van den Oord et al., 2017, eq. 3);
the codebook follows the mean of its latents (appendix A.1), and a code unused for `restart_every` steps is moved to a
latent of the current batch. It trains in float32, as the nearest code is chosen among close neighbours.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from spatialspec.core.errors import BadInput
from spatialspec.drafts.checkpoint import Checkpoint, check_finite, learning_rate, tune_threads, update
from spatialspec.drafts.image_folder import CaptionedImages
from spatialspec.drafts.limits import check_memory, check_settings
from spatialspec.targets.icons.vq import VQConfig, VQTokenizer
from spatialspec.targets.images import signed


@dataclass(frozen=True)
class TokenizerRecipe:
    """Settings of the tokenizer's training.

    Attributes:
        steps: optimiser steps.
        batch: crops per step.
        crop: pixels a side of a crop, a multiple of the patch.
        peak_rate: AdamW learning rate after warm-up, decayed by cosine to a twentieth.
        beta: weight of the commitment loss.
        decay: of the codebook's moving average.
        restart_every: steps after which unused codes are moved.
        seed: of everything random.
    """

    steps: int = 1200
    batch: int = 32
    crop: int = 64
    peak_rate: float = 1.5e-3
    beta: float = 0.25
    decay: float = 0.98
    restart_every: int = 50
    seed: int = 0

    def __post_init__(self) -> None:
        check_settings(self, steps=1, batch=1, crop=1, restart_every=1, seed=0)


def to_float(pixels: UInt8[Tensor | np.ndarray, "B H W 3"], side: int | None = None) -> Float[Tensor, "B 3 h w"]:
    """Bytes -> floats in [-1, 1] on the same device, shrunk (by area) to `side` pixels unless that is None."""
    x = signed(torch.as_tensor(pixels))
    return x if side in (None, x.shape[-1]) else F.interpolate(x, size=(side, side), mode="area")


class Codebook:
    """Moving averages behind the codebook."""

    def __init__(self, model: VQTokenizer, recipe: TokenizerRecipe) -> None:
        self.model, self.recipe = model, recipe
        self.sum = model.codebook.clone()
        self.count = torch.ones_like(self.sum[:, 0])
        self.used = torch.zeros_like(self.count)

    @torch.no_grad()
    def update(
        self, latent: Float[Tensor, "N C"], codes: Int[Tensor, "N"], step: int, rng: np.random.Generator
    ) -> None:
        """One step of the moving average; every `restart_every` steps unused codes move to latents chosen by `rng`."""
        count = torch.bincount(codes, minlength=len(self.count)).float()
        total = torch.zeros_like(self.sum).index_add_(0, codes, latent)
        self.count.lerp_(count, 1 - self.recipe.decay)
        self.sum.lerp_(total, 1 - self.recipe.decay)
        self.used += count
        if (step + 1) % self.recipe.restart_every == 0 and step < 0.8 * self.recipe.steps:
            dead = (self.used < 1).nonzero().flatten()
            self.sum[dead] = latent[torch.from_numpy(rng.integers(len(latent), size=len(dead))).to(latent.device)]
            self.count[dead] = 1.0
            self.used.zero_()
        self.model.codebook.copy_(F.normalize(self.sum, dim=-1))

    def state_dict(self) -> dict[str, Tensor]:
        """The moving averages."""
        return {"sum": self.sum, "count": self.count, "used": self.used}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Load the moving averages to the device of the codebook."""
        self.sum, self.count, self.used = (state[name].to(self.sum.device) for name in ("sum", "count", "used"))


@torch.no_grad()
def psnr(model: VQTokenizer, pixels: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB of the reconstruction, from the mean squared error over all images.

    Args:
        model: on any device.
        pixels: uint8 (images, side, side, 3).
    """
    error = 0.0
    for start in range(0, len(pixels), 64):
        x = to_float(torch.from_numpy(pixels[start : start + 64]).to(model.codebook.device))
        error += F.mse_loss(model.decode(model.encode(x)), x, reduction="sum").item()
    return 10 * math.log10(4.0 / (error / pixels.size))


def train(
    data: CaptionedImages, out: Path, config: VQConfig, recipe: TokenizerRecipe, report: Callable[[str], None] = print
) -> VQTokenizer:
    """Train on the split "train", on a GPU where there is one; resumes from `out` if it holds a state.

    Args:
        data: images of every split.
        out: folder of the resume state.
        config: sizes of the tokenizer.
        recipe: settings.
        report: called with progress lines, which have the PSNR on the held-out concepts if there are any.

    Returns:
        The tokenizer, on the CPU.

    Raises:
        BadInput: the state is damaged or that of other data, sizes or settings, or the loss is no number.
    """
    device = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else torch.device("cpu")
    side = data.pixels.shape[1]
    if recipe.crop > side or recipe.crop % config.patch:
        raise BadInput(f"crop {recipe.crop}", f"a multiple of {config.patch} up to {side}", "choose another")
    check_memory(recipe.batch * recipe.crop**2 * 3 * 4 * 4, f"a batch of {recipe.batch} crops", "make --batch smaller")
    tune_threads()
    torch.manual_seed(recipe.seed)
    model = VQTokenizer(config).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    codebook = Codebook(model, recipe)
    optimiser = torch.optim.AdamW(model.parameters(), lr=recipe.peak_rate, betas=(0.9, 0.95), weight_decay=0.01)
    facts = {"data": data.digest, "sizes": asdict(config), **asdict(recipe)}
    checkpoint = Checkpoint(out, {"model": model, "optimiser": optimiser, "codebook": codebook}, lambda step: facts)
    first = checkpoint.start(recipe.steps, report)
    pixels, held_out = data.select("train").pixels, data.select("concept").pixels
    for step in range(first, recipe.steps):
        rng = np.random.default_rng((recipe.seed, step))
        x = to_float(torch.from_numpy(_crops(pixels, recipe, rng)).to(device)).to(memory_format=torch.channels_last)
        latent = model.latent(x)
        codes = model.nearest(latent.detach())
        code = model.codebook[codes]
        commitment = (1 - (latent * code).sum(-1)).mean()
        image = model.decode_latent(latent + (code - latent).detach())
        loss = ((image - x).square() + 1e-4).sqrt().mean() + recipe.beta * commitment
        update(optimiser, loss, learning_rate(step, recipe.steps, recipe.peak_rate), 1.0)
        codebook.update(latent.detach().flatten(0, 2), codes.flatten(), step, rng)
        if (step + 1) % 100 == 0 or step + 1 == recipe.steps:
            figure = f" held-out {psnr(model, held_out[:128]):.2f} dB" if len(held_out) else ""
            check_finite(loss.item(), "loss", step + 1, out)
            report(f"step {step + 1} loss {loss.item():.4f}{figure}")
            checkpoint.save(step + 1)
    return model.cpu()


def read_tokenizer(folder: Path) -> VQTokenizer:
    """The trained tokenizer, of the recipe's sizes, from its resume state; weights rounded to bfloat16, as they ship.

    A target must learn the codes that the shipped tokenizer gives: many codes are so near to each other that the
    rounding changes one or two of ten.

    Raises:
        BadInput: there is none, or it is damaged, or its training is not finished.
    """
    if not (folder / "state.safetensors").is_file():
        raise BadInput(f"no state.safetensors in {folder}", "a tokenizer", "run `spatialspec train tokenizer`")
    model = VQTokenizer(VQConfig())
    state = Checkpoint(folder, {"model": model})
    step = state.resume()
    steps = state.stored.get("steps", step)  # the first version saved none
    if step < steps:
        raise BadInput(f"a tokenizer after step {step}", f"{steps}", "let `spatialspec train tokenizer` finish", folder)
    with torch.no_grad():
        for weight in model.state_dict().values():
            weight.copy_(weight.bfloat16())
    return model.eval()


def _crops(
    pixels: UInt8[np.ndarray, "N H W 3"], recipe: TokenizerRecipe, rng: np.random.Generator
) -> UInt8[np.ndarray, "B crop crop 3"]:
    side, crop = pixels.shape[1], recipe.crop
    chosen = rng.integers(len(pixels), size=recipe.batch)
    top, left = rng.integers(side - crop + 1, size=(2, recipe.batch))
    cut = [pixels[i, t : t + crop, x : x + crop] for i, t, x in zip(chosen, top, left, strict=True)]
    return np.stack(cut)
