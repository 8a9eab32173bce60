"""Sizes, position embedding and attention mask of the spatial draft model (`network.py` is the network).

Queries and keys are rotated by position: half of the pairs of a head by row, half by column (RoPE, Su et al., 2021, in
two dimensions). Attention is local: an open cell attends to known and open cells of the same row and of `rows` rows
above, at most `columns` columns away. Distance is two-dimensional: the end of a row is no neighbour of the start of the
next. Every cell attends to the last known cell f - 1, so that none is without a source, in row 0 or behind a row end.

| variable | symbol |
|---|---|
| `frontier` | f, the first open cell |
| `rows`, `columns` | reach of the attention up, and to either side |
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from spatialspec.core.errors import BadInput
from spatialspec.core.rotary import Rotation, grid_rotation
from spatialspec.core.sizes import Size

POSITIONS = ("2-d", "1-d")
ATTENTION = ("local", "global")
DIRECTIONS = ("both", "horizontal", "vertical")
LIMITS = {
    "layers": (1, 4), "expansion": (1, 8), "rows": (1, 64), "columns": (0, 64), "features": (1, 16),
    "vocabulary": (0, 2**20),
}  # fmt: skip
BASE = 100.0  # longest wavelength over the shortest, by rows and by columns; its square over a raster of both
NOWHERE = -1  # no cell: an empty slot, or an index behind the last cell


@dataclass(frozen=True, kw_only=True)
class SpatialModelSizes:
    """Sizes of the network, and what the ablations change.

    Attributes:
        layers: 1 to 4.
        head_width: of an attention head, for a target that is at least so wide.
        expansion: inner width of SwiGLU over d.
        rows: rows above its row that a cell attends to.
        columns: columns to either side that a cell attends to.
        positions: one of POSITIONS; "1-d" rotates by the raster index instead.
        attention: one of ATTENTION; "global" attends to every known cell and the whole window.
        directions: one of DIRECTIONS; "horizontal" attends to the cell's row and the last known cell, "vertical" to the
            rows above.
        features: number of states read at a known cell: of the target's last layer, and of layers at equal distances
            below it. EAGLE-3 reads 3; 1 is the last layer alone.
        vocabulary: number of image tokens that q covers; 0 is all (`vocabulary.py`).
    """

    layers: int = 2
    head_width: Size = 64
    expansion: int = 2
    rows: int = 3
    columns: int = 6
    positions: str = "2-d"
    attention: str = "local"
    directions: str = "both"
    features: int = 1
    vocabulary: int = 0


@dataclass(frozen=True)
class SpatialModelConfig(SpatialModelSizes):
    """The network for one target.

    Attributes:
        width: of the target, d.
    """

    width: Size

    def __post_init__(self) -> None:
        for name, choices in (("positions", POSITIONS), ("attention", ATTENTION), ("directions", DIRECTIONS)):
            if getattr(self, name) not in choices:
                raise BadInput(f"{name} {getattr(self, name)!r}", f"one of {', '.join(choices)}")
        for name, (low, high) in LIMITS.items():
            if not low <= getattr(self, name) <= high:
                raise BadInput(f"{name} {getattr(self, name)}", f"{low} to {high}")
        if self.head_width < 4 or self.width % self.heads or self.width // self.heads % 4:
            raise BadInput(
                f"width {self.width} and head_width {self.head_width}", "heads of one width, a multiple of 4"
            )

    @property
    def heads(self) -> int:
        """Attention heads."""
        return max(1, self.width // self.head_width)

    def layers_read(self, depth: int) -> tuple[int, ...]:
        """Hidden layers that are read besides the last, counted from 1.

        Example: of a target with 6 layers, 3 features are the states after layers 2, 4 and 6.

        Args:
            depth: number of layers whose states the target returns; 1 where it returns only the last.

        Raises:
            BadInput: the target returns fewer than `features`.
        """
        if self.features > depth:
            raise BadInput(
                f"features {self.features}",
                f"at most {depth}, the layers whose states this target returns",
                "read fewer",
            )
        return tuple(depth * i // self.features for i in range(1, self.features))

    def memory(self, columns: int, cells: int) -> int:
        """Number of the last known cells that an open cell may attend to, on a grid of `columns` and `cells`."""
        return cells if self.attention == "global" else min(cells, (self.rows + 1) * columns)

    def rotation(self, cells: Int[Tensor, "*N"], columns: int) -> Rotation:
        """Cosines and sines for cells of a grid."""
        if self.positions == "2-d":
            return grid_rotation(cells, columns, self.width // self.heads, BASE)
        pairs = self.width // self.heads // 2
        angles = cells[..., None] * BASE ** (-2 * torch.arange(pairs, device=cells.device) / pairs)
        return angles.cos(), angles.sin()

    def visible(
        self, columns: int, known: Int[Tensor, "*B S"], cells: Int[Tensor, "*B M"], frontier: Int[Tensor, "*B M"]
    ) -> Bool[Tensor, "*B M seen"]:
        """Attention mask of open cells: over known slots, then over open cells.

        Example: on 3 columns with rows = columns = 1 and f = 4, the open cell 6 (row 2, column 0) attends to the known
        cell 3 above it, which is also the last known cell, and to the open cells 4 (up and right), 6 and 7.

        Args:
            columns: of the grid.
            known: cell of every slot, NOWHERE for an empty one.
            cells: open cells of one window or of several; NOWHERE behind the last cell.
            frontier: first cell of the window that each open cell belongs to.
        """
        query, first = cells[..., :, None], frontier[..., :, None]
        key = torch.cat((known, cells), dim=-1)[..., None, :]
        up = query // columns - key // columns
        if self.attention == "local":
            aside = (query % columns - key % columns).abs()
            seen = (up >= 0) & (up <= self.rows) & (aside <= self.columns)
        else:
            seen = torch.ones_like(up, dtype=torch.bool)
        if self.directions == "horizontal":
            seen &= up == 0
        if self.directions == "vertical":
            seen &= up > 0
        else:
            seen |= key == first - 1
        slots = known.shape[-1]
        valid = key >= 0
        committed = valid[..., :slots] & (key[..., :slots] < first)
        window = valid[..., slots:] & (frontier[..., None, :] == first)
        diagonal = torch.eye(cells.shape[-1], dtype=torch.bool, device=cells.device)
        return torch.cat((seen[..., :slots] & committed, seen[..., slots:] & window | diagonal), dim=-1)
