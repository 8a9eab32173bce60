"""Hawk (arXiv 2510.25739): horizontal and vertical heads, a cache of vertical predictions, a spatial pool, a tree.

| variable | symbol in the paper |
|---|---|
| `horizontal` | n, heads that draft cell t + k from h_t |
| `vertical` | VSD, heads that draft cell t + k * IW from h_t |
| `layout.widest` | IW; of several grids the widest, where a narrower one uses less of the cache |
| `_cache` | cache of vertical predictions, IW * VSD (VSD + 1) / 2 entries |
| `vertical_samples`, `horizontal_samples` | a, b: candidates per depth from each direction |

The target's output layer draws cell t from the state h_t. A head is x + SiLU(W x) on the normed state (Medusa's
residual block; section 3.1), followed by the frozen output layer. The pool at cell P is VertSpec(P) = {head k at
P - k * IW} and HorizSpec(P) = {head j at P - j}. Candidates are drawn vertical first, round robin over the heads, then
horizontal; in row 0, without a vertical source, the horizontal one draws its candidates too. The tree is the Cartesian
product. `hawk-vertical` is vertical heads alone; horizontal heads alone are Medusa (`medusa.py`).

Several grids: the first row of each is a row 0, without a vertical source; horizontal heads draft on from one grid into
the next, and `hawk-vertical` drafts nothing there.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from spatialspec.core.context import DecodeContext
from spatialspec.core.errors import BadInput
from spatialspec.core.interfaces import Drafter, Verifier
from spatialspec.core.proposal import Proposal
from spatialspec.core.sizes import CountOrNone, Size
from spatialspec.core.state import State
from spatialspec.core.step import Step
from spatialspec.methods import trees
from spatialspec.methods.method import Method
from spatialspec.methods.network import DraftNetwork
from spatialspec.methods.options import Budget, Tolerance

Origin = tuple[str, int]  # of a candidate: "vertical" or "horizontal", and how far its source lies


@dataclass(frozen=True)
class HawkConfig:
    """Sizes of the heads.

    Attributes:
        width: of the target.
        horizontal: number of horizontal heads n.
        vertical: number of vertical heads VSD.
    """

    width: Size
    horizontal: CountOrNone = 2
    vertical: CountOrNone = 2


class HawkHeads(DraftNetwork):
    """All heads, initialised to zero, so that every head begins as the identity."""

    config_type = HawkConfig
    config: HawkConfig

    def __init__(self, config: HawkConfig) -> None:
        super().__init__(config)
        self.horizontal = nn.Parameter(torch.zeros(config.horizontal, config.width, config.width))
        self.vertical = nn.Parameter(torch.zeros(config.vertical, config.width, config.width))

    @staticmethod
    def apply_heads(weight: Float[Tensor, "K d d"], states: Float[Tensor, "*N d"]) -> Float[Tensor, "K *N d"]:
        """x + SiLU(W_k x) for every head k."""
        flat = states.flatten(0, -2)
        moved = (flat @ weight.flatten(0, 1).T).view(len(flat), *weight.shape[:2]).transpose(0, 1)
        return (flat + F.silu(moved)).view(len(weight), *states.shape)

    @classmethod
    def find(cls, context: DecodeContext, horizontal: int, vertical: int) -> HawkHeads:
        """The heads among the draft weights of an image.

        Raises:
            BadInput: there are none, or fewer than asked for.
        """
        heads = context.find(cls, "hawk")
        check_heads(horizontal, vertical, heads.config.horizontal, heads.config.vertical)
        return heads


def check_heads(horizontal: int, vertical: int, most_horizontal: int, most_vertical: int) -> None:
    """Refuse more heads than there are.

    Raises:
        BadInput: of one direction more are asked for.
    """
    if horizontal > most_horizontal or vertical > most_vertical:
        expected = f"at most the {most_horizontal} and {most_vertical} heads of the draft weights"
        raise BadInput(f"horizontal={horizontal}, vertical={vertical}", expected)


class TreeOptions(Budget):
    """Shape of the tree. Depth is reduced where the full product would exceed the budget; slots take the likeliest."""

    lifted = "depth", "vertical_samples", "horizontal_samples"
    horizontal: int = Field(default=2, ge=0, le=16, description="horizontal heads n in use")
    vertical: int = Field(default=2, ge=0, le=16, description="vertical heads VSD in use")
    depth: int = Field(default=2, ge=1, le=16, description="cells drafted ahead")
    vertical_samples: int = Field(default=1, ge=0, le=64, description="candidates per depth from vertical heads, a")
    horizontal_samples: int = Field(default=1, ge=0, le=64, description="candidates per depth from horizontal heads, b")


class HawkOptions(TreeOptions, Tolerance):
    """Options of the tree, and the tolerance under coupled noise."""


class HawkVerticalOptions(HawkOptions):
    """Vertical heads alone: two candidates, as many as Hawk has in total."""

    horizontal: int = Field(default=0, ge=0, le=16, description="horizontal heads n in use")
    vertical_samples: int = Field(default=2, ge=0, le=64, description="candidates per depth from vertical heads, a")
    horizontal_samples: int = Field(default=0, ge=0, le=64, description="candidates per depth from horizontal heads, b")


class Hawk(Drafter):
    """Heads, vertical cache, pool and tree for one image.

    Raises:
        BadInput: there are no draft weights, or they have too few heads.
    """

    def __init__(self, context: DecodeContext, options: TreeOptions, verifier: Verifier) -> None:
        self.target, self.sampling, self.verifier, self.options = context.target, context.sampling, verifier, options
        self.layout = context.layout
        heads = self.heads(context)
        self.right = heads.horizontal[: options.horizontal]
        self.down = heads.vertical[: options.vertical]
        # the output of head k is used for k rows: that of cell t is stored at t modulo k * IW
        self._cache = [
            heads.vertical.new_empty(k * self.layout.widest, self.sampling.streams, self.target.width)
            for k in range(1, options.vertical + 1)
        ]
        self._right_states: Float[Tensor, "n G d"] | None = None

    def heads(self, context: DecodeContext) -> HawkHeads:
        """The draft weights."""
        return HawkHeads.find(context, self.options.horizontal, self.options.vertical)

    def observe(self, step: Step) -> None:
        """Run the heads at the cells just committed; cache vertical outputs."""
        states = self.observe_above(step)
        if self.options.horizontal:
            self._right_states = HawkHeads.apply_heads(self.right, states[:, -1])

    def observe_above(self, step: Step) -> Float[Tensor, "G n d"]:
        """Run the vertical heads, and cache their outputs; return the normed states of the cells just committed."""
        slots, hidden, frontier = step.verdict.slots(), step.scores.hidden, step.before.frontier
        states = self.target.norm(hidden[:, slots] if len(slots) > 1 else hidden[:, slots[0] : slots[0] + 1])
        if self.options.vertical:
            below = self.below(states)
            for k, store in enumerate(self._cache):
                cells = range(frontier, frontier + len(slots))[-len(store) :]  # write each entry at most once
                store[[cell % len(store) for cell in cells]] = below[k][:, -len(cells) :].transpose(0, 1)
        return states

    def below(self, states: Float[Tensor, "G n d"]) -> Float[Tensor, "k G n d"]:
        """What the cache holds of cells, for every vertical head."""
        return HawkHeads.apply_heads(self.down, states)

    def propose(self, state: State) -> Proposal:
        """Pool and tree for the cells behind the frontier."""
        levels = [self.pool(state.frontier + j, j) for j in range(self._depth(state))]
        shape = self.shape(levels)
        if not shape:
            return Proposal()
        sources: list[Float[Tensor, "G d"]] = []
        origins: list[Origin] = []
        plan = list[list[int]]()
        for j, (level, count) in enumerate(zip(levels, trees.used(shape), strict=False)):
            new = [*dict.fromkeys(level[:count])]
            plan.append([len(origins) + new.index(origin) for origin in level[:count]])
            sources += [self.source(state.frontier + j, origin) for origin in new]
            origins += new
        q = self.sampling.distribution(self.target.output(torch.stack(sources, dim=1)))
        proposal = trees.proposal(shape, plan, q, self.verifier, state)
        proposal.sources = origins
        return proposal

    def shape(self, levels: Sequence[Sequence[Origin]]) -> trees.Shape:
        """The tree over these pools."""
        candidates = tuple(map(len, levels))
        return trees.likeliest(candidates, self.options.budget) if self.options.slots else trees.product(candidates)

    def source(self, cell: int, origin: Origin) -> Float[Tensor, "G d"]:
        """State of a source of the pool at a cell."""
        direction, distance = origin
        if direction == "vertical":
            above, store = self.layout.above(cell, distance), self._cache[distance - 1]
            assert above is not None
            return store[above % len(store)]
        assert self._right_states is not None
        return self._right_states[distance - 1]

    def pool(self, cell: int, ahead: int) -> list[Origin]:
        """The source of every candidate at a cell, its direction and its distance, vertical first.

        With `slots` both directions take turns, as the tree may end between them. A source has no more candidates than
        there are tokens.
        """
        s, most = self.options, self.target.vocabulary
        above = [(k, self.layout.above(cell, k)) for k in range(1, s.vertical + 1)]
        vertical = [("vertical", k) for k, source in above if source is not None and source < cell - ahead]  # committed
        pool = [vertical[i % len(vertical)] for i in range(min(s.vertical_samples, most * len(vertical)))]
        if self.reaches(cell, ahead):
            unused = s.vertical_samples if s.vertical and not vertical else 0
            right = [("horizontal", ahead + 1)] * min(s.horizontal_samples + unused, most)
            turns = itertools.zip_longest(pool, right) if s.slots else [(*pool, *right)]
            pool = [origin for turn in turns for origin in turn if origin is not None]
        return pool

    def reaches(self, cell: int, ahead: int) -> bool:
        """Whether a cell, `ahead` of the first open one, has a horizontal source."""
        return self._right_states is not None and ahead < self.options.horizontal

    def _depth(self, state: State) -> int:
        """Levels of the tree: they depend on no drawn token, as rejection requires."""
        s = self.options
        if s.slots:
            return min(s.depth, self.layout.cells - state.frontier)
        per_level = s.vertical_samples * bool(s.vertical) + s.horizontal_samples * bool(s.horizontal)
        depth, nodes = 0, 0
        while depth < s.depth and nodes + per_level ** (depth + 1) <= s.budget:
            depth += 1
            nodes += per_level**depth
        return min(depth, self.layout.cells - state.frontier)


HAWK = Method(
    "hawk", "vertical and horizontal heads, spatial pool", HawkOptions(), Hawk, drafts="hawk", variants=("slots=6",)
)
HAWK_VERTICAL = Method(
    "hawk-vertical", "Hawk's vertical heads alone", HawkVerticalOptions(), Hawk, drafts="hawk", variants=("slots=4",)
)
