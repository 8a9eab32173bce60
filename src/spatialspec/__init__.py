"""spatialspec: spatial speculative decoding for autoregressive image generators."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.2.0"

if TYPE_CHECKING:
    from spatialspec.core.errors import BadInput
    from spatialspec.core.grid import Grid
    from spatialspec.core.sampling import Sampling
    from spatialspec.core.step import Step
    from spatialspec.drafts.registry import DraftKind
    from spatialspec.generation import Report
    from spatialspec.integrations.custom_generate import transformers_generate
    from spatialspec.integrations.glm_image_pipeline import accelerate
    from spatialspec.methods.method import Method
    from spatialspec.output import Output
    from spatialspec.pipeline import SpatialPipeline
    from spatialspec.plugins import register
    from spatialspec.targets.loading import wrap
    from spatialspec.targets.registry import TargetKind

_HOMES = {
    "BadInput": "core.errors",
    "DraftKind": "drafts.registry",
    "Grid": "core.grid",
    "Method": "methods.method",
    "Output": "output",
    "Report": "generation",
    "Sampling": "core.sampling",
    "SpatialPipeline": "pipeline",
    "Step": "core.step",
    "TargetKind": "targets.registry",
    "accelerate": "integrations.glm_image_pipeline",
    "register": "plugins",
    "transformers_generate": "integrations.custom_generate",
    "wrap": "targets.loading",
}
__all__ = [
    "BadInput", "DraftKind", "Grid", "Method", "Output", "Report", "Sampling", "SpatialPipeline", "Step", "TargetKind",
    "__version__", "accelerate", "register", "transformers_generate", "wrap",
]  # fmt: skip


def __getattr__(name: str) -> object:
    """Import a public name, and with it torch, at its first use."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
