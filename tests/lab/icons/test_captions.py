"""Captions as people type them: each means what its image shows, in the style of the image."""

import numpy as np
import pytest

from spatialspec.core.errors import BadInput
from spatialspec.drafts.image_folder import Row
from spatialspec.lab.icons import captions
from spatialspec.lab.icons.captions import Wordings
from spatialspec.lab.icons.prompts import PEOPLE
from spatialspec.targets.icons.concepts import stems
from spatialspec.targets.icons.sources import CALLED, SOURCES, concept_of


def row(text: str, style: str, tags: str = "") -> Row:
    return {"text": text, "concept": concept_of(text), "style": style, "tags": tags, "split": "train"}


ROWS = [
    row("red apple", "flat", "fruit|red"), row("red apple", "3d", "fruit|red"), row("green apple", "3d", "fruit|green"),
    row("cherries", "3d", "fruit|berries"), row("dog face", "3d", "pet|puppy"), row("hot dog", "3d", "sausage"),
    row("person running: facing right", "noto", "race"), row("bunny", "clip art"),
    row("rabbit face", "3d", "bunny|pet"),
]  # fmt: skip


def many(image: int, count: int = 400, rows: list[Row] = ROWS, left_out: list[str] | None = None) -> list[str]:
    wordings, rng = Wordings(rows, left_out or []), np.random.default_rng(0)
    return [wordings(image, rng) for _ in range(count)]


def test_a_wording_without_a_style_belongs_to_the_first_style() -> None:
    named = {style: {concept_of(words) for words in called} for style, called in CALLED.items()}

    def styles(text: str) -> set[str]:
        words = f" {concept_of(text)} "
        return {style for style, called in named.items() if any(f" {name} " in words for name in called)}

    assert all("flat" in styles(text) for text in many(0))
    first = [styles(text) for text in many(1)]
    assert {frozenset(found) for found in first} == {frozenset(), frozenset({"3d"})}
    assert 0.2 < sum(map(bool, first)) / len(first) < 0.8
    # "bunny" without a style means the rabbit that has more styles or the bunny, but never both
    wordings = Wordings(ROWS)
    assert wordings.concepts.meant("bunny") in ("bunny", "rabbit face")
    assert wordings.is_first(ROWS[7]) == (wordings.concepts.meant("bunny") == "bunny")


@pytest.mark.parametrize("image", range(len(ROWS)))
def test_what_is_named_is_meant(image: int) -> None:
    wordings, rng = Wordings(ROWS), np.random.default_rng(1)
    name = ROWS[image]["concept"]
    for _ in range(300):
        words = wordings.thing(ROWS[image], rng)
        assert wordings.concepts.meant(words) == name or stems(name) <= stems(words), words


def test_wordings_are_of_many_kinds() -> None:
    typed = many(1, 2000)
    assert len(set(typed)) > 900
    for part in ("draw", "an apple", "apples", "two ", "the ", "please", "red apple, 3d", "!", "picture of", "fruit"):
        assert any(part in text for text in typed), part
    assert any("apple" in text and "red" not in text for text in typed), "adjectives are left out"
    assert not any("green" in text and "red" not in text for text in typed), "a green apple is another concept"
    assert any("cherry" in text for text in many(3)) and any("cherries" in text for text in many(3))


def test_left_out_prompts_are_never_made() -> None:
    typed = [text for text in many(1, 3000) if text.startswith(("draw", "an ", "red"))]
    left_out = [*sorted(set(typed))[:40], "Red apple!", "red apple, 3d"]  # and labels
    again = many(1, 3000, left_out=[text.upper() for text in left_out])
    assert not {concept_of(text) for text in again} & {concept_of(text) for text in left_out}
    parts = {concept_of(text.removeprefix("red apple, ").removesuffix(", 3d")) for text in again}  # as they are read
    assert not parts - {"red apple"} & {concept_of(text) for text in left_out[:40]}


def test_some_captions_are_as_typed_ones_are_read() -> None:
    read = [text for text in many(6, 600) if text.startswith("person running facing right, ")]
    assert 0.15 < len(read) / 600 < 0.45
    assert any("draw" in text for text in read) and any(text.endswith(", noto") for text in read)


def test_the_concepts_of_images() -> None:
    known = captions.concepts(ROWS).known
    assert known["red apple"].styles == ("3d", "flat")
    assert known["dog face"].words == ("pet", "puppy")


def test_peoples_prompts_are_two_hundred_of_as_many_concepts() -> None:
    assert len(PEOPLE) == len(set(PEOPLE.values())) == 200
    assert len({concept_of(prompt) for prompt in PEOPLE}) == 200


def test_images_of_unknown_styles_are_refused() -> None:
    with pytest.raises(BadInput, match="style 'oil'"):
        Wordings([row("apple", "oil")])
    assert {source.style for source in SOURCES} == set(CALLED)
