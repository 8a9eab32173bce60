"""Scores by category: which images count for which figure, the difference from AR, and sound files of references."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from spatialspec.lab.scenes.references import write_references
from spatialspec.quality.measuring import Measured, Metrics
from spatialspec.quality.quality import summarise
from spatialspec.quality.scenes.scene import CATEGORIES
from spatialspec.quality.scenes.scores import FIELDS, Count, Reference, read_references

CATEGORY = {"a key": "single", "two keys": "counting"}  # of two prompts, two images each


def measured(shown: list[bool]) -> Measured:
    ones = [1.0] * 4
    return Measured([0, 0, 1, 1], ones, [None] * 4, [None] * 4, ones, [0.0] * 4, shown=shown)


def figures(own: list[bool], ar: list[bool], is_ar: bool = False) -> dict[str, Any]:
    scenes: Any = SimpleNamespace(of=lambda figure, prompt: CATEGORY[prompt] in FIELDS[figure])
    captions = [prompt for prompt in CATEGORY for _ in range(2)]
    found = summarise(measured(own), measured(ar), None, Metrics(scenes=scenes), captions, is_ar)
    return {name: pair for name, pair in found.items() if name in FIELDS}


def test_pictures_count_for_their_category() -> None:
    found = figures([True, True, True, False], [True, False, False, False])
    assert set(found) == {"scenes", "scenes_single", "scenes_counting"}, "nothing of categories that were not asked"
    own, minus = ({name: pair[i].value for name, pair in found.items()} for i in (0, 1))
    assert own == {"scenes": 0.75, "scenes_single": 1.0, "scenes_counting": 0.5}
    assert minus == {"scenes": 0.5, "scenes_single": 0.5, "scenes_counting": 0.5}
    assert found["scenes"][1].interval == (0.5, 0.5), "images of a prompt stay together: each gained one of two"
    assert found["scenes"][0].interval == (0.0, 1.0), "two prompts are few, and a share stays a share"
    assert all(minus is None for _, minus in figures([True] * 4, [True] * 4, is_ar=True).values())


def test_references_are_read_as_written(tmp_path: Path) -> None:
    reference = Reference(own={"two": Count(passed=9, of=10)}, wrong={"two": Count(passed=1, of=10)})
    write_references(tmp_path / "figures.json", {"style": reference})
    assert read_references(tmp_path / "figures.json") == {"style": reference}
    assert str(reference) == "two 9 of 10 (wrong captions: 1)"
    assert FIELDS["scenes"] == CATEGORIES and FIELDS["scenes_two"] == ("two",)


@pytest.mark.parametrize("text", ["", "[]", '{"style": 1}', '{"style": {"own": {"two": {"passed": "x"}}}}'])
def test_damaged_references_are_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "figures.json").write_text(text)
    with pytest.raises(ValueError, match=r"figures\.json: got ") as error:
        read_references(tmp_path / "figures.json")
    assert "\n" not in str(error.value)
