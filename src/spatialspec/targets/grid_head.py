"""What targets around a grid transformer have in common: `Head` but for the code book, place, type and fingerprint."""

from __future__ import annotations

import hashlib
from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor

from spatialspec.targets.grid_model import GridModel


class GridHead:
    """Base of targets around a transformer over a grid.

    Attributes:
        model: the transformer.
    """

    model: GridModel

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.model.output.weight.device

    @property
    def dtype(self) -> torch.dtype:
        """Of the weights."""
        return self.model.output.weight.dtype

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the weights that drafters depend on: embedding, norm and output layer, rounded to bfloat16."""
        digest = hashlib.sha256()
        model = self.model
        for tensor in (model.code_embedding.weight, *model.norm.parameters(), model.output.weight):
            digest.update(tensor.detach().to("cpu", torch.bfloat16).view(torch.int16).numpy().tobytes())
        return digest.hexdigest()[:16]

    @property
    def width(self) -> int:
        """Model width d."""
        return self.model.config.width

    @property
    def vocabulary(self) -> int:
        """Number of image tokens V."""
        return self.model.config.codes

    @property
    def depth(self) -> int:
        """Number of blocks, whose states a pass can hand out."""
        return self.model.config.layers

    @property
    def output_rows(self) -> Float[Tensor, "V d"]:
        """Row of the output layer for each image token."""
        return self.model.output.weight

    def norm(self, hidden: Float[Tensor, "*N d"]) -> Float[Tensor, "*N d"]:
        """Final norm of pre-norm states."""
        return self.model.norm(hidden)

    def output(self, states: Float[Tensor, "*N d"]) -> Float[Tensor, "*N V"]:
        """Normed states -> logits of image tokens."""
        return self.model.output(states)

    def embed(self, tokens: Int[Tensor, "*N"]) -> Float[Tensor, "*N d"]:
        """Embedding of image tokens, without positions."""
        return self.model.code_embedding(tokens)
