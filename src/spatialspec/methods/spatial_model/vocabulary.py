"""The image tokens that q covers: all, or the most frequent ones (FR-Spec, Zhao et al., arXiv 2502.14856).

    q(v) = softmax(W_S x)_v  for v in S, 0 elsewhere          W_S: rows S of the target's output layer

q sums to one over all tokens, so every exact rule applies; tokens outside S are never drafted. A pass of the draft
model computes |S| logits instead of V.

| variable | symbol |
|---|---|
| `tokens` | S, in ascending order |
| `_rows` | W_S |
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from spatialspec.core.errors import BadInput
from spatialspec.core.interfaces import Head
from spatialspec.core.sampling import Sampling

NOT_COVERED = -1  # position of a token outside S


@runtime_checkable
class OneMatrix(Protocol):
    """A target whose output layer is one matrix."""

    @property
    def output_rows(self) -> Float[Tensor, "V d"]:
        """Row of the output layer for each image token."""
        ...


def output_rows(target: Head, size: int) -> Float[Tensor, "V d"]:
    """The output layer of a target, for drafts that cover `size` of its tokens.

    Raises:
        BadInput: it has fewer tokens, or the layer is not one matrix.
    """
    if not isinstance(target, OneMatrix):
        raise BadInput(f"vocabulary {size} for a target whose output layer is not one matrix", "0", "draft all tokens")
    if size > target.vocabulary:
        raise BadInput(f"vocabulary {size}", f"at most the {target.vocabulary} image tokens of the target")
    return target.output_rows


class DraftVocabulary(nn.Module):
    """The covered tokens, and their rows of the target's output layer.

    Args:
        size: number of tokens; 0 is all, whatever their number.

    Attributes:
        tokens: covered tokens, stored with the draft weights; None is all.
    """

    tokens: Int[Tensor, "v"] | None
    _rows: Float[Tensor, "v d"] | None

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("tokens", torch.arange(size) if size else None)
        self.register_buffer("_rows", None, persistent=False)

    @classmethod
    def most_frequent(cls, size: int, codes: Int[Tensor, "images cells"]) -> DraftVocabulary:
        """The most frequent tokens of some images; of equally frequent ones the smaller."""
        vocabulary = cls(size)
        if vocabulary.tokens is not None:
            counts = torch.bincount(codes.flatten().long(), minlength=size)
            vocabulary.tokens = counts.argsort(descending=True, stable=True)[:size].sort().values.to(vocabulary.tokens)
        return vocabulary

    def check(self, path: Path) -> None:
        """Check the tokens of a file.

        Raises:
            BadInput: a token occurs twice, is out of order or negative: q would lose mass, and exactness with it.
        """
        if self.tokens is not None and (self.tokens.diff().le(0).any() or self.tokens[0] < 0):
            raise BadInput("others", "ascending tokens from 0 on", "fetch the file again", f"{path}: vocabulary.tokens")

    def bind(self, target: Head) -> None:
        """Copy the rows of the target's output layer, once: drafts belong to one target.

        Raises:
            BadInput: the target has no such rows.
        """
        if self.tokens is not None and self._rows is None:
            table = output_rows(target, int(self.tokens.max()) + 1)
            self._rows = table[self.tokens.to(table.device)].detach().to(self.tokens.device)

    def logits(self, target: Head, states: Float[Tensor, "*N d"]) -> Float[Tensor, "*N v"]:
        """Pre-norm states, in the target's dtype -> logits of the covered tokens."""
        self.bind(target)
        normed = target.norm(states)
        return target.output(normed) if self._rows is None else F.linear(normed, self._rows)

    def distributions(self, target: Head, sampling: Sampling, states: Float[Tensor, "G *N d"]) -> Float[Tensor, "*N V"]:
        """q over all tokens, from the states of every stream."""
        q = sampling.distribution(self.logits(target, states))
        if self.tokens is None:
            return q
        return q.new_zeros(*q.shape[:-1], target.vocabulary).index_copy_(-1, self.tokens, q)

    def positions(self, codes: Int[Tensor, "*N"], target: Head) -> Int[Tensor, "*N"]:
        """Positions of tokens among the covered ones; NOT_COVERED for the others."""
        if self.tokens is None:
            return codes
        table = torch.full((target.vocabulary,), NOT_COVERED, device=codes.device)
        table[self.tokens] = torch.arange(len(self.tokens), device=codes.device)
        return table[codes]
