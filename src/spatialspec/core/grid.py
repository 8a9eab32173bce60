"""Grids of image tokens in raster order, and the drawing order of cells in one grid or several."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass

from spatialspec.core.arguments import listed, whole
from spatialspec.core.errors import BadInput, shown

MOST = 4096  # rows or columns
BORDER = f"at least 1x1 and at most {MOST}x{MOST}"


class Layout(ABC):
    """The cells of an image in drawing order, in one grid or several.

    Cells are numbered in raster order within a grid, and consecutively from grid to grid. A :class:`Grid` is the usual
    layout. :class:`Grids` is that of a model that draws a small preview before the image. Forced tokens between rows or
    grids are not cells (`targets/slots.py`).
    """

    @property
    @abstractmethod
    def grids(self) -> tuple[Grid, ...]:
        """At least one; the last is the image."""

    @property
    def cells(self) -> int:
        """Number of cells of all grids."""
        return sum(grid.cells for grid in self.grids)

    @property
    def widest(self) -> int:
        """Columns of the widest grid."""
        return max(grid.columns for grid in self.grids)

    def locate(self, cell: int) -> tuple[Grid, int]:
        """The grid of a cell, and the cell's raster index in it.

        Raises:
            IndexError: there is no such cell.
        """
        index = cell
        for grid in self.grids:
            if 0 <= index < grid.cells:
                return grid, index
            index -= grid.cells
        raise IndexError(f"cell {cell} of {self}")

    def above(self, cell: int, rows: int = 1) -> int | None:
        """The cell so many rows above in the same grid; None where the grid has no such row."""
        grid, index = self.locate(cell)
        return cell - rows * grid.columns if index >= rows * grid.columns else None

    def neighbour(self, cell: int) -> int:
        """The cell above; in the first row of a grid the cell before it, which may belong to another grid."""
        above = self.above(cell)
        return cell - 1 if above is None else above


@dataclass(frozen=True)
class Grid(Layout):
    """Rows x columns of cells; cell t lies in row t // columns, column t % columns.

    Attributes:
        rows: number of rows, 1 to 4096.
        columns: number of columns, 1 to 4096.
    """

    rows: int
    columns: int

    def __post_init__(self) -> None:
        for name in ("rows", "columns"):
            object.__setattr__(self, name, whole(f"a grid with {name}", getattr(self, name), 1, MOST, BORDER))

    def __str__(self) -> str:
        return f"{self.rows}x{self.columns}"

    @property
    def grids(self) -> tuple[Grid, ...]:
        """Itself."""
        return (self,)

    @property
    def cells(self) -> int:
        """Number of cells."""
        return self.rows * self.columns

    @classmethod
    def parse(cls, text: str, name: str = "size") -> Grid:
        """Read "ROWSxCOLUMNS"; `name` is the option, for the message.

        Raises:
            BadInput: the text has another form.
        """
        match = re.fullmatch("([0-9]{1,9})x([0-9]{1,9})", text, re.IGNORECASE)
        if match is None:
            raise BadInput(f"{name} {shown(text)}", "ROWSxCOLUMNS, for example 24x24")
        return cls(int(match[1]), int(match[2]))

    @classmethod
    def read(cls, value: object) -> Grid:
        """Read a grid, "ROWSxCOLUMNS", or a pair (rows, columns), which may be an array.

        Raises:
            BadInput: the value is none of these.
        """
        if isinstance(value, Grid):
            return value
        if isinstance(value, str):
            return cls.parse(value)
        expected = "ROWSxCOLUMNS, a pair (rows, columns) or a Grid"
        pair = listed("size", value, expected)
        if len(pair) != 2:
            raise BadInput(f"size {shown(value)}", expected)
        return cls(*pair)


@dataclass(frozen=True, slots=True)  # with slots, the field replaces the property
class Grids(Layout):
    """Several grids, drawn one after the other.

    Attributes:
        grids: in the order in which they are drawn.
    """

    grids: tuple[Grid, ...]

    def __str__(self) -> str:
        return "+".join(map(str, self.grids))
