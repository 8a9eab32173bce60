"""CLIP score: cosine similarity of picture and prompt under CLIP, times 100 (Hessel et al., arXiv 2104.08718).

The model is a folder that the user has, in the layout of transformers; nothing is fetched. torchmetrics' own CLIPScore
does not get on with transformers 5, whose features come inside an output object, so the model is asked directly.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8

BATCH = 16


class ClipScore:
    """CLIP from a folder.

    Args:
        folder: of a CLIP model with its processor.

    Raises:
        ImportError: transformers is not installed.
        ValueError: the folder holds no CLIP model.
    """

    def __init__(self, folder: Path) -> None:
        self.model, self.processor = _load(folder)

    def __call__(self, pictures: UInt8[np.ndarray, "N H W 3"], prompts: Sequence[str]) -> Float[np.ndarray, "N"]:
        """Score of every picture with its own prompt, -100 to 100; negative ones are kept, so that means are unbiased.

        Args:
            pictures: 0..255.
            prompts: one for each; longer ones than the model reads are cut off.
        """
        longest, scores = self.model.config.text_config.max_position_embeddings, []
        for start in range(0, len(pictures), BATCH):
            part = slice(start, start + BATCH)
            inputs = self.processor(
                images=list(pictures[part]), text=list(prompts[part]), return_tensors="pt", padding=True,
                truncation=True, max_length=longest,
            )  # fmt: skip
            with torch.inference_mode():
                out = self.model(**inputs)
            scores.append(100 * torch.nn.functional.cosine_similarity(out.image_embeds, out.text_embeds).double())
        return torch.cat(scores).numpy()


def _load(folder: Path):  # type: ignore[no-untyped-def]  # transformers is optional, and so are its types
    try:
        from transformers import CLIPModel, CLIPProcessor
    except ImportError as error:
        raise ImportError("got --clip without transformers: run `pip install transformers`") from error
    if not (folder / "config.json").is_file():
        raise ValueError(f"got --clip {folder}, expected a folder with a CLIP model: download one first")
    try:
        model = CLIPModel.from_pretrained(folder, local_files_only=True, use_safetensors=True)
        processor = CLIPProcessor.from_pretrained(folder, local_files_only=True)
    except Exception as error:
        raise ValueError(f"{folder}: expected a CLIP model in safetensors, got {str(error).splitlines()[0]}") from error
    return model.eval().requires_grad_(False), processor
