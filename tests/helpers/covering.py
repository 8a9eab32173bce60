"""A part of a product in `make test`, all of it in `make long`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest


def covering(rows: Iterable[Any], columns: Iterable[Any], share: int = 2) -> list[Any]:
    """All pairs, as parameters of a test; but one in `share` is marked `long`, along diagonals: of two a chessboard.

    So `make test` tries every row with half of the columns, and every column with half of the rows.
    """
    others = list(columns)
    return [
        pytest.param(row, column, marks=[pytest.mark.long] * bool((i + j) % share))
        for i, row in enumerate(rows)
        for j, column in enumerate(others)
    ]
