"""Features of images for distances between sets: EfficientNet-Lite0, or any vision model in a folder."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from spatialspec.core.errors import BadInput
from spatialspec.quality.frozen import load_pretrained

DEFAULT = "efficientnet-lite0"
BATCH = 16

FeatureExtractor = Callable[[UInt8[np.ndarray, "N H W 3"]], Float[Tensor, "N F"]]


def feature_extractor(name: str) -> FeatureExtractor:
    """A function from images to features.

    Args:
        name: `efficientnet-lite0`, or the folder of a vision model in the layout of transformers (DINOv2, CLIP's, ...);
            nothing is fetched.

    Raises:
        ImportError: a package is missing; the message contains its name.
        BadInput: no such model.
    """
    if find_spec("torchmetrics") is None:
        raise ImportError("the package torchmetrics is not installed: run `pip install torchmetrics`")
    if name == DEFAULT:
        from spatialspec.quality.efficientnet import image_features, load_efficientnet

        load_efficientnet()
        return image_features
    from transformers import AutoImageProcessor, AutoModel

    if not (Path(name) / "config.json").is_file():
        raise BadInput(f"--features {name}", f"{DEFAULT} or the folder of a vision model", "check the path")
    whole, processor = load_pretrained(name, AutoModel, AutoImageProcessor, "a vision model", local=True)
    model = getattr(whole, "vision_model", whole)

    @torch.inference_mode()
    def extract(images: UInt8[np.ndarray, "N H W 3"]) -> Float[Tensor, "N F"]:
        parts = []
        for start in range(0, len(images), BATCH):
            inputs = processor(images=list(images[start : start + BATCH]), return_tensors="pt")
            out = model(pixel_values=inputs["pixel_values"])
            pooled = getattr(out, "pooler_output", None)
            parts.append((out.last_hidden_state.mean(1) if pooled is None else pooled).flatten(1))
        return torch.cat(parts)

    return extract
