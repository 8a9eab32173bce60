"""CLIP score: cosine similarity of picture and prompt under CLIP, times 100 (Hessel et al., arXiv 2104.08718).

The model is a folder that the user has, in the layout of transformers, or OWNER/NAME of one on the Hub, which is
fetched because it was named; safetensors alone, and no code of anybody's. torchmetrics' own CLIPScore does not get on
with transformers 5, whose features come inside an output object, so the model is asked directly.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8

from spatialspec.core.errors import BadInput
from spatialspec.targets.model_files import check_side_files, read_model_config

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
        self.model, self.processor = _load(name)

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


def _load(name: str | Path) -> tuple[Any, Any]:
    from transformers import CLIPModel, CLIPProcessor

    local = (Path(name) / "config.json").is_file()
    if not local and (Path(name).exists() or not ON_HUB.fullmatch(str(name))):
        raise BadInput(f"--clip {name}", "a folder with a CLIP model, or OWNER/NAME on the Hub")
    if local:
        read_model_config(Path(name))
        check_side_files(Path(name))
    try:
        model = CLIPModel.from_pretrained(name, local_files_only=local, use_safetensors=True, trust_remote_code=False)
        processor = CLIPProcessor.from_pretrained(name, local_files_only=local, trust_remote_code=False)
    except Exception as error:
        reason = str(error).strip().partition("\n")[0]
        if local:
            raise BadInput(f"{reason}", "a CLIP model in safetensors", where=name) from error
        raise BadInput(
            f"--clip {name}, which is no folder here and did not come from the Hub ({reason})",
            "a CLIP model in safetensors",
            "check the name and the network, or give a folder that holds it",
        ) from error
    return model.eval().requires_grad_(False), processor
