"""The grid of image tokens in raster order."""

from __future__ import annotations

from dataclasses import dataclass

from spatialspec.core.errors import BadInput


@dataclass(frozen=True)
class Grid:
    """Rows x columns of cells; cell t lies in row t // columns, column t % columns.

    Attributes:
        rows: number of rows, at least 1.
        columns: number of columns, at least 1.
    """

    rows: int
    columns: int

    def __post_init__(self) -> None:
        if self.rows < 1 or self.columns < 1:
            raise BadInput(f"a grid of {self.rows}x{self.columns}", "at least 1x1")

    def __str__(self) -> str:
        return f"{self.rows}x{self.columns}"

    @property
    def cells(self) -> int:
        """Number of cells."""
        return self.rows * self.columns

    @classmethod
    def parse(cls, text: str) -> Grid:
        """Read "ROWSxCOLUMNS".

        Raises:
            BadInput: the text is anything else.
        """
        rows, _, columns = text.lower().partition("x")
        if not (rows.isdecimal() and columns.isdecimal()):
            raise BadInput(f"size {text!r}", "ROWSxCOLUMNS, for example 24x24")
        return cls(int(rows), int(columns))
