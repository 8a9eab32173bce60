"""Features of pictures for distances between sets: EfficientNet-Lite0, or any vision model that the user has."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from spatialspec.core.errors import BadInput, shown
from spatialspec.extras import need
from spatialspec.targets.model_files import check_side_files, read_model_config

DEFAULT = "efficientnet-lite0"
BATCH = 16

FeatureExtractor = Callable[[UInt8[np.ndarray, "N H W 3"]], Float[Tensor, "N F"]]


def feature_extractor(name: str) -> FeatureExtractor:
    """What turns pictures into features.

    Args:
        name: `efficientnet-lite0`, or the folder of a vision model in the layout of transformers (DINOv2, CLIP's, ...);
            nothing is fetched.

    Raises:
        NotInstalled: a package is missing; the message says which.
        BadInput: no such model.
    """
    need("evaluate", "torchmetrics")
    if name == DEFAULT:
        from spatialspec.quality.efficientnet import load_efficientnet, picture_features

        load_efficientnet()
        return picture_features
    return _from_folder(Path(name))


def _from_folder(folder: Path) -> FeatureExtractor:
    if not (folder / "config.json").is_file():
        raise BadInput(f"--features {folder}", f"{DEFAULT} or the folder of a vision model", "check the path")
    from transformers import AutoImageProcessor, AutoModel

    read_model_config(folder)
    check_side_files(folder)
    try:
        whole = AutoModel.from_pretrained(folder, local_files_only=True, use_safetensors=True, trust_remote_code=False)
        processor = AutoImageProcessor.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:
        raise BadInput(shown(" ".join(str(error).split()), 200), "a vision model", where=folder) from error
    model = getattr(whole, "vision_model", whole).eval().requires_grad_(False)

    def extract(pictures: UInt8[np.ndarray, "N H W 3"]) -> Float[Tensor, "N F"]:
        parts = []
        for start in range(0, len(pictures), BATCH):
            inputs = processor(images=list(pictures[start : start + BATCH]), return_tensors="pt")
            with torch.inference_mode():
                out = model(pixel_values=inputs["pixel_values"])
            pooled = getattr(out, "pooler_output", None)
            parts.append((out.last_hidden_state.mean(1) if pooled is None else pooled).flatten(1))
        return torch.cat(parts)

    return extract
