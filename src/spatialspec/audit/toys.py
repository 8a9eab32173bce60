"""Targets small enough to enumerate: the distribution of their images is known exactly."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property, reduce
from itertools import accumulate, compress

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from spatialspec.audit.enumeration import distribution, joint_distribution
from spatialspec.core.clock import UNTIMED, Clock
from spatialspec.core.grid import Grid, Grids, Layout
from spatialspec.core.proposal import Proposal
from spatialspec.core.sampler import Sampler, drawn
from spatialspec.core.sampling import Sampling
from spatialspec.core.state import State
from spatialspec.core.step import Scores, Step
from spatialspec.drafts.registry import kinds
from spatialspec.methods.network import DraftNetwork

AVERAGE = {3: ([0.07, 0.80, 0.13], [0.01, 0.51, 0.48]), 4: ([0.10, 0.47, 0.07, 0.36], [0.01, 0.30, 0.65, 0.04])}
LARGEST = 5500  # table entries; prefixes of larger grids share them by a hash


@dataclass(frozen=True)
class ToyTarget:
    """A target whose two streams are tables over token prefixes, of any distribution. It implements `Head`.

    Prefixes are numbered as in a heap: the empty one is 0, prefix i followed by token v is V i + 1 + v.

    Attributes:
        grid: its cells, in one grid or several.
        logits: (2, prefixes, V), conditional stream first.
        hidden: (2, prefixes, d), independent of the logits, so that drafts are as wrong as possible.
        weight: (V, d), output layer.
        table: (V, d), token embedding.
    """

    grid: Layout
    logits: Float[Tensor, "2 prefixes V"]
    hidden: Float[Tensor, "2 prefixes d"]
    weight: Float[Tensor, "V d"]
    table: Float[Tensor, "V d"]

    @classmethod
    def random(cls, grid: str, vocabulary: int, seed: int, width: int = 8, deviation: float = 0.7) -> ToyTarget:
        """Tables from a seed, of standard deviation `deviation` over prefixes; "1x2+2x2" are two grids.

        The mean p and q make small mistakes of a verifier visible: many drafts are rejected, and residuals have several
        tokens.
        """
        shape, v = parse(grid), vocabulary
        prefixes = LARGEST if shape.cells > 6 else min(LARGEST, (v ** (shape.cells + 1) - 1) // (v - 1))
        draw = torch.Generator().manual_seed(seed)

        def normal(*sizes: int) -> Tensor:
            return deviation * torch.randn(*sizes, generator=draw)

        p, q = AVERAGE[v]
        logits, hidden, weight = normal(2, prefixes, v), normal(2, prefixes, width), normal(v, width)
        logits += torch.tensor(p).log()
        logits[1] += 0.5 * normal(prefixes, v)
        hidden[..., 0], weight[:, 0] = 1.0, torch.tensor(q).log()
        return cls(shape, logits, hidden, weight, normal(v, width))

    @property
    def width(self) -> int:
        """Width d of the states."""
        return self.hidden.shape[-1]

    @property
    def vocabulary(self) -> int:
        """Number of tokens V."""
        return self.logits.shape[-1]

    @cached_property
    def codebook(self) -> Float[Tensor, "V 2"]:
        """(V, 2), from a seed; independent of the other tables."""
        return torch.randn(self.vocabulary, 2, generator=torch.Generator().manual_seed(self.vocabulary))

    def norm(self, hidden: Float[Tensor, "*N d"]) -> Float[Tensor, "*N d"]:
        """The identity."""
        return hidden

    def output(self, states: Float[Tensor, "*N d"]) -> Float[Tensor, "*N V"]:
        """States -> logits."""
        return states @ self.weight.T

    def embed(self, tokens: Int[Tensor, "*N"]) -> Float[Tensor, "*N d"]:
        """Embedding of tokens."""
        return self.table[tokens]

    def child(self, prefix: int, token: int) -> int:
        """Index of the prefix extended by one token."""
        return (self.vocabulary * prefix + 1 + token) % self.logits.shape[1]

    def joint(self, sampling: Sampling) -> Float[np.ndarray, "images"]:
        """Joint probabilities of all V^cells images, tokens as digits of the index, cell 0 first; by enumeration."""
        conditionals = []
        first = 0
        for cell in range(self.grid.cells):
            prefixes = slice(first, first + self.vocabulary**cell)
            conditionals.append(distribution(self.logits[: sampling.streams, prefixes].numpy(), sampling))
            first = prefixes.stop
        return joint_distribution(conditionals)

    networks, transformer = (), None

    def layout(self, grid: Grid) -> Layout:
        """The cells of the toy, for every grid."""
        return self.grid

    def drafts(self, kind: str, seed: int, count: int = 3, scale: float = 0.3) -> DraftNetwork:
        """Draft weights drawn at random."""
        return random_drafts(kind, self.width, seed, count, scale)

    def sibling(self, seed: int) -> ToyTarget:
        """A draft model: these tables with errors from a seed."""
        errors = torch.randn(self.logits.shape, generator=torch.Generator().manual_seed(seed))
        return replace(self, logits=self.logits + 0.5 * errors)

    def session(self, prompts: Sequence[str], negatives: Sequence[str], sampling: Sampling, grid: Grid) -> ToySession:
        """Start images; prompts are ignored."""
        return ToySession(self, sampling.streams)


def parse(text: str) -> Layout:
    """A grid, or several with "+" between them."""
    grids = tuple(map(Grid.parse, text.split("+")))
    return Grids(grids) if len(grids) > 1 else grids[0]


def random_drafts(kind: str, width: int, seed: int, count: int = 3, scale: float = 0.3) -> DraftNetwork:
    """Draft weights drawn at random.

    Args:
        kind: name of a `DraftKind`.
        width: of the target.
        seed: of the weights.
        count: heads or predictors in each direction, if the kind has them.
        scale: standard deviation.
    """
    draw = torch.Generator().manual_seed(seed)
    network, sizes = kinds()[kind].network(), {"width": width, "horizontal": count, "vertical": count}
    known = {field.name for field in fields(network.config_type)}
    drafts = network(network.config_type(**{name: size for name, size in sizes.items() if name in known}))
    for weight in drafts.parameters():
        weight.data = scale * torch.randn(weight.shape, generator=draw)
    return drafts.requires_grad_(False)


class CachedSampling(Sampling):
    """`Sampling` with a cache per object, for many replicas of few prefixes."""

    @cached_property
    def _cache(self) -> dict[tuple[torch.Size, bytes], Float[Tensor, "*N V"]]:
        return {}

    def distribution(self, logits: Float[Tensor, "G *N V"]) -> Float[Tensor, "*N V"]:
        """As `Sampling.distribution`."""
        key = logits.shape, logits.numpy().tobytes()
        if key not in self._cache:
            self._cache[key] = super().distribution(logits)
        return self._cache[key].clone()


class ToySession:
    """The `Session` of a toy target: looks up scores in the tables.

    The scores of a slot are those of the prefix of all cells that it attends to.
    """

    def __init__(self, target: ToyTarget, streams: int) -> None:
        self.target, self.streams, self.passes = target, streams, 0
        self._cache: dict[tuple[int, ...], Scores] = {}

    def score(
        self,
        states: Sequence[State],
        proposals: Sequence[Proposal],
        layers: Collection[int] = (),
        samplers: Sequence[Sampler] = (),
        clock: Clock = UNTIMED,
    ) -> list[Scores]:
        """Scores of the pending cells and of the nodes of every image."""
        self.passes += 1
        scored = [self._one(state, proposal) for state, proposal in zip(states, proposals, strict=True)]
        if not samplers:
            return scored
        return [drawn(*each) for each in zip(scored, samplers, states, proposals, strict=True)]

    def _one(self, state: State, proposal: Proposal) -> Scores:
        several = state.ahead or len(state.pending) > 1
        prefixes = tuple(self._in_rows(state, proposal) if several else self._in_line(state, proposal))
        if prefixes not in self._cache:
            self._cache[prefixes] = Scores(
                self.target.logits[: self.streams, prefixes], self.target.hidden[: self.streams, prefixes]
            )
        return self._cache[prefixes]

    def _in_line(self, state: State, proposal: Proposal) -> list[int]:
        """Prefix of every slot, where one row is written at a time."""
        prefixes = [reduce(self.target.child, state.tokens, 0)]
        for token, parent in zip(proposal.tokens, proposal.parents, strict=True):
            prefixes.append(self.target.child(prefixes[parent + 1], token))
        return prefixes

    def _in_rows(self, state: State, proposal: Proposal) -> list[int]:
        """Prefix of every slot: a slot attends to tokens committed up to its cell, a node also to its ancestors."""
        written = sorted({**dict(enumerate(state.tokens)), **state.ahead}.items())
        cells = [cell for cell, _ in written]
        prefixes = list(accumulate((token for _, token in written), self.target.child, initial=0))
        committed = [prefixes[bisect_right(cells, cell)] for cell in (*state.pending, *proposal.cells)]
        attended = committed[: len(state.pending)]
        for prefix, above in zip(committed[len(state.pending) :], proposal.ancestors(), strict=True):
            branch = compress(proposal.tokens, above)
            attended.append(reduce(self.target.child, branch, prefix))
        return attended

    def keep(self, index: int, step: Step) -> None:
        """Does nothing: a prefix needs no cache."""

    def admit(self, other: ToySession) -> None:
        """Does nothing: states have what is written."""

    def drop(self, images: Sequence[int]) -> None:
        """Does nothing."""
