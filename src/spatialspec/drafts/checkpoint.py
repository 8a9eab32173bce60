"""Parts of trainings: resume state (safetensors and JSON, replaced atomically), learning rate, optimiser step."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from spatialspec.core.errors import BadInput
from spatialspec.io.identity import check_same
from spatialspec.io.tensors import write_tensors

if TYPE_CHECKING:
    from torch.distributed.checkpoint.stateful import Stateful


class Checkpoint:
    """Saves and restores named parts and the number of finished steps in `folder/state.safetensors`.

    Args:
        folder: created if missing.
        parts: saved objects, by name.
        facts: function from steps to everything that the state depends on (data, recipe, model), as JSON values by
            name. They are saved with the state, and a state with other facts is refused. None accepts every state.

    Attributes:
        stored: facts of the loaded state.
    """

    def __init__(
        self, folder: Path, parts: dict[str, Stateful], facts: Callable[[int], Mapping[str, object]] | None = None
    ) -> None:
        self.path = folder / "state.safetensors"
        self.parts, self.facts = parts, facts
        self.stored: dict[str, Any] = {}
        folder.mkdir(parents=True, exist_ok=True)

    def save(self, step: int) -> None:
        """Write the state beside the old one, then replace it."""
        tensors: dict[str, Tensor] = {}
        plain = {name: _flatten(part.state_dict(), name, tensors) for name, part in self.parts.items()}
        metadata = {"step": str(step), "plain": json.dumps(plain)}
        if self.facts is not None:
            metadata["facts"] = json.dumps(self.facts(step))
        write_tensors(self.path, tensors, metadata)

    def resume(self) -> int:
        """Load the state if there is one; return the number of finished steps, 0 without.

        Raises:
            BadInput: the file is damaged, or holds the state of another training: other data, recipe or model.
        """
        if not self.path.exists():
            return 0
        try:
            with safe_open(self.path, "pt") as file:
                metadata = file.metadata()
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            step, plain = int(metadata["step"]), json.loads(metadata["plain"])
            stored = json.loads(metadata.get("facts", "null"))
            if step < 0:
                raise ValueError(f"step {step}")
        except (OSError, SafetensorError, TypeError, KeyError, ValueError, RecursionError) as error:
            got, advice = f"a damaged or foreign file ({error})", "delete it to start again"
            raise BadInput(got, "a resume state", advice, self.path) from error
        if self.facts is not None:
            check_same(self.facts(step), stored, self.path, "choose another --out, or delete it to start again")
        self.stored = stored or {}
        for name, part in self.parts.items():
            try:
                part.load_state_dict(_restore(plain[name], tensors))
            except Exception as error:  # parts of any kind, of a file that may hold anything
                got = f"a state of other sizes ({(str(error) or type(error).__name__).splitlines()[-1].strip()})"
                raise BadInput(got, "a state of this training", "use another folder", self.path) from error
        return step

    def start(self, steps: int, report: Callable[[str], None], what: str = "") -> int:
        """As `resume`, with a line about the remaining steps."""
        first = self.resume()
        if first:
            report(f"{what}{'is finished' if first >= steps else 'resumes'}: step {first}/{steps}")
        return first


def check_finite(value: float, what: str, step: int, folder: Path) -> None:
    """Refuse an infinite number or NaN before the state is saved.

    Raises:
        BadInput: it is not finite.
    """
    if not math.isfinite(value):
        advice = "lower the learning rate or check the data and the target"
        raise BadInput(
            f"a {what} of {value}", "a number", f"{advice}; the last good state is in {folder}", f"step {step}"
        )


def _flatten(value: Any, path: str, tensors: dict[str, Tensor]) -> Any:
    """Move tensors out of nested dicts and lists into `tensors`; keys are stored with their type."""
    if isinstance(value, Tensor):
        tensors[path] = value.detach().contiguous().clone()
        return {"tensor": path}
    if isinstance(value, dict):
        items = [[type(k).__name__, str(k), _flatten(v, f"{path}.{k}", tensors)] for k, v in value.items()]
        return {"dict": items}
    if isinstance(value, (list, tuple)):
        return {"list": [_flatten(v, f"{path}.{i}", tensors) for i, v in enumerate(value)]}
    return {"plain": value}


def _restore(value: Any, tensors: dict[str, Tensor]) -> Any:
    kind, content = next(iter(value.items()))
    if kind == "tensor":
        return tensors[content]
    if kind == "dict":
        return {int(k) if t == "int" else k: _restore(v, tensors) for t, k, v in content}
    if kind == "list":
        return [_restore(v, tensors) for v in content]
    return content


def learning_rate(step: int, steps: int, peak: float, warmup: int = 50, floor: float = 0.05) -> float:
    """Linear warm-up, then cosine from `peak` to `floor * peak`."""
    if step < warmup:
        return peak * (step + 1) / warmup
    progress = min(1.0, (step - warmup) / max(1, steps - warmup))
    return peak * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * progress)))


def update(optimiser: torch.optim.Optimizer, loss: Tensor, rate: float, clip: float | None = None) -> None:
    """One step of an optimiser at a learning rate, the norm of the gradient clipped."""
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    if clip is not None:
        torch.nn.utils.clip_grad_norm_([p for group in optimiser.param_groups for p in group["params"]], clip)
    for group in optimiser.param_groups:
        group["lr"] = rate
    optimiser.step()


def tune_threads(processes: int = 1) -> None:
    """Use every core of this process, shared by `processes`: training on a CPU scales with them."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    torch.set_num_threads(max(1, cores // processes))
