"""The one trainer of drafts: what a drafter brings is a `Lesson`, everything else is here.

On one process or many (accelerate: `torchrun` or `accelerate launch`), with the same global batch either way: step s
draws its examples from the random numbers of (seed, s), each process takes its share, gradients are averaged. So the
parameters after a step depend on the recipe and the data alone, and a training that was killed goes on to the same.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from jaxtyping import Float
from torch import Tensor, nn

from spatialspec.core.errors import BadInput
from spatialspec.drafts.checkpoint import Checkpoint, Stateful, check_finite, learning_rate
from spatialspec.drafts.lesson import Best, Lesson, Recipe
from spatialspec.drafts.progress import TrainingProgress
from spatialspec.identity import facts_digest


class _Student(nn.Module):
    """Drafts whose forward pass is the objective, as data parallelism wants it."""

    def __init__(self, drafts: nn.Module, lesson: Lesson) -> None:
        super().__init__()
        self.drafts, self._lesson = drafts, lesson

    def forward(self, batch: Any) -> Float[Tensor, ""]:
        return self._lesson.loss(self.drafts, batch)


def facts_of(lesson: Lesson) -> dict[str, Any]:
    """All that the drafts depend on."""
    return {"lesson": lesson.digest, **asdict(lesson.recipe)}


def state_folder(out: Path, fingerprint: str, lesson: Lesson) -> Path:
    """Where the resume state of this very training lies: another target, recipe or data set has another folder."""
    return out / "state" / f"{fingerprint}-{facts_digest(facts_of(lesson))[:8]}"


def train(lesson: Lesson, state: Path, accelerator: Accelerator, progress: TrainingProgress) -> tuple[nn.Module, Best]:
    """Train; goes on from the state in `state`, and leaves one there.

    Args:
        lesson: drafts, data and objective.
        state: folder of the resume state.
        accelerator: processes, device and trackers.
        progress: shows what happens; only that of the first process is used.

    Returns:
        The best drafts by held-out figures, frozen, on the accelerator's device, and the figures.

    Raises:
        BadInput: no examples, a batch that cannot be shared evenly, a loss, gradient or held-out score that is
            no number, or a state that is damaged.
        OSError: the state could not be written; the last one is whole.
    """
    recipe: Recipe = lesson.recipe
    if not len(lesson):
        raise BadInput("an empty data set", "something to train drafts on", "check the data")
    share, rest = divmod(recipe.batch, accelerator.num_processes)
    if rest:
        raise BadInput(f"batch {recipe.batch} for {accelerator.num_processes} processes", "a multiple")
    torch.manual_seed(recipe.seed)
    drafts = lesson.build().to(accelerator.device)
    for parameter in drafts.parameters():
        parameter.requires_grad_(parameter.numel() > 0)  # no heads in a direction: nothing to wait for
    raw = torch.optim.AdamW(
        drafts.parameters(), lr=recipe.peak_rate, betas=(0.9, 0.95), weight_decay=recipe.weight_decay
    )
    best = Best()
    facts = facts_of(lesson)
    parts: dict[str, Stateful] = {"drafts": drafts, "optimiser": raw, "best": best, "progress": progress}
    checkpoint = Checkpoint(state, parts, lambda step: facts)
    first = checkpoint.resume()
    student, optimiser = accelerator.prepare(_Student(drafts, lesson), raw)
    mine = slice(accelerator.process_index * share, (accelerator.process_index + 1) * share)

    def evaluate(done: int) -> None:
        figures = lesson.evaluate(drafts.eval())
        drafts.train()
        score = lesson.score(figures)
        check_finite(score, "held-out score", done, state)
        new = best.take(done, score, figures, drafts)
        accelerator.log({f"held-out/{name}": value for name, value in figures.items()}, step=done)
        progress.evaluated(done, figures, new)

    progress.start(first, recipe.steps)
    with progress:
        if not first:
            evaluate(0)
        for step in range(first, recipe.steps):
            chosen, lots = recipe.draw(step, len(lesson))
            loss = student(lesson.batch(torch.from_numpy(chosen[mine]), torch.from_numpy(lots[mine])))
            mean = accelerator.reduce(loss.detach(), "mean").item()
            check_finite(mean, "loss", step + 1, state)
            rate = learning_rate(step, recipe.steps, recipe.peak_rate, recipe.warmup, recipe.floor)
            for group in optimiser.param_groups:
                group["lr"] = rate
            optimiser.zero_grad(set_to_none=True)
            accelerator.backward(loss)
            norm = accelerator.clip_grad_norm_(student.parameters(), recipe.clip)
            check_finite(float(norm), "norm of the gradient", step + 1, state)
            optimiser.step()
            done = step + 1
            accelerator.log({"loss": mean, "rate": rate}, step=done)
            progress.step(done, mean)
            if done % recipe.evaluate_every == 0 or done == recipe.steps:
                evaluate(done)
            if accelerator.is_main_process and (done % recipe.save_every == 0 or done == recipe.steps):
                checkpoint.save(done)
    accelerator.wait_for_everyone()
    assert best.weights is not None
    drafts.load_state_dict(best.weights)
    return drafts.eval().requires_grad_(False), best
