"""The trainer of all drafts; a `DraftTask` holds everything that depends on the drafter.

It runs on any number of processes (accelerate: `torchrun` or `accelerate launch`) with the same global batch. Step s
draws its examples from the random numbers of (seed, s), each process takes its share, and gradients are averaged. So
the parameters after a step depend on recipe and data only, and an interrupted training resumes to the same parameters.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from accelerate import Accelerator
from jaxtyping import Float
from torch import Tensor, nn

from spatialspec.core.errors import BadInput
from spatialspec.drafts.checkpoint import Checkpoint, check_finite, learning_rate
from spatialspec.drafts.progress import TrainingProgress
from spatialspec.drafts.recipes import Recipe
from spatialspec.drafts.task import DraftTask
from spatialspec.io.identity import facts_digest

if TYPE_CHECKING:
    from torch.distributed.checkpoint.stateful import Stateful


@dataclass
class Best:
    """The best drafts so far by held-out figures, and the figures before the first step.

    Attributes:
        step: after which they were evaluated.
        score: of the task.
        figures: held-out.
        before: held-out, of the untrained drafts.
        weights: in full precision.
    """

    step: int = -1
    score: float = -math.inf
    figures: Mapping[str, float] | None = None
    before: Mapping[str, float] | None = None
    weights: Mapping[str, Tensor] | None = None

    def update(self, step: int, score: float, figures: Mapping[str, float], drafts: nn.Module) -> bool:
        """Save the drafts if they are the best so far (of equal ones the later); return whether they are."""
        if not step:
            self.before = figures
        if not step or score < self.score:
            return False
        self.step, self.score, self.figures = step, score, figures
        self.weights = {name: tensor.detach().cpu().clone() for name, tensor in drafts.state_dict().items()}
        return True

    def state_dict(self) -> dict[str, Any]:
        """All fields."""
        return dict(vars(self))

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore all fields."""
        vars(self).update(state)


class _Student(nn.Module):
    """Drafts whose forward pass is the objective, as data parallelism requires."""

    def __init__(self, drafts: nn.Module, task: DraftTask) -> None:
        super().__init__()
        self.drafts, self._task = drafts, task

    def forward(self, batch: Any) -> Float[Tensor, ""]:
        return self._task.loss(self.drafts, batch)


def facts_of(task: DraftTask) -> dict[str, Any]:
    """Everything that the drafts depend on, under the keys of stored states."""
    return {"lesson": task.digest, **asdict(task.recipe)}


def state_folder(out: Path, fingerprint: str, task: DraftTask) -> Path:
    """Folder of the resume state of exactly this training: another target, recipe or data set has another folder."""
    return out / "state" / f"{fingerprint}-{facts_digest(facts_of(task))[:8]}"


def train(task: DraftTask, state: Path, accelerator: Accelerator, progress: TrainingProgress) -> tuple[nn.Module, Best]:
    """Train; resumes from the state in the folder `state`, and saves it there.

    Args:
        task: drafts, data and objective.
        state: folder of the resume state.
        accelerator: processes, device and trackers.
        progress: shows steps and figures; only that of the first process is used.

    Returns:
        The best drafts by held-out figures, frozen, on the accelerator's device, and the figures.

    Raises:
        BadInput: no examples, a batch that cannot be divided evenly, a loss, gradient or held-out score that is not
            finite, or a damaged state.
        OSError: the state could not be written; the previous one is intact.
    """
    recipe: Recipe = task.recipe
    if not len(task):
        raise BadInput("an empty data set", "at least one training image", "check the data")
    share, rest = divmod(recipe.batch, accelerator.num_processes)
    if rest:
        raise BadInput(f"batch {recipe.batch} for {accelerator.num_processes} processes", "a multiple")
    torch.manual_seed(recipe.seed)
    drafts = task.build().to(accelerator.device)
    for parameter in drafts.parameters():
        parameter.requires_grad_(parameter.numel() > 0)  # data parallelism waits for every gradient
    raw = torch.optim.AdamW(
        drafts.parameters(), lr=recipe.peak_rate, betas=(0.9, 0.95), weight_decay=recipe.weight_decay
    )
    best, facts = Best(), facts_of(task)
    parts: dict[str, Stateful] = {"drafts": drafts, "optimiser": raw, "best": best, "progress": progress}
    checkpoint = Checkpoint(state, parts, lambda step: facts)
    first = checkpoint.resume()
    student, optimiser = accelerator.prepare(_Student(drafts, task), raw)
    part = slice(accelerator.process_index * share, (accelerator.process_index + 1) * share)

    def evaluate(done: int) -> None:
        figures = task.evaluate(drafts.eval())
        drafts.train()
        score = task.score(figures)
        check_finite(score, "held-out score", done, state)
        new = best.update(done, score, figures, drafts)
        accelerator.log({f"held-out/{name}": value for name, value in figures.items()}, step=done)
        progress.evaluated(done, figures, new)

    progress.start(first, recipe.steps)
    with progress:
        if not first:
            evaluate(0)
        for step in range(first, recipe.steps):
            chosen, uniform = recipe.draw(step, len(task))
            loss = student(task.batch(torch.from_numpy(chosen[part]), torch.from_numpy(uniform[part])))
            mean, done = accelerator.reduce(loss.detach(), "mean").item(), step + 1
            check_finite(mean, "loss", done, state)
            rate = learning_rate(step, recipe.steps, recipe.peak_rate, recipe.warmup, recipe.floor)
            for group in optimiser.param_groups:
                group["lr"] = rate
            optimiser.zero_grad(set_to_none=True)
            accelerator.backward(loss)
            norm = accelerator.clip_grad_norm_(student.parameters(), recipe.clip)
            check_finite(float(norm), "norm of the gradient", done, state)
            optimiser.step()
            accelerator.log({"loss": mean, "rate": rate}, step=done)
            progress.step(done, mean)
            last = done == recipe.steps
            if last or done % recipe.evaluate_every == 0:
                evaluate(done)
            if accelerator.is_main_process and (last or done % recipe.save_every == 0):
                checkpoint.save(done)
    accelerator.wait_for_everyone()
    assert best.weights is not None
    drafts.load_state_dict(best.weights)
    return drafts.eval().requires_grad_(False), best
