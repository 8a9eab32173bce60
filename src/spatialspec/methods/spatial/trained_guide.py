"""The guide `trained`: a small network that corrects the target's states for tokens that have changed since.

    x_i = W [RMSNorm(n'_i); RMSNorm(e(c_i)); RMSNorm(e(c'_i))]      slot i has read c'_i, and c_i stands there now
    x  <- x + Attention(x), x + SwiGLU(x)                           in every layer, over ancestors and known cells
    r_i = warp(Output(n'_i + D RMSNorm(x_i)))                       the next cell, after the tokens that stand there now

n' is the target's normed state in the slot, with the guidance of its streams (output layers are linear in it), of the
cache entry for the next cell that fits best. So the network need not know the image, only what a change changes; the
layer of EAGLE (arXiv 2401.15077), which reads states of the target too, does not know of tokens that were read instead.
A slot whose next cell no pass has scored has n' = 0.

| variable | symbol |
|---|---|
| `states` | n' by cell after the slot and tokens x' |
| `known` | n of the last committed cells |
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self, cast

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from spatialspec.core.context import DecodeContext
from spatialspec.core.errors import BadInput
from spatialspec.core.interfaces import Head
from spatialspec.core.proposal import ROOT, Proposal
from spatialspec.core.rotary import Rotation
from spatialspec.core.sampling import Sampling
from spatialspec.core.sizes import Size
from spatialspec.core.state import State
from spatialspec.core.step import Step
from spatialspec.methods.network import DraftNetwork
from spatialspec.methods.spatial.guide import Guide
from spatialspec.methods.spatial.memory import Key, Memory, Place, places
from spatialspec.methods.spatial_model.config import SpatialModelConfig
from spatialspec.methods.spatial_model.network import SpatialLayer

RELIABLE = (0, 0)  # entries of so many equal tokens, so many passes ago, are as reliable


@dataclass(frozen=True)
class GuideConfig:
    """Sizes of the network.

    Attributes:
        width: of the target, d.
        layers: 1 to 4.
        head_width: of an attention head, for a target that is at least so wide.
        expansion: inner width of SwiGLU over d, 1 to 8.
        known: committed cells before the window that are read, 1 to 1024.
    """

    width: Size
    layers: int = 1
    head_width: Size = 64
    expansion: int = 2
    known: int = 26

    def __post_init__(self) -> None:
        _ = self.layer
        if not 1 <= self.known <= 1024:
            raise BadInput(f"known {self.known}", "1 to 1024")

    @property
    def layer(self) -> SpatialModelConfig:
        """Sizes and positions of a layer.

        Raises:
            BadInput: they do not fit each other.
        """
        return SpatialModelConfig(
            width=self.width, layers=self.layers, head_width=self.head_width, expansion=self.expansion,
            attention="global",
        )  # fmt: skip


class GuideNetwork(DraftNetwork):
    """The network; at first it corrects nothing."""

    config_type = GuideConfig
    config: GuideConfig

    def __init__(self, config: GuideConfig) -> None:
        super().__init__(config)
        d = config.width
        self.state_norm = nn.RMSNorm(d, eps=1e-6)
        self.token_norm = nn.RMSNorm(d, eps=1e-6)
        self.read_in = nn.Linear(3 * d, d, bias=False)
        self.layers = nn.ModuleList(SpatialLayer(config.layer) for _ in range(config.layers))
        self.norm = nn.RMSNorm(d, eps=1e-6)
        self.change = nn.Linear(d, d, bias=False)
        nn.init.zeros_(self.change.weight)

    def forward(
        self,
        states: Float[Tensor, "B N d"],
        new: Float[Tensor, "B N d"],
        old: Float[Tensor, "B N d"],
        rotation: Rotation,
        mask: Bool[Tensor, "#B 1 N N"],
    ) -> Float[Tensor, "B N d"]:
        """Normed states after the new tokens.

        Args:
            states: n' of every slot.
            new: embedding of the token c of every slot.
            old: the same of c'.
            rotation: of the cells of the slots.
            mask: slots that a slot attends to, itself among them.
        """
        x = self.read_in(torch.cat((self.state_norm(states), self.token_norm(new), self.token_norm(old)), dim=-1))
        for layer in cast("list[SpatialLayer]", self.layers):
            x = layer.attend(x, rotation, layer.keys_values(x, rotation), mask)
        return states + self.change(self.norm(x))


def guided(target: Head, sampling: Sampling, hidden: Float[Tensor, "G *N d"]) -> Float[Tensor, "*N d"]:
    """Normed states of the streams -> the one whose logits are guided, in fp32."""
    return sampling.guided(target.norm(hidden).float())


def unguided(sampling: Sampling) -> Sampling:
    """The sampling of logits that are guided already."""
    return replace(sampling, guidance=1.0)


class TrainedGuide(Guide):
    """The guide `trained` of one image. Cells of the next grid count as if they were rows of the present one.

    Raises:
        BadInput: there are no draft weights for it.
    """

    def __init__(self, context: DecodeContext, memory: Memory, count: int) -> None:
        super().__init__(context, memory, count)
        self.context, self.network = context, context.find(GuideNetwork, "guide")
        self.states: dict[int, dict[Key, Float[Tensor, "d"]]] = {}
        self.known: dict[int, Float[Tensor, "d"]] = {}
        self._type = torch.float32  # of the target

    @classmethod
    def run(cls, guides: Sequence[Self], states: Sequence[State], proposals: Sequence[Proposal]) -> None:
        """See :class:`Guide`."""
        for guide, state, proposal in zip(guides, states, proposals, strict=True):
            guide.correct(state, proposal)

    def correct(self, state: State, proposal: Proposal) -> None:
        """Correct the guesses behind every token of the proposal that the best entry has not read."""
        target, frontier = self.context.target, state.frontier
        grid, index = state.layout.locate(frontier - 1)
        first = frontier - 1 - index  # cell of the grid
        before = range(max(first, frontier - self.network.config.known), frontier)
        root = len(before) - 1
        above = [root if parent == ROOT else root + 1 + parent for parent in proposal.parents]
        new = [*(state.tokens[cell] for cell in before), *proposal.tokens]
        old, rows = new[:root], dict[Place, int]()
        states: list[Tensor | None] = [self.known.get(cell + 1) for cell in before[:-1]]
        for slot, (cell, key) in enumerate(places(state, proposal), start=root):
            entry = self.memory.nearest(cell, key)
            old.append(new[slot] if entry is None else entry.key[0])
            states.append(None if entry is None else self.states[cell].get(entry.key))
            if entry is not None and not entry.equal and states[-1] is not None:
                rows[cell, key] = slot
        if not rows:
            return
        device, nothing = self.network.change.weight.device, torch.zeros_like(self.network.norm.weight)
        stacked = torch.stack([nothing if state is None else state for state in states])
        mask = torch.ones(len(new), len(new), dtype=torch.bool).tril_()
        for slot, parent in enumerate(above, start=root + 1):
            mask[slot] = mask[parent]
            mask[slot, slot] = True
        cells = torch.tensor([*before, *proposal.cells], device=device) - first
        rotation = self.network.config.layer.rotation(cells, grid.columns)
        embedding = target.embed(torch.tensor([new, old], device=device)).float()
        corrected = self.network(stacked[None], embedding[:1], embedding[1:], rotation, mask[None, None].to(device))
        logits = target.output(corrected[:, [*rows.values()]].to(self._type))
        self.guess(unguided(self.context.sampling).distribution(logits), dict.fromkeys(rows, RELIABLE))

    def observe(self, step: Step) -> None:
        """See :class:`Guide`: the target's states."""
        states = guided(self.context.target, self.context.sampling, step.scores.hidden)
        self._type = step.scores.hidden.dtype
        before, first = step.before, step.before.frontier + len(step.written)
        committed = zip(range(before.frontier, first), step.verdict.slots(), strict=True)
        self.known |= {cell: states[slot] for cell, slot in committed}
        self.known = {cell: kept for cell, kept in self.known.items() if cell >= first - self.network.config.known}
        for slot, (cell, key) in enumerate(places(before, step.proposal)):
            self.states.setdefault(cell, {})[key] = states[slot]
        self.states = {cell: entries for cell, entries in self.states.items() if cell >= first}
