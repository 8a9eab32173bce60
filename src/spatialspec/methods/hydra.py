"""Hydra (arXiv 2402.05109): Medusa's heads, which also read the drafted tokens before theirs; Hawk's vertical source.

    head k drafts cell t + k:   x = h_t,  u = [h_t; e(c_t); e(c_{t+1}); ..; e(c_{t+k-1})]
                                x + SiLU(W_k u), then the frozen output layer

h_t is the normed state that outputs c_t, the last committed token; the tokens behind it are drafted, so the heads run
level after level of the tree, once for every node with children. q of a node depends on the tokens of its path alone:
exact under both rules.

`vertical` adds Hawk's vertical source to the pool, from Hawk's draft weights. Weights that have vertical heads of their
own use those: head k reads h_{P-k*IW} and the token to the left of cell P, mostly a drafted one,

    x = h_{P-k*IW},  x + SiLU(V_k [x; e(c_{P-1})])

Hawk's pool conditioned on the left neighbour, with `horizontal` heads that read all tokens of the path.

| variable | symbol |
|---|---|
| `horizontal` | number of heads |
| `_seen` | e(c_t), .., of the path to every node with children |
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor, nn

from spatialspec.core.context import DecodeContext
from spatialspec.core.noise import rows
from spatialspec.core.proposal import Proposal
from spatialspec.core.sizes import Count, CountOrNone, Size
from spatialspec.core.state import State
from spatialspec.core.step import Step
from spatialspec.methods import trees
from spatialspec.methods.hawk import Hawk, HawkConfig, HawkHeads, Origin, TreeOptions, check_heads
from spatialspec.methods.method import Method
from spatialspec.methods.network import DraftNetwork
from spatialspec.methods.options import Tolerance


@dataclass(frozen=True)
class HydraConfig:
    """Sizes of the heads.

    Attributes:
        width: of the target.
        horizontal: number of heads to the right; head k reads k tokens.
        vertical: number of heads down, which read the token to the left of their cell.
    """

    width: Size
    horizontal: Count = 3
    vertical: CountOrNone = 0


class HydraHeads(DraftNetwork):
    """All heads, initialised to zero, so that every head begins as the identity."""

    config_type = HydraConfig
    config: HydraConfig

    def __init__(self, config: HydraConfig) -> None:
        super().__init__(config)
        d = config.width
        self.token_norm = nn.RMSNorm(d, eps=1e-6)
        self.horizontal = nn.ParameterList(torch.zeros(d, (k + 2) * d) for k in range(config.horizontal))
        self.vertical = nn.ParameterList(torch.zeros(d, 2 * d) for _ in range(config.vertical))

    def forward(
        self, down: bool, index: int, states: Float[Tensor, "*N d"], seen: Float[Tensor, "*#N k d"]
    ) -> Float[Tensor, "*N d"]:
        """States that a head drafts, from normed states and the embeddings of the tokens that it reads."""
        weight = (self.vertical if down else self.horizontal)[index]
        tokens = self.token_norm(seen).flatten(-2).expand(*states.shape[:-1], -1)
        return states + F.silu(torch.cat((states, tokens), dim=-1) @ weight.T)


class SequentialOptions(TreeOptions, Tolerance):
    """Options of the tree, and the tolerance under coupled noise; by default Medusa's tree."""

    horizontal: int = Field(default=2, ge=1, le=16, description="cells drafted to the right, one after the other")
    vertical: int = Field(default=0, ge=0, le=16, description="vertical heads VSD in use, of Hawk's draft weights")
    horizontal_samples: int = Field(default=2, ge=0, le=64, description="candidates per node from the right, b")


class Hydra(Hawk):
    """Hawk whose horizontal candidates are drafted one level of the tree after the other, for one image.

    Raises:
        BadInput: there are no draft weights, or they have too few heads.
    """

    options: SequentialOptions
    network: DraftNetwork
    conditioned = False  # whether vertical candidates depend on the token to the left
    _read: tuple[Float[Tensor, "G 1 d"], Int[Tensor, "1"]] | None = None  # state and token of the last committed cell
    _last: Float[Tensor, "G 1 d"]
    _seen: Float[Tensor, "P k d"]

    def heads(self, context: DecodeContext) -> HawkHeads:
        """Take Hydra's draft weights; return those of Hawk's vertical source, none if it is not in the pool."""
        self.network = context.find(HydraHeads, "hydra")
        sizes, s = self.network.config, self.options
        self.conditioned = bool(sizes.vertical)
        check_heads(s.horizontal, s.vertical if self.conditioned else 0, sizes.horizontal, sizes.vertical)
        return self.hawk(context, 0 if self.conditioned else s.vertical)

    def hawk(self, context: DecodeContext, vertical: int) -> HawkHeads:
        """Hawk's draft weights; none if no vertical heads are wanted."""
        if vertical:
            return HawkHeads.find(context, 0, vertical)
        return HawkHeads(HawkConfig(self.target.width, 0, 0)).to(next(self.network.parameters()))

    def below(self, states: Float[Tensor, "G n d"]) -> Float[Tensor, "k G n d"]:
        """See :class:`Hawk`; heads of one's own run later, when the left neighbour is drafted."""
        return states.expand(self.options.vertical, *states.shape) if self.conditioned else super().below(states)

    def observe(self, step: Step) -> None:
        """Cache vertical outputs; remember state and token of the last cell."""
        states = self.observe_above(step)
        self._read = states[:, -1:], torch.tensor(step.written[-1:], device=states.device)

    def reaches(self, cell: int, ahead: int) -> bool:
        """See :class:`Hawk`."""
        return self._read is not None and ahead < self.options.horizontal

    def propose(self, state: State) -> Proposal:
        """Pool and tree for the cells behind the frontier."""
        levels = [self.pool(state.frontier + j, j) for j in range(self._depth(state))]
        shape = self.shape(levels)
        if not shape:
            return Proposal()
        pools = [level[:count] for level, count in zip(levels, trees.used(shape), strict=False)]
        sources = [[*dict.fromkeys(pool)] for pool in pools]
        plan = [[own.index(origin) for origin in pool] for own, pool in zip(sources, pools, strict=True)]
        origins: list[Origin] = []

        def expand(ahead: int, up: list[int], tokens: Int[Tensor, "P"]) -> Float[Tensor, "P S V"]:
            origins.extend(sources[ahead] * len(up))
            states = self.drafted(state.frontier + ahead, ahead, up, tokens, sources[ahead])
            return self.sampling.distribution(self.target.output(torch.stack(states, dim=2)))

        assert self._read is not None
        self.begin(self._read[0])
        tree = trees.grown(shape, plan, expand, self._read[1], self.verifier, state)
        tree.sources = origins
        return tree

    def drafted(
        self, cell: int, ahead: int, up: list[int], tokens: Int[Tensor, "P"], sources: list[Origin]
    ) -> list[Float[Tensor, "G P d"]]:
        """States of every source at a cell, after each node of the level before.

        Args:
            cell: to be drafted.
            ahead: its level.
            up: index of the node's parent among those of the level before.
            tokens: of the nodes.
            sources: of the pool.
        """
        embedding = self.target.embed(tokens.clamp(max=self.target.vocabulary - 1))  # V where q was not finite
        right = self.right_of(cell, ahead, up, embedding) if self.reaches(cell, ahead) else None
        states = []
        for direction, distance in sources:
            if direction == "horizontal":
                assert right is not None
                states.append(right)
                continue
            above = self.source(cell, (direction, distance))[:, None].expand(-1, len(up), -1)
            if self.conditioned:
                above = self.network(True, distance - 1, above, embedding[:, None])
            states.append(above)
        return states

    def begin(self, last: Float[Tensor, "G 1 d"]) -> None:
        """Start a tree, at the state of the last committed cell."""
        self._last, self._seen = last, last.new_empty(1, 0, self.target.width)

    def right_of(self, cell: int, ahead: int, up: list[int], embedding: Float[Tensor, "P d"]) -> Float[Tensor, "G P d"]:
        """Drafted states that output a cell, after each node of the level before; arguments as of `drafted`."""
        self._seen = torch.cat((rows(self._seen, up), embedding[:, None]), dim=1)
        return self.network(False, ahead, self._last.expand(-1, len(up), -1), self._seen)


METHOD = Method(
    "hydra", "heads to the right that read the drafted tokens before theirs", SequentialOptions(), Hydra,
    drafts="hydra", variants=("slots=6:vertical=2",),
)  # fmt: skip
