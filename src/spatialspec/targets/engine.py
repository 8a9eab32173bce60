"""Interface between session and target: prompts, inputs of a pass, and the engine that runs it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from spatialspec.core.grid import Layout
from spatialspec.targets.cache import Cache

if TYPE_CHECKING:
    from spatialspec.targets.runners import Runner


@dataclass(frozen=True)
class Prompt:
    """Embedded prompt of one image.

    Attributes:
        prefixes: embedded prompt of each guidance stream, conditional first; lengths may differ.
        layout: cells of the image.
        conditioning: for each stream the vector added to the slot before each cell, and to the slot of the last cell;
            None for no addition.
    """

    prefixes: Sequence[Float[Tensor, "_ d"]]
    layout: Layout
    conditioning: Float[Tensor, "G slots d"] | None = None


@dataclass(frozen=True)
class PassInputs:
    """Inputs of one pass of the network.

    Attributes:
        x: embedded slots of every sequence.
        positions: of the slots in their sequences, the prompt's first token at 0.
        prompt_lengths: of every sequence.
        layout: cells of the images.
        mask: slots of the cache that each slot attends to, at least one; None is causal.
        cache: after `begin` of this pass.
        layers: hidden layers to return besides the last, counted from 1.
    """

    x: Float[Tensor, "B N d"]
    positions: Int[Tensor, "B N"]
    prompt_lengths: Int[Tensor, "B"]
    layout: Layout
    mask: Bool[Tensor, "B 1 N S"] | None
    cache: Cache
    layers: Collection[int]


Hidden = tuple[Float[Tensor, "B N d"], Mapping[int, Float[Tensor, "B N d"]]]  # pre-norm states, and those of layers


class Engine(Protocol):
    """The part of a target that sessions use.

    Attributes:
        causal_alone: whether a pass of one slot per sequence, in sequences of equal length, needs no mask.
        runner: how passes are run.
    """

    causal_alone: bool
    runner: Runner

    @property
    def networks(self) -> Sequence[nn.Module]:
        """All that passes run."""

    @property
    def vocabulary(self) -> int:
        """Number of image tokens V."""

    @property
    def forced(self) -> Float[Tensor, "F d"]:
        """Embedded tokens that follow each row of a grid but its last."""

    @property
    def between(self) -> Float[Tensor, "M d"]:
        """Embedded tokens that follow each grid but the last."""

    @property
    def device(self) -> torch.device:
        """Device of prompts, logits and states."""

    def cache(self, slots: int) -> Cache:
        """An empty cache with a capacity of `slots` per sequence."""

    def embed(self, tokens: Int[Tensor, "*N"]) -> Float[Tensor, "*N d"]:
        """Embedding of image tokens."""

    def run(self, inputs: PassInputs) -> Hidden:
        """Run the hidden layers: pre-norm states, and the states after each of `inputs.layers`."""

    def norm(self, hidden: Float[Tensor, "*N d"]) -> Float[Tensor, "*N d"]:
        """Final norm of pre-norm states."""

    def output(self, states: Float[Tensor, "*N d"]) -> Float[Tensor, "*N V"]:
        """Normed states -> logits of image tokens."""
