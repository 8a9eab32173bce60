"""Networks that the user chooses: a vision model for distances between sets, CLIP for the CLIP score.

CLIP score: cosine similarity of image and prompt under CLIP, times 100 (Hessel et al., arXiv 2104.08718). torchmetrics'
CLIPScore does not work with transformers 5, whose features come inside an output object.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from spatialspec.core.errors import BadInput
from spatialspec.extras import need
from spatialspec.quality.encoders import load_pretrained

DEFAULT = "efficientnet-lite0"
BATCH = 16

FeatureExtractor = Callable[[UInt8[np.ndarray, "N H W 3"]], Float[Tensor, "N F"]]


def feature_extractor(name: str) -> FeatureExtractor:
    """A function from images to features.

    Args:
        name: `efficientnet-lite0`, or the folder of a vision model in the layout of transformers (DINOv2, CLIP's, ...);
            nothing is downloaded.

    Raises:
        NotInstalled: a package is missing; the message contains its name.
        BadInput: no such model.
    """
    need("evaluate", "torchmetrics")
    if name == DEFAULT:
        from spatialspec.quality.encoders import image_features, load_efficientnet

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


ON_HUB = re.compile(r"\w[\w.-]*/\w[\w.-]*")


class ClipScore:
    """CLIP from a folder or from the Hub.

    Args:
        name: folder of a CLIP model with its processor, or OWNER/NAME on the Hub.

    Raises:
        BadInput: there is no CLIP model, or the Hub cannot be reached.
    """

    def __init__(self, name: str | Path) -> None:
        from transformers import CLIPModel, CLIPProcessor

        local = (Path(name) / "config.json").is_file()
        if not local and (Path(name).exists() or not ON_HUB.fullmatch(str(name))):
            raise BadInput(f"--clip {name}", "a folder with a CLIP model, or OWNER/NAME on the Hub")
        expected = "a CLIP model in safetensors"
        self.model, self.processor = load_pretrained(name, CLIPModel, CLIPProcessor, expected, local)

    @torch.inference_mode()
    def __call__(self, images: UInt8[np.ndarray, "N H W 3"], prompts: Sequence[str]) -> Float[np.ndarray, "N"]:
        """Score of every image (0..255) with its prompt, -100 to 100, not clipped at 0; long prompts are truncated."""
        longest, scores = self.model.config.text_config.max_position_embeddings, []
        for start in range(0, len(images), BATCH):
            part = slice(start, start + BATCH)
            inputs = self.processor(
                images=list(images[part]), text=list(prompts[part]), return_tensors="pt", padding=True,
                truncation=True, max_length=longest,
            )  # fmt: skip
            out = self.model(**inputs)
            scores.append(100 * torch.nn.functional.cosine_similarity(out.image_embeds, out.text_embeds).double())
        return torch.cat(scores).numpy()
