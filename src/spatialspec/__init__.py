"""spatialspec: spatial speculative decoding for autoregressive image generators."""

from __future__ import annotations

from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from spatialspec.pipeline import SpatialPipeline

__all__ = ["SpatialPipeline", "__version__"]


def __getattr__(name: str) -> object:
    """Import the pipeline, and with it torch, only when it is asked for."""
    if name == "SpatialPipeline":
        from spatialspec.pipeline import SpatialPipeline

        return SpatialPipeline
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
