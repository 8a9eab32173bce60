"""Network of the spatial draft model: a light transformer that guesses a whole window of open cells in one pass.

    c_t = W [RMSNorm(h_t); RMSNorm(e_t)]            a known cell t < f: the target's state and the token's embedding
    x_i = o                                         an open cell f <= i < f + N: one learned vector, no token
    x  <- x + Attention(x; keys of c and of x), x + SwiGLU(x)     in every layer
    q_i = softmax(Output(Norm(x_i)))                through the target's own final norm and output layer

Queries and keys are turned by the place of their cell: half of the pairs of a head by its row, half by its column
(RoPE, Su et al., 2021, in two dimensions). Attention is local: an open cell sees the known and the open cells of its
own row and of `rows` rows above, at most `columns` columns away; never by raster neighbourhood, so the end of a row is
no neighbour of the start of the next. The last known cell f - 1 is seen from everywhere, so that no cell is without a
source, in row 0 or behind a row end. Known cells are not refined: their keys and values are made once, when they are
written.

| variable | symbol |
|---|---|
| `frontier` | f, the first open cell |
| `known` | keys and values of c in every layer |
| `config.rows`, `config.columns` | reach of the attention up, and to either side |
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from spatialspec.core.rotary import Rotation, rotate

POSITIONS = ("2-d", "1-d")
ATTENTION = ("local", "global")
DIRECTIONS = ("both", "horizontal", "vertical")
BASE = 100.0  # longest wavelength over the shortest, by rows and by columns; its square over a raster of both
NOWHERE = -1  # in place of a cell: an empty slot, or behind the last cell


@dataclass(frozen=True)
class SpatialModelConfig:
    """Sizes of the network, and what the ablations change.

    Attributes:
        width: of the target, d.
        layers: 1 to 4.
        head_width: of an attention head, for a target that is at least so wide.
        expansion: inner width of SwiGLU over d.
        rows: rows above its own that a cell sees.
        columns: columns to either side that a cell sees.
        positions: one of POSITIONS; "1-d" turns by the raster index instead.
        attention: one of ATTENTION; "global" sees every known cell and the whole window.
        directions: one of DIRECTIONS; "horizontal" sees its own row and the last known cell, "vertical" the rows above.
    """

    width: int
    layers: int = 2
    head_width: int = 64
    expansion: int = 2
    rows: int = 3
    columns: int = 6
    positions: str = "2-d"
    attention: str = "local"
    directions: str = "both"

    def __post_init__(self) -> None:
        for name, choices in (("positions", POSITIONS), ("attention", ATTENTION), ("directions", DIRECTIONS)):
            if getattr(self, name) not in choices:
                raise ValueError(f"got {name} {getattr(self, name)!r}, expected one of {', '.join(choices)}")
        for name, low, high in (("layers", 1, 4), ("expansion", 1, 8), ("rows", 1, 64), ("columns", 0, 64)):
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"got {name} {getattr(self, name)}, expected {low} to {high}")
        if self.head_width < 4 or self.width % self.heads or self.width // self.heads % 4:
            raise ValueError(
                f"got width {self.width} and head_width {self.head_width}, expected heads of one width, a multiple of 4"
            )

    @property
    def heads(self) -> int:
        """Attention heads."""
        return max(1, self.width // self.head_width)

    def memory(self, columns: int, cells: int) -> int:
        """How many of the last known cells an open cell may see, on a grid with so many columns and cells."""
        return cells if self.attention == "global" else min(cells, (self.rows + 1) * columns)

    def rotation(self, cells: Int[Tensor, "*N"], columns: int) -> Rotation:
        """Cosines and sines for cells of a grid."""
        pairs = self.width // self.heads // 2
        if self.positions == "1-d":
            angles = BASE ** (-2 * torch.arange(pairs, device=cells.device) / pairs)
            turns = cells[..., None] * angles
        else:
            angles = BASE ** (-torch.arange(pairs // 2, device=cells.device) / (pairs // 2))
            turns = torch.cat((cells[..., None] // columns * angles, cells[..., None] % columns * angles), dim=-1)
        return turns.cos(), turns.sin()

    def visible(
        self, columns: int, known: Int[Tensor, "*B S"], cells: Int[Tensor, "*B M"], frontier: Int[Tensor, "*B M"]
    ) -> Bool[Tensor, "*B M S+M"]:
        """What open cells see: of the known slots, then of each other.

        Example: on 3 columns with rows = columns = 1 and f = 4, the open cell 6 (row 2, column 0) sees the known cell 3
        above it (and none else but the last, which is 3, too), and the open cells 4 (up and right), 6 itself and 7.

        Args:
            columns: of the grid.
            known: cell of every slot, NOWHERE for an empty one.
            cells: open cells, of one window or of several with a frontier of their own; NOWHERE behind the last cell.
            frontier: of the window that each open cell belongs to.
        """
        own, first = cells[..., :, None], frontier[..., :, None]
        other = torch.cat((known, cells), dim=-1)[..., None, :]
        up = own // columns - other // columns
        if self.attention == "local":
            aside = (own % columns - other % columns).abs()
            seen = (up >= 0) & (up <= self.rows) & (aside <= self.columns)
        else:
            seen = torch.ones_like(up, dtype=torch.bool)
        if self.directions == "horizontal":
            seen &= up == 0
        if self.directions == "vertical":
            seen &= up > 0
        else:
            seen |= other == first - 1
        slots = known.shape[-1]
        there = other >= 0
        before = there[..., :slots] & (other[..., :slots] < first)
        together = there[..., slots:] & (frontier[..., None, :] == first)
        itself = torch.eye(cells.shape[-1], dtype=torch.bool, device=cells.device)
        return torch.cat((seen[..., :slots] & before, seen[..., slots:] & together | itself), dim=-1)


class SpatialLayer(nn.Module):
    """x + attention(norm(x)), then x + SwiGLU(norm(x)); the identity at first."""

    def __init__(self, config: SpatialModelConfig) -> None:
        super().__init__()
        d, self.heads = config.width, config.heads
        self.attention_norm = nn.RMSNorm(d, eps=1e-6)
        self.query = nn.Linear(d, d, bias=False)
        self.key_value = nn.Linear(d, 2 * d, bias=False)
        self.query_norm = nn.RMSNorm(d // self.heads, eps=1e-6)
        self.key_norm = nn.RMSNorm(d // self.heads, eps=1e-6)
        self.out = nn.Linear(d, d, bias=False)
        self.mlp_norm = nn.RMSNorm(d, eps=1e-6)
        self.gate_up = nn.Linear(d, 2 * config.expansion * d, bias=False)
        self.down = nn.Linear(config.expansion * d, d, bias=False)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.down.weight)

    def keys_values(self, normed: Float[Tensor, "B N d"], rotation: Rotation) -> Float[Tensor, "2 B H N D"]:
        """Keys and values of cells, from their normed vectors."""
        k, v = self.key_value(normed).unflatten(-1, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return torch.stack((rotate(self.key_norm(k), rotation), v))

    def forward(
        self,
        x: Float[Tensor, "B M d"],
        rotation: Rotation,
        known: Float[Tensor, "2 B H S D"],
        mask: Bool[Tensor, "B 1 M S+M"],
    ) -> Float[Tensor, "B M d"]:
        """One layer."""
        normed = self.attention_norm(x)
        q = self.query(normed).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        k, v = torch.cat((known, self.keys_values(normed, rotation)), dim=-2)
        seen = F.scaled_dot_product_attention(rotate(self.query_norm(q), rotation), k, v, attn_mask=mask)
        x = x + self.out(seen.transpose(1, 2).flatten(2))
        gate, up = self.gate_up(self.mlp_norm(x)).chunk(2, dim=-1)
        return x + self.down(F.silu(gate) * up)


class SpatialNetwork(nn.Module):
    """The network; what comes out are pre-norm states in the target's own space."""

    def __init__(self, config: SpatialModelConfig) -> None:
        super().__init__()
        d = config.width
        self.config = config
        self.state_norm = nn.RMSNorm(d, eps=1e-6)
        self.token_norm = nn.RMSNorm(d, eps=1e-6)
        self.read_in = nn.Linear(2 * d, d, bias=False)
        self.open = nn.Parameter(0.02 * torch.randn(d))
        self.layers = nn.ModuleList(SpatialLayer(config) for _ in range(config.layers))

    def read(
        self, hidden: Float[Tensor, "B N d"], embedding: Float[Tensor, "B N d"], rotation: Rotation
    ) -> Float[Tensor, "L 2 B H N D"]:
        """Keys and values of known cells in every layer.

        Args:
            hidden: the target's pre-norm states that output these cells.
            embedding: of their tokens, by the target.
            rotation: of these cells, (N, P) or (B, 1, N, P).
        """
        c = self.read_in(torch.cat((self.state_norm(hidden), self.token_norm(embedding)), dim=-1))
        layers = cast("list[SpatialLayer]", self.layers)
        return torch.stack([layer.keys_values(layer.attention_norm(c), rotation) for layer in layers])

    def forward(
        self, known: Float[Tensor, "L 2 B H S D"], rotation: Rotation, mask: Bool[Tensor, "B 1 M S+M"]
    ) -> Float[Tensor, "B M d"]:
        """States that output open cells.

        Args:
            known: of :meth:`read`.
            rotation: of the open cells, (M, P) or (B, 1, M, P).
            mask: of :meth:`SpatialModelConfig.visible`, with a dimension for the heads.
        """
        x = self.open.expand(known.shape[2], mask.shape[-2], -1)
        for layer, slots in zip(self.layers, known, strict=True):
            x = layer(x, rotation, slots, mask)
        return x
