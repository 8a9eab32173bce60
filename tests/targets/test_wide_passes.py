"""Passes of up to 512 nodes, with row ends, up to the last cell of an image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from helpers.real_targets import MAKES
from spatialspec.pipeline import SpatialPipeline


@pytest.mark.parametrize("kind", ["emu3", "lumina", "icons"])
def test_a_tree_of_512_nodes(kind: str, tmp_path: Path) -> None:
    """AR's tokens, though the pass is wider than what a new cache has room for, and than what is left of the image."""
    pipe = SpatialPipeline.from_pretrained(MAKES[kind].make(tmp_path / kind))
    pipe.set_progress_bar_config(disable=True)
    size, asked = MAKES[kind].size, {"prompt": "a red apple", "seed": 1, "temperature": 1.0}
    widths: list[int] = []

    def look(_: object, index: int, cells: int, values: dict[str, Any]) -> None:
        widths.append(len(values["step"].proposal))

    ours = pipe(**asked, size=size, method="spatial:budget=512:front=1:candidates=64", callback_on_step_end=look)
    assert ours.tokens == pipe(**asked, size=size, method="ar").tokens
    assert max(widths) == 512, "there is a pass of that width"
