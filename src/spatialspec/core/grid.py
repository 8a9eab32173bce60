"""The grid of image tokens in raster order."""

from __future__ import annotations

import re
from dataclasses import dataclass

from spatialspec.core.arguments import listed, whole
from spatialspec.core.errors import BadInput, shown

MOST = 4096  # rows or columns
BORDER = f"at least 1x1 and at most {MOST}x{MOST}"


@dataclass(frozen=True)
class Grid:
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
    def cells(self) -> int:
        """Number of cells."""
        return self.rows * self.columns

    @classmethod
    def parse(cls, text: str, name: str = "size") -> Grid:
        """Read "ROWSxCOLUMNS"; the name is that of the option, for the message.

        Raises:
            BadInput: the text is anything else.
        """
        found = re.fullmatch("([0-9]{1,9})x([0-9]{1,9})", text, re.IGNORECASE)
        if found is None:
            raise BadInput(f"{name} {shown(text)}", "ROWSxCOLUMNS, for example 24x24")
        return cls(int(found[1]), int(found[2]))

    @classmethod
    def read(cls, value: object) -> Grid:
        """Read a grid, "ROWSxCOLUMNS", or a pair (rows, columns), which may be an array.

        Raises:
            BadInput: it is anything else.
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
