"""What `gpu_check.py` measures on, and how much; captured passes of the tests where there is no GPU."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from gpu_models import MODELS, Model

from spatialspec.core.grid import Grid
from spatialspec.targets.runners import Captured, Runner, runner

TESTS = Path(__file__).resolve().parent.parent / "tests"


@dataclass(frozen=True)
class Machine:
    """What is measured on, and how much.

    Attributes:
        device: of PyTorch.
        dtype: of the random models.
        bandwidth: bytes per second of a copy.
        captured: makes a runner that captures passes.
        models: random models.
        slots: of the timed passes.
        repeats: passes of each width, of which the median counts.
        passes: of each method that are timed by stage.
        icons: grid of the images of icons; None is the model's own.
        images: drawn for each figure.
        spare: bytes that a model needs beside its weights: keys and values, scores of an image, captured passes.
    """

    device: torch.device
    dtype: torch.dtype
    bandwidth: float
    captured: Callable[[], Captured]
    models: Sequence[Model] = MODELS
    slots: Sequence[int] = (1, 32, 64, 96, 128, 256)
    repeats: int = 15
    passes: int = 40
    icons: Grid | None = None
    images: int = 3
    spare: float = 6e9

    def runners(self) -> dict[str, Runner]:
        """Captured and eager."""
        return {"captured": self.captured(), "eager": Runner()}


def helpers() -> bool:
    """Make the helpers of the tests importable; False if this checkout has none, or they need what is missing."""
    if str(TESTS) not in sys.path:
        sys.path.append(str(TESTS))
    try:
        import helpers.real_targets  # noqa: F401
    except ImportError:
        return False
    return True


def captured_passes(device: torch.device) -> Callable[[], Captured]:
    """Captured passes of a device; on the CPU the pretended ones of the tests.

    Raises:
        ImportError: this is the CPU, and there are no tests.
    """
    if device.type == "cuda":
        return lambda: runner("captured", {device})  # type: ignore[return-value]
    helpers()
    from helpers.replays import replayed

    return replayed
