"""Base of targets whose transformer is a language model of transformers.

A subclass adds prompts, image tokens and the image decoder.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from PIL import Image as PILImage
from torch import Tensor, nn

from spatialspec.core.errors import BadInput
from spatialspec.core.grid import Grid, Layout
from spatialspec.core.sampling import Sampling
from spatialspec.io.identity import sign_fingerprint
from spatialspec.targets.cache import Cache
from spatialspec.targets.checkpoint import CheckpointTarget
from spatialspec.targets.engine import Hidden, PassInputs, Prompt
from spatialspec.targets.language_decoder import apply
from spatialspec.targets.runners import Runs
from spatialspec.targets.session import TargetSession


class LanguageTarget(CheckpointTarget, Runs):
    """Frozen model and processor.

    Attributes:
        grid: default grid.
        vq: the VQ tokenizer.
    """

    grid: Grid
    vq: Any

    # Methods of a subclass.

    @abstractmethod
    def prompt_ids(self, prompts: Sequence[str], negatives: Sequence[str], streams: int, grid: Grid) -> list[list[int]]:
        """Token ids of every sequence of the batch, up to the token that opens the image.

        Args:
            prompts: one per image.
            negatives: prompts of the unconditional stream, one per prompt; "" for the unconditional prompt.
            streams: 1, or 2 with guidance: then the unconditional sequence follows each conditional one.
            grid: of every image.
        """

    @property
    def row_end(self) -> tuple[int, ...]:
        """Token ids that follow each row of a grid but its last."""
        return ()

    @property
    def grid_end(self) -> tuple[int, ...]:
        """Token ids that follow each grid but the last."""
        return ()

    def layout(self, grid: Grid) -> Layout:
        """All cells that are drawn for an image of a grid; by default the grid alone."""
        return grid

    def check_grid(self, grid: Grid) -> None:
        """Refuse a grid that the model cannot draw; by default every grid but `grid`.

        Raises:
            BadInput: it cannot.
        """
        if grid != self.grid:
            raise BadInput(f"size {grid}", f"{self.grid}", f"{self.name} draws no other")

    @property
    @abstractmethod
    def vocabulary(self) -> int:
        """Number of image tokens V."""

    @property
    @abstractmethod
    def weights(self) -> Sequence[Tensor]:
        """All weights behind `embed` and `output`, for image tokens only."""

    @abstractmethod
    def embed(self, tokens: Int[Tensor, "*N"]) -> Float[Tensor, "*N d"]:
        """Embedding of image tokens, without positions."""

    @abstractmethod
    def output(self, states: Float[Tensor, "*N d"]) -> Float[Tensor, "*N V"]:
        """Normed states -> logits of image tokens."""

    @abstractmethod
    def pixels(self, tokens: Sequence[int], grid: Grid) -> PILImage.Image:
        """Image of a grid of tokens."""

    # Shared methods.

    @property
    def codebook(self) -> Float[Tensor, "V c"]:
        """Embedding of every image token in the VQ tokenizer, always the same object."""
        return self._codebook.of(self.vq.quantize.embedding.weight)

    @property
    def networks(self) -> tuple[nn.Module, ...]:
        """The model of transformers, unless a target has others beside it."""
        return (self.model,)

    @property
    def transformer(self) -> nn.Module:
        """The blocks of the language model."""
        transformer: nn.Module = self.decoder.model
        return transformer

    @property
    def width(self) -> int:
        """Model width d."""
        return self.decoder.embedding.embedding_dim

    @property
    def depth(self) -> int:
        """Number of hidden layers, whose states a pass can return."""
        return self.decoder.depth

    @property
    def device(self) -> torch.device:
        """Device of prompts, logits, states and embeddings, under any device map."""
        return self.decoder.device

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of the weights."""
        return self.decoder.dtype

    def norm(self, hidden: Float[Tensor, "*N d"]) -> Float[Tensor, "*N d"]:
        """Final norm of pre-norm states."""
        return apply(self.decoder.norm, hidden)

    @property
    def fingerprint(self) -> str:
        """Hash of the weights that drafters depend on: those of `embed`, `norm` and `output`."""
        return sign_fingerprint((*self.weights, *self.decoder.norm.parameters()))

    def check_prompts(self, prompts: Sequence[str], negatives: Sequence[str], grid: Grid) -> None:
        """Refuse prompts that cannot be drawn.

        Raises:
            BadInput: a prompt is empty, or does not fit in front of the image.
        """
        self._ids(prompts, negatives, 2, grid)

    def begin(self) -> None:
        """Read the parts of the model again, before a session.

        Raises:
            BadInput: it was changed so that it cannot be run.
        """
        self.decoder.begin()

    def _ids(self, prompts: Sequence[str], negatives: Sequence[str], streams: int, grid: Grid) -> list[list[int]]:
        self.begin()
        self.check_grid(grid)
        if not prompts or not all(prompt.strip() for prompt in prompts):
            raise BadInput("an empty prompt", "words", "say what to draw")
        sequences = self.prompt_ids(prompts, negatives, streams, grid)
        self.check_ids(sequences, grid)
        return sequences

    def check_ids(self, sequences: Sequence[Sequence[int]], grid: Grid) -> None:
        """Refuse prompts, given as token ids, that `session_of_ids` would refuse.

        Raises:
            BadInput: an id that the model does not have, or a prompt that does not fit in front of the image.
        """
        self.decoder.check_ids(sequences, (self.row_end, self.grid_end), self.layout(grid))

    @torch.no_grad()
    def try_out(self) -> None:
        """Run one token, to find errors of a configuration that no shape of a weight shows."""
        cache = Cache(self.decoder.devices, 1)
        cache.add(1)
        mask = torch.ones(1, 1, 1, 1, dtype=torch.bool, device=self.device)
        positions = torch.zeros(1, 1, dtype=torch.long, device=self.device)
        cache.begin(positions, positions[0], 1, 0)
        hidden = self.decoder(self._text([0])[None], mask, positions, cache)
        self.output(self.norm(hidden))

    def session(
        self, prompts: Sequence[str], negatives: Sequence[str], sampling: Sampling, grid: Grid
    ) -> TargetSession:
        """Start images, one per prompt; the model is put into evaluation mode.

        Raises:
            BadInput: a prompt is empty or too long, or the model cannot draw the grid.
        """
        streams, ids = sampling.streams, self._ids(prompts, negatives, sampling.streams, grid)
        return self.session_of_ids([ids[i : i + streams] for i in range(0, len(ids), streams)], grid)

    @torch.no_grad()
    def session_of_ids(self, images: Sequence[Sequence[Sequence[int]]], grid: Grid) -> TargetSession:
        """Start images as `session` does, from token ids: of every image those of each stream, conditional first.

        Raises:
            BadInput: as from `session`.
        """
        self.begin()
        self.check_grid(grid)
        self.check_ids([ids for streams in images for ids in streams], grid)
        self.model.eval()
        embedded = [[self._text(ids) for ids in streams] for streams in images]
        return TargetSession(self, [Prompt(prefixes, self.layout(grid)) for prefixes in embedded])

    # Methods for sessions; see :class:`Engine`.

    causal_alone = False

    @property
    def forced(self) -> Float[Tensor, "F d"]:
        """Embedded `row_end`."""
        return self._text(self.row_end)

    @property
    def between(self) -> Float[Tensor, "M d"]:
        """Embedded `grid_end`."""
        return self._text(self.grid_end)

    def cache(self, slots: int) -> Cache:
        """An empty cache, with the part of each layer on its device."""
        return Cache(self.decoder.devices, slots, self.decoder.slot_bytes)

    def run(self, inputs: PassInputs) -> Hidden:
        """Run the decoder."""
        assert inputs.mask is not None
        states: list[Tensor] | None = [] if inputs.layers else None
        hidden = self.decoder(inputs.x, inputs.mask, self.rotary_positions(inputs), inputs.cache, states)
        return hidden, {layer: states[layer - 1] for layer in inputs.layers} if states else {}

    def rotary_positions(self, inputs: PassInputs) -> Int[Tensor, "*axes B N"]:
        """Positions by which keys and queries are rotated; by default those in the sequence, on one axis."""
        return inputs.positions

    def _text(self, ids: Sequence[int]) -> Float[Tensor, "N d"]:
        """Embedding of text tokens."""
        return self.decoder.embedding(torch.tensor(list(ids), dtype=torch.long, device=self.device))
