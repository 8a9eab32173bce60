"""Hydra and EAGLE beside naive ones, which read a whole path again for every node and keep nothing between passes."""

from __future__ import annotations

import torch
from torch import Tensor

from spatialspec.core.interfaces import Head
from spatialspec.core.proposal import ROOT, Proposal
from spatialspec.core.state import State
from spatialspec.core.step import Step
from spatialspec.methods.ar import AR
from spatialspec.methods.eagle import EagleNetwork
from spatialspec.methods.hawk import HawkHeads
from spatialspec.methods.hydra import Hydra, HydraHeads


def drafted(drafts: HydraHeads | EagleNetwork, target: Head, states: Tensor, tokens: list[int], columns: int) -> Tensor:
    """State (G, d) that is drafted for the cell behind `tokens`, of which the first have normed states (G, n, d)."""
    embedding = target.embed(torch.tensor(tokens))
    if isinstance(drafts, HydraHeads):
        ahead = len(tokens) - states.shape[1]
        return drafts(False, ahead, states[:, -1], embedding[len(tokens) - ahead - 1 :])
    config = drafts.config.layer
    while states.shape[1] <= len(tokens):
        count = states.shape[1]
        z = drafts.read(states, embedding[:count])
        rotation = config.rotation(torch.arange(count), columns)
        causal = torch.ones(1, 1, count, count, dtype=torch.bool).tril()
        next_states = drafts.layer.attend(z, rotation, drafts.layer.keys_values(z, rotation), causal)
        states = torch.cat((states, next_states[:, -1:]), dim=1)
    return states[:, -1]


class Naive(AR):
    """Runs a shipped drafter and checks every q of its proposals."""

    def __init__(self, drafter: Hydra) -> None:
        self.drafter, self.states = drafter, list[Tensor]()
        self.levels: set[int] = set()
        self.origins: set[str] = set()

    def observe(self, step: Step) -> None:
        self.states += self.drafter.target.norm(step.scores.hidden[:, step.verdict.slots()]).unbind(1)
        self.drafter.observe(step)

    def propose(self, state: State) -> Proposal:
        shipped = self.drafter.propose(state)
        tokens, d = shipped.tokens, self.drafter
        assert shipped.q is not None or not len(shipped)
        for slot, tests in shipped.tests.items():
            path, node = list[int](), slot - 1
            while node != ROOT:
                path.insert(0, tokens[node])
                node = shipped.parents[node]
            self.levels.add(len(path))
            grid, index = state.layout.locate(state.frontier - 1)
            first = state.frontier - 1 - index
            begin = first if isinstance(d.network, EagleNetwork) else 0
            for _, q in tests:
                direction, distance = shipped.sources[q]
                self.origins.add(direction)
                written = [*state.tokens, *path]
                if direction == "horizontal":
                    states = torch.stack(self.states[begin:], dim=1)
                    guess = drafted(d.network, d.target, states, written[begin:], grid.columns)
                else:
                    guess = self.above(state, written, distance)
                expected = d.sampling.distribution(d.target.output(guess[:, None]))[0]
                assert shipped.q is not None
                torch.testing.assert_close(shipped.q[q], expected, atol=1e-5, rtol=0)
        return shipped

    def above(self, state: State, written: list[int], distance: int) -> Tensor:
        """State of the vertical source, of Hawk's heads or of those that read the left neighbour."""
        d, source = self.drafter, state.layout.above(len(written), distance)
        assert source is not None and source < state.frontier
        x = self.states[source]
        if d.conditioned:
            return d.network(True, distance - 1, x, d.target.embed(torch.tensor(written[-1:])))
        return HawkHeads.apply_heads(d.down[distance - 1 : distance], x)[0]
