"""`spatialspec train target`: the sketch first, then the AR transformer of the embedded model, small grids first.

The loss is the cross-entropy of the next token under teacher forcing; the sketch is frozen. A stage has images of one
size: half the side costs a fifth, a quarter a fifteenth; the last stage has the full size. The learning rate warms up,
is constant, and falls to zero at the end; the state before the fall is saved, so that a longer recipe can resume from
it. Each time, an image is shifted by a few pixels, which changes its codes. Some tokens that the transformer reads are
replaced, as in decoding they can be wrong too. On a GPU the training uses bfloat16.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from spatialspec.drafts.checkpoint import Checkpoint, check_finite, tune_threads
from spatialspec.drafts.image_folder import CaptionedImages, caption
from spatialspec.io.identity import facts_digest, weights_digest
from spatialspec.lab.icons.data import epoch_batch
from spatialspec.lab.icons.muon import Muon
from spatialspec.lab.icons.sketch import sketch_error, train_sketch
from spatialspec.lab.icons.target_recipe import TargetRecipe, check_room
from spatialspec.lab.icons.tokenizer import to_float
from spatialspec.targets.icons.sketch import Sketch
from spatialspec.targets.icons.text import PromptTokenizer, train_bpe
from spatialspec.targets.icons.transformer import GridTransformer, GridTransformerConfig
from spatialspec.targets.icons.vq import VQTokenizer

SAVE_EVERY = 120  # seconds between two resume states
SHOWN = 96  # held-out images that nats are measured on


def prompt_tokenizer(images: CaptionedImages, words: int, length: int) -> PromptTokenizer:
    """BPE tokenizer of the captions, tags and styles of the training images; deterministic.

    Args:
        images: of every split.
        words: largest vocabulary.
        length: of a prompt, in tokens.
    """
    rows = images.select("train").rows
    captions = [", ".join([r["text"], *r.get("tags", "").split("|"), r.get("style", "")]) for r in rows]
    return PromptTokenizer(train_bpe(captions, words), length)


@torch.no_grad()
def encode_images(tokenizer: VQTokenizer, pixels: UInt8[Tensor, "B H W 3"], side: int) -> Int[Tensor, "B cells"]:
    """Codes of images shrunk (by area) to `side` cells, on their device."""
    parts = [to_float(part, side * tokenizer.config.patch) for part in pixels.split(64)]
    return torch.cat([tokenizer.encode(x).flatten(1).to(torch.int16) for x in parts])


def moved(
    pixels: UInt8[Tensor, "B H W 3"], down: Int[np.ndarray, "B"], right: Int[np.ndarray, "B"]
) -> UInt8[Tensor, "B H W 3"]:
    """Shift each image by its number of pixels; new pixels repeat the border."""
    row, column = (torch.arange(size, device=pixels.device) for size in pixels.shape[1:3])
    rows = (row - torch.from_numpy(down).to(pixels.device)[:, None]).clamp(0, len(row) - 1)
    columns = (column - torch.from_numpy(right).to(pixels.device)[:, None]).clamp(0, len(column) - 1)
    image = torch.arange(len(pixels), device=pixels.device)[:, None, None]
    return pixels[image, rows[:, :, None], columns[:, None, :]]


def optimisers(model: GridTransformer, recipe: TargetRecipe) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of the layers, AdamW for all other trained parameters."""
    matrices = [p for p in model.blocks.parameters() if p.ndim == 2]
    chosen = {id(p) for p in matrices}
    rest = [p for p in model.parameters() if id(p) not in chosen and p.requires_grad]
    return [
        Muon(matrices, lr=recipe.muon_rate, weight_decay=0.01),
        torch.optim.AdamW(rest, lr=recipe.adam_rate, betas=(0.9, 0.95), weight_decay=0.01),
    ]


def misread(codes: Int[Tensor, "B cells"], share: float, generator: torch.Generator) -> Int[Tensor, "B cells"]:
    """Replace a share of the codes, each by the code of a random cell of the same image."""
    draw = torch.rand((2, *codes.shape), generator=generator, device=codes.device)
    other = codes.gather(1, (draw[1] * codes.shape[1]).long())
    return torch.where(draw[0] < share, other, codes)


def loss_of(
    model: GridTransformer,
    text: Int[Tensor, "B P"],
    codes: Int[Tensor, "B cells"],
    read: Int[Tensor, "B cells"],
    side: int,
) -> Float[Tensor, ""]:
    """Mean cross-entropy of `codes` in nats per token, where the model reads the tokens `read`."""
    hidden = model.teacher_forced(text, read, side, side)
    return F.cross_entropy(model.head(hidden).flatten(0, 1), codes.flatten())


@torch.no_grad()
def nats(
    model: GridTransformer,
    tokenizer: VQTokenizer,
    text: Int[Tensor, "B P"],
    pixels: UInt8[np.ndarray, "N H W 3"],
    side: int,
) -> float:
    """Mean cross-entropy of the first B images, of `side` cells a side, under their captions, in nats per token."""
    codes = encode_images(tokenizer, torch.from_numpy(pixels[: len(text)]).to(text.device), side).long()
    losses = [loss_of(model, t, c, c, side) for t, c in zip(text.split(16), codes.split(16), strict=True)]
    return torch.stack(losses).mean().item()


def train(
    data: CaptionedImages,
    tokenizer: VQTokenizer,
    prompts: PromptTokenizer,
    out: Path,
    config: GridTransformerConfig,
    recipe: TargetRecipe,
    report: Callable[[str], None] = print,
    sketch: Sketch | None = None,
) -> tuple[GridTransformer, dict[str, str]]:
    """Train on the split "train", in bfloat16 where there is a GPU; resumes from `out`.

    Args:
        data: images of every split.
        tokenizer: the finished VQ tokenizer.
        prompts: the finished prompt tokenizer.
        out: folder of the resume state.
        config: sizes of the model.
        recipe: settings; with more steps than before, the training resumes from before the fall of the rate.
        report: called with progress lines.
        sketch: finished, of the sizes of `config`; None trains one.

    Returns:
        The model, on the CPU, and its held-out figures at the last stage.

    Raises:
        BadInput: a state in `out` is damaged or of another training, the loss is no number, or memory is too small.
    """
    check_room(config, recipe, tokenizer.config.patch)
    gpu = torch.accelerator.is_available()
    accelerator = Accelerator(cpu=not gpu, mixed_precision="bf16" if gpu else "no")
    device = accelerator.device
    tune_threads()
    if gpu:
        torch.set_float32_matmul_precision("high")
    torch.manual_seed(recipe.seed)
    model, vq = GridTransformer(config).to(device), copy.deepcopy(tokenizer).to(device)
    train_data = data.select("train")
    held = {name: part for name in ("pair", "concept") if (part := data.select(name)).rows}
    pixels = torch.from_numpy(train_data.pixels).to(device)

    def words(image: int, rng: np.random.Generator) -> str:
        return "" if rng.random() < recipe.drop else caption(train_data.rows[image], rng)

    def encode(captions: list[str]) -> Int[Tensor, "B P"]:
        return prompts(captions, truncate=True).to(device)

    facts = {
        "data": data.digest,
        "words": f"{config.text_vocabulary} {facts_digest({'bpe': prompts.tokenizer.to_str()})}",
        "sizes": asdict(config),
        "drop": recipe.drop,
    }
    if sketch is None:
        train_sketch(model.sketch, pixels, words, encode, out / "sketch", recipe.sketch, recipe.seed, report, facts)
    else:
        model.sketch.load_state_dict(sketch.state_dict())
        facts["sketch"] = weights_digest(sketch)
    errors = {
        n: sketch_error(model.sketch, encode(d.labels), d.pixels) for n, d in (("train", train_data), *held.items())
    }
    report("sketch, squared error: " + ", ".join(f"{name} {error:.4f}" for name, error in errors.items()))
    model.sketch.requires_grad_(False)
    parts = dict(zip(("muon", "adam"), optimisers(model, recipe), strict=True))
    facts |= {"tokenizer": weights_digest(vq), **recipe.facts()}
    falling = Checkpoint(out / f"falling-{recipe.steps}", {"model": model, **parts}, lambda step: facts)
    stable = Checkpoint(
        out / "stable", {"model": model, **parts}, lambda step: {**facts, **recipe.facts_before_the_fall(step)}
    )
    first = falling.start(recipe.steps, report) or stable.start(recipe.steps, report)
    objective = torch.compile(loss_of, dynamic=False) if recipe.compile else loss_of

    def held_out(side: int) -> dict[str, str]:
        texts = {name: encode(part.labels[:SHOWN]) for name, part in held.items()}
        with accelerator.autocast():
            values = {name: nats(model, vq, text, held[name].pixels, side) for name, text in texts.items()}
        return {f"nats per token, {name} left out": f"{value:.4f}" for name, value in values.items()}

    losses: list[Tensor] = []
    saved = time.monotonic()
    for step in range(first, recipe.steps):
        stage, rng = recipe.stage_at(step), np.random.default_rng((recipe.seed, step))
        chosen = epoch_batch(len(pixels), stage.batch, step, (recipe.seed, 1))
        text = encode([words(int(i), rng) for i in chosen])
        batch = pixels[torch.from_numpy(chosen).to(device)]
        batch = moved(batch, *rng.integers(-recipe.shift, recipe.shift + 1, size=(2, len(chosen))))
        for optimiser, peak in zip(parts.values(), (recipe.muon_rate, recipe.adam_rate), strict=True):
            for group in optimiser.param_groups:
                group["lr"] = peak * recipe.rate_at(step)
            optimiser.zero_grad(set_to_none=True)
        codes = encode_images(vq, batch, stage.side).long()
        read = misread(codes, recipe.noise, torch.Generator(device).manual_seed(int(rng.integers(2**63))))
        with accelerator.autocast():
            loss = objective(model, text, codes, read, stage.side)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimiser in parts.values():
            optimiser.step()
        losses.append(loss.detach())
        last = step + 1 == recipe.steps or recipe.falls(step + 1) != recipe.falls(step)  # of its kind of state
        save = last or time.monotonic() - saved > SAVE_EVERY
        if save or (step + 1) % 25 == 0:
            mean = torch.stack(losses).mean().item()
            check_finite(mean, "loss", step + 1, out)
            report(f"step {step + 1}/{recipe.steps} side {stage.side} loss {mean:.4f}")
            losses.clear()
        if save:
            (falling if recipe.falls(step) else stable).save(step + 1)
            saved = time.monotonic()
        if (step + 1) % 250 == 0:
            report(f"step {step + 1} held-out " + ", ".join(f"{k} {v}" for k, v in held_out(stage.side).items()))
    figures = held_out(recipe.stages[-1].side)
    report("held-out " + ", ".join(f"{k} {v}" for k, v in figures.items()))
    return model.cpu(), figures
