"""Images whose cells are written out of order: ZipAR, PJD, and a drafter that scatters chains over the grid."""

from __future__ import annotations

import random
from collections.abc import Sequence

from helpers.sessions import CODES, Target
from spatialspec.audit.toys import parse
from spatialspec.core.context import DecodeContext
from spatialspec.core.noise import Noise
from spatialspec.core.proposal import ROOT, Proposal
from spatialspec.core.sampling import Sampling
from spatialspec.core.state import State
from spatialspec.core.step import Scores, Verdict
from spatialspec.decode import Image
from spatialspec.methods.ar import AR
from spatialspec.methods.method import Method

SAMPLING = Sampling(guidance=2.0, temperature=0.9)
BATCHES = {
    "scattered": ("scatter", "scatter", "scatter"),
    "one of each": ("zipar:window=2@coupled", "pjd:context=2:width=3@rejection", "scatter"),
    "rows that wait": ("zipar:window=1:kind=adaptive@rejection", "pjd:context=1@coupled", "pjd:context=2@rejection"),
    "beside AR": ("ar@coupled", "zipar:window=1@coupled", "zipar:window=2:kind=adaptive@coupled"),
}


class Scatter(AR):
    """Drafter and verifier at once: chains behind every written cell and behind a placeholder; any node may stay."""

    drafts_first_cell = True
    ranks, tolerance = None, 0.0

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)
        self.chains: list[tuple[int, list[int]]] = []

    def propose(self, state: State) -> Proposal:
        free = [cell for cell in range(state.layout.cells) if state.token(cell) is None]
        proposal, self.chains = Proposal(), []
        for first in free:
            if first - 1 not in free:  # the frontier, and behind what is written ahead
                self._chain(proposal, first, ROOT, free)
        placeholder = self.draw.choice(free)
        self._chain(proposal, placeholder + 1, self._add(proposal, placeholder, ROOT), free)
        return proposal

    def _chain(self, proposal: Proposal, first: int, parent: int, free: Sequence[int]) -> None:
        nodes: list[int] = []
        for cell in range(first, first + self.draw.randrange(4)):
            if cell not in free:
                break
            parent = self._add(proposal, cell, parent)
            nodes.append(parent)
        self.chains.append((first, nodes))

    def _add(self, proposal: Proposal, cell: int, parent: int) -> int:
        proposal.cells.append(cell)
        proposal.tokens.append(self.draw.randrange(CODES))
        proposal.parents.append(parent)
        return len(proposal) - 1

    def verify(self, proposal: Proposal, scores: Scores, state: State) -> Verdict:
        kept: list[list[int]] = []
        sampled: dict[int, int] = {}
        taken: set[int] = set()
        for first, nodes in self.chains:
            stay = nodes[: self.draw.randrange(len(nodes) + 1)]
            if taken & {proposal.cells[node] for node in stay}:
                stay = []
            taken |= {proposal.cells[node] for node in stay}
            kept.append(stay)
            after = first + len(stay)
            free = after < state.layout.cells and state.token(after) is None and after not in taken
            if free and (not sampled or self.draw.random() < 0.5):
                sampled[after] = self.draw.randrange(CODES)
                taken.add(after)
        own = sampled.pop(state.frontier + len(kept[0]), None)
        elsewhere = tuple(node for stay in kept[1:] for node in stay)
        return Verdict(tuple(kept[0]), own, None, tuple(sampled.items()), elsewhere)


def images_of(grid: str, makes: Sequence[str]) -> list[Image]:
    """Image i is made by the i-th method, or scattered."""
    shape, made = parse(grid), []
    for i, method in enumerate(makes):
        if method == "scatter":
            both = Scatter(i)
            made.append(Image(State(shape), both, both, SAMPLING))  # type: ignore[arg-type]
        else:
            name, _, rule = method.partition("@")
            context = DecodeContext(Target(), [], SAMPLING, shape, Noise(i, shape.cells, CODES))
            made.append(Image(State(shape), *Method.parse(name).make(context, rule), SAMPLING))
    return made
