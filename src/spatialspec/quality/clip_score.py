"""CLIP score: cosine similarity of image and prompt under CLIP, times 100 (Hessel et al., arXiv 2104.08718).

The model is a folder in the layout of transformers, or OWNER/NAME on the Hub. torchmetrics' CLIPScore does not work
with transformers 5, whose features come inside an output object.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8

from spatialspec.core.errors import BadInput
from spatialspec.quality.frozen import load_pretrained

BATCH = 16
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
        """Score of every image with its own prompt, -100 to 100; negative scores are not clipped: means are unbiased.

        Args:
            images: 0..255.
            prompts: one for each; longer ones than the model reads are cut off.
        """
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
