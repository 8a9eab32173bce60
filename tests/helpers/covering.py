"""A part of a product in `make test`, all of it in `make long`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest


def covering(rows: Iterable[Any], columns: Iterable[Any], share: int = 2) -> list[Any]:
    """All pairs, as parameters of a test; all but one in `share` are marked `long`.

    Those of `make test` stand on diagonals: every row is tried with a share of the columns, and every column with a
    share of the rows.
    """
    others = list(columns)
    return [
        pytest.param(row, column, marks=[pytest.mark.long] * bool((i + j) % share))
        for i, row in enumerate(rows)
        for j, column in enumerate(others)
    ]
