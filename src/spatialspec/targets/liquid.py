"""Liquid 7B (arXiv 2412.04332): Gemma trained to draw, in its published checkpoint.

The 8,192 codes of Chameleon's VQ tokenizer follow Gemma's 256,000 tokens; an image has 32 x 32 of them. The checkpoint
holds no VQ tokenizer. Prompts, sampling and the offset are those of the published code (FoundationVision/Liquid:
evaluation/inference_t2i.py; TRAIN.md says which tokens were renamed). It draws unguided text prompts as well; another
ratio needs a sentence in front of the prompt that its published inference does not have, so one grid is drawn.
"""

from __future__ import annotations

from typing import Any, ClassVar

from transformers import GemmaForCausalLM, PreTrainedModel

from spatialspec.core.grid import Grid
from spatialspec.core.sampling import Sampling
from spatialspec.targets.causal_target import CausalTarget
from spatialspec.targets.chameleon.images import DrawsWithChameleon
from spatialspec.targets.chameleon.vq import ChameleonVQ


class LiquidTarget(CausalTarget, DrawsWithChameleon):
    """A Liquid model with its tokenizer and Chameleon's image decoder.

    Args:
        model: loaded model, which is not changed.
        processor: its tokenizer.
        name: shown in reports and errors.
        vq: its image decoder; by default that in the folder that the model was loaded from.

    Raises:
        BadInput: the image decoder is missing, or the tokenizer is not Liquid's.
    """

    kind: ClassVar[type[PreTrainedModel]] = GemmaForCausalLM
    authors = Sampling(guidance=7.0, temperature=0.99, top_k=4096, top_p=0.96)
    first, last, control = "<bos>", "<boi>", ("<eoi>", "<unconditional>")
    prompt = negative = "{} Generate an image based on this description."
    unconditional = "<unconditional>"

    def __init__(self, model: PreTrainedModel, processor: Any, name: str, vq: ChameleonVQ | None = None) -> None:
        count = self.take_model(model, processor, name)
        self.take_decoder(str(model.config.name_or_path), vq)
        side = self.vq.resolution // self.vq.patch
        self.grid = Grid(side, side)
        self.take_codes(count, len(self.vq.codebook))
