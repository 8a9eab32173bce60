"""Targets whose image tokens are ids of the language model's own vocabulary: Emu3, Chameleon and its family."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from spatialspec.core.errors import BadInput
from spatialspec.targets.language_target import LanguageTarget


class ImageVocabulary(LanguageTarget):
    """Image token k is one id of the vocabulary; only the output rows of these ids are ever computed.

    Attributes:
        ids: id of each image token, on the device of the text embedding.
        output_rows: row of the output layer for each image token.
    """

    ids: Int[Tensor, "V"]
    output_rows: Float[Tensor, "V d"]

    def take_ids(self, ids: Mapping[int, int], count: int, output: nn.Linear) -> None:
        """Take the image tokens' rows of the output layer: a view where the ids follow each other, else a copy.

        Args:
            ids: image token -> id, as `vocabulary_mapping.img2bpe` of transformers has it.
            count: size of the code book.
            output: the language model's output layer, without bias.

        Raises:
            BadInput: a code of the code book has no id.
        """
        missing = [code for code in range(count) if code not in ids]
        if missing:
            raise BadInput(
                f"no id for {len(missing)} of {count} image tokens, first {missing[0]}",
                "one for each in vocabulary_map",
                "fetch config.json again",
            )
        row, weight = [ids[code] for code in range(count)], output.weight.detach()
        self.ids = torch.tensor(row, device=self.device)
        together = row == list(range(row[0], row[0] + count))
        self.output_rows = weight[row[0] : row[0] + count] if together else weight[self.ids.to(weight.device)]

    @property
    def vocabulary(self) -> int:
        """Number of image tokens V."""
        return len(self.ids)

    @property
    def weights(self) -> Sequence[Tensor]:
        """Embedding and output rows of image tokens."""
        return self.decoder.embedding.weight[self.ids], self.output_rows

    def embed(self, tokens: Int[Tensor, "*N"]) -> Float[Tensor, "*N d"]:
        """Text embedding of the ids of image tokens."""
        return self.decoder.embedding(self.ids[tokens])

    def output(self, states: Float[Tensor, "*N d"]) -> Float[Tensor, "*N V"]:
        """Normed states -> logits of image tokens."""
        return F.linear(states.to(self.output_rows.device), self.output_rows).to(states.device)
