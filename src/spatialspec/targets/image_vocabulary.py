"""Targets whose image tokens are ids of the language model's vocabulary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from spatialspec.core.errors import BadInput
from spatialspec.core.grid import Grid
from spatialspec.targets.derived import Derived
from spatialspec.targets.language_target import LanguageTarget


class ImageVocabulary(LanguageTarget):
    """Image token k is one id of the vocabulary; only the logits of these ids are computed.

    Attributes:
        model: with its output layer `lm_head`.
    """

    def take_ids(self, ids: Mapping[int, int], count: int) -> None:
        """Take the ids of image tokens.

        Args:
            ids: image token -> id, as `vocabulary_mapping.img2bpe` of transformers has it.
            count: size of the codebook.

        Raises:
            BadInput: a code of the codebook has no id, or one beyond the embedding or the output layer.
        """
        missing = [code for code in range(count) if code not in ids]
        if missing:
            raise BadInput(
                f"no id for {len(missing)} of {count} image tokens, first {missing[0]}",
                "one for each in vocabulary_map",
                "fetch config.json again",
            )
        chosen = [ids[code] for code in range(count)]
        first, contiguous = chosen[0], chosen == list(range(chosen[0], chosen[0] + count))
        self.span = min(chosen), max(chosen)
        self._ids_of = Derived(lambda weight: torch.tensor(chosen, device=weight.device))
        self._rows_of = Derived(
            lambda weight: weight[first : first + count] if contiguous else weight[self.ids.to(weight.device)]
        )
        self.begin()

    def begin(self) -> None:
        """Read the parts of the model again, before a session.

        Raises:
            BadInput: it was changed so that it cannot be run.
        """
        super().begin()
        layer: Any = self.model.lm_head
        linear = isinstance(layer, nn.Linear)
        if not linear or layer.bias is not None or not layer.weight.is_floating_point():
            raise BadInput(
                f"an output layer of class {type(layer).__name__}",
                "nn.Linear without bias",
                "merge adapters first, and leave it unquantised",
            )
        (low, high), known = self.span, min(self.decoder.embedding.num_embeddings, len(layer.weight))
        if low < 0 or high >= known:
            raise BadInput(f"image tokens {low} to {high}", f"ids from 0 to {known - 1}", "fetch config.json again")
        self._rows_of.forget()

    def check_length(self, grid: Grid) -> None:
        """Refuse a grid that is longer than the model's sequence.

        Raises:
            BadInput: it is.
        """
        length, most = grid.rows * (grid.columns + len(self.row_end)), self.decoder.positions
        if length >= most:
            ends = " with row ends" if self.row_end else ""
            raise BadInput(f"size {grid}, {length} tokens{ends}", f"fewer than {most}", "make it smaller")

    @property
    def vocabulary(self) -> int:
        """Number of image tokens V."""
        return len(self.ids)

    @property
    def ids(self) -> Int[Tensor, "V"]:
        """Id of each image token, on the device of the text embedding."""
        return self._ids_of.of(self.decoder.embedding.weight)

    @property
    def output_rows(self) -> Float[Tensor, "V d"]:
        """Weights of the output layer for image tokens: a view if the ids are contiguous, else a copy."""
        return self._rows_of.of(self.model.lm_head.weight)

    @property
    def weights(self) -> Sequence[Tensor]:
        """Embedding and output weights of image tokens."""
        return self.decoder.embedding.weight[self.ids], self.output_rows

    def embed(self, tokens: Int[Tensor, "*N"]) -> Float[Tensor, "*N d"]:
        """Text embedding of the ids of image tokens."""
        return self.decoder.embedding(self.ids[tokens])

    def output(self, states: Float[Tensor, "*N d"]) -> Float[Tensor, "*N V"]:
        """Normed states -> logits of image tokens."""
        weight = self.output_rows
        return F.linear(states.to(weight.device), weight).to(states.device)
