"""What a model knows: its table, the styles and words of prompts, and what becomes of a prompt without a style."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from helpers.concepts import KNOWN
from helpers.tiny import tiny_folder, tiny_target
from spatialspec.core.errors import BadInput
from spatialspec.core.grid import Grid
from spatialspec.models import WEIGHTS
from spatialspec.pipeline import SpatialPipeline
from spatialspec.targets.engine import Prompt
from spatialspec.targets.icons.concepts import FILE, Concept, Concepts, PromptReading
from spatialspec.targets.icons.target import IconsTarget

GRID = Grid(6, 6)
ICONS = Concepts.from_file(WEIGHTS / "icons" / FILE)


@pytest.fixture
def concepts() -> Concepts:
    return Concepts(KNOWN)


@pytest.fixture
def target(concepts: Concepts) -> IconsTarget:
    target = tiny_target()
    target.concepts = concepts
    return target


def test_a_table_is_read_as_it_was_written(concepts: Concepts, tmp_path: Path) -> None:
    for original in (concepts, ICONS):
        original.write(tmp_path / FILE)
        read = Concepts.from_file(tmp_path / FILE)
        assert list(read.known.items()) == list(original.known.items()) and read.styles == original.styles


def test_no_concepts_are_refused() -> None:
    with pytest.raises(BadInput, match="got no concept"):
        Concepts({})


def test_a_folder_keeps_what_its_model_knows(target: IconsTarget, tmp_path: Path) -> None:
    target.save(tmp_path)
    read = IconsTarget.from_folder(tmp_path)
    assert read.concepts is not None and read.concepts.known == KNOWN
    (tmp_path / FILE).unlink()
    assert IconsTarget.from_folder(tmp_path).concepts is None


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("concept,styles\nred apple,3d\n", "expected concept and styles and names and words"),
        ("concept,styles,names,words\n", "got no concept"),
        ("concept,styles,names,words\nred apple,3d,\n", "line 2: got 3 cells for 4 columns"),
        ("concept,styles,names,words\nred apple,3d,,\npear,cubist|3d,,\n", "line 3: got the style 'cubist'"),
        ("concept,styles,names,words\nred apple,,,\n", "line 2: got the style ''"),
        ("concept,styles,names,words\nred apple,flat|3d,,\n", "line 2: got the styles 'flat|3d', expected each once"),
        ("concept,styles,names,words\nred apple,3d|3d,,\n", "line 2: got the styles '3d|3d', expected each once"),
        ("concept,styles,names,words\n,3d,,\n", "line 2: got the concept ''"),
        ("concept,styles,names,words\nRed Apple,3d,,\n", "line 2: got the concept 'Red Apple'"),
        ("concept,styles,names,words\nred \x1b[31m,3d,,\n", "line 2: got the concept"),
        ("concept,styles,names,words\npear,3d,,\npear,flat,,\n", "line 3: got the concept 'pear'"),
        ("\0", "got a NUL character"),
    ],
)
def test_a_damaged_table_is_refused(tmp_path: Path, text: str, wrong: str) -> None:
    (tmp_path / FILE).write_text(text)
    with pytest.raises(BadInput) as refused:
        Concepts.from_file(tmp_path / FILE)
    assert wrong in str(refused.value) and str(tmp_path / FILE) in str(refused.value)
    assert "\x1b" not in str(refused.value)


@pytest.mark.parametrize(
    ("prompt", "style"),
    [
        ("red apple", None), ("flat shoe", None), ("a flat shoe in the garden", None), ("flat shoe, flat", "flat"),
        ("a flat red apple", "flat"), ("a red apple, 3D", "3d"), ("red apple, clipart", "clip art"),
        ("red apple in google emoji style", "noto"), ("a 3d red apple, flat", "flat"), ("a flatbed", None),
        ("two flat shoes", None), ("flat flat shoes", "flat"), ("\uff33\uff25\uff35\uff54 flat", "flat"), ("3d", "3d"),
    ],
)  # fmt: skip
def test_the_style_of_a_prompt(concepts: Concepts, prompt: str, style: str | None) -> None:
    """Of those that the model knows, in any of its names; not within the name of a concept."""
    assert concepts.style_in(prompt) == style


@pytest.mark.parametrize(
    ("prompt", "name", "body", "style"),
    [
        ("red apple", None, "red apple", "3d"),
        ("red apple, flat.", None, "red apple, flat.", None),
        ("a red apple", "red apple", "a red apple", "3d"),
        ("Please draw RED apples!", "red apple", "Please draw RED apples", "3d"),
        ("flat shoe", None, "flat shoe", "3d"),
        ("two cherries", "cherries", "two cherries", "noto"),
        ("a slipper", "flat shoe", "a slipper", "3d"),
        ("a dog.", "dog face", "a dog", "flat"),
        ("my pooch with a cherry", "dog face", "my pooch with a cherry", "flat"),
        ("blorple", None, "blorple", "3d"),
        ("a red apple, flat.", "red apple", "a red apple, flat.", None),
        ("twemoji toilet", "toilet", "twemoji toilet", "clip art"),  # a style that this table lacks
    ],
)
def test_a_name_and_a_style_are_added_where_there_is_none(
    concepts: Concepts, prompt: str, name: str | None, body: str, style: str | None
) -> None:
    """Those of what is meant; the style is the first of it. All typed words are drawn as they are."""
    text = ", ".join(part for part in (name, body, style) if part)
    assert concepts.reading(prompt, lambda text: True) == PromptReading(text, name, style)


def test_what_is_added_must_fit(concepts: Concepts) -> None:
    def reading(room: int) -> PromptReading:
        return concepts.reading("two cherries", lambda text: len(text) <= room)

    whole = "cherries, two cherries, noto"
    assert reading(len(whole)) == PromptReading(whole, "cherries", "noto")
    assert (
        reading(len(whole) - 1)
        == reading(len("two cherries, noto"))
        == PromptReading("two cherries, noto", None, "noto")
    )
    assert reading(0) == PromptReading("two cherries", None, None)


def test_typed_words_stay_with_the_real_table() -> None:
    for name in list(ICONS.known)[::7]:
        for prompt in (f"two {name}", f"a {name} in the garden"):
            reading = ICONS.reading(prompt, lambda text: True)
            assert f", {prompt}," in f", {reading.text},"
    assert [ICONS.reading(text, lambda text: True).style for text in ("flat shoe", "a red apple")] == ["3d", "3d"]


@pytest.mark.parametrize(
    ("prompt", "unknown"),
    [
        ("please draw me two shiny red apples in the garden, flat", []),
        ("a slipper and a fruit", []),
        ("a blorple with a Zyx, a blorple", ["blorple", "zyx"]),
        ("красное яблоко", ["красное", "яблоко"]),
        ("café apple", ["café"]),
        ("\U0001f34e", ["\U0001f34e"]),
        ("?!", ["?!"]),
        ("red_apple", []),
    ],
)
def test_unknown_words(concepts: Concepts, prompt: str, unknown: list[str]) -> None:
    assert concepts.unknown(prompt) == unknown
    assert (concepts.hint(prompt) is None) == (not unknown)


def test_a_hint_names_what_is_near(concepts: Concepts) -> None:
    long = concepts.hint("\0 " + 10_000 * "z")
    assert long is not None and len(long) < 100 and "\0" not in long
    assert concepts.hint("an appel") == "unknown words: appel (near: apple)"
    assert concepts.hint("qqqq, 3d") == "unknown words: qqqq"


def test_examples_are_spread_over_what_is_known_best(concepts: Concepts) -> None:
    assert concepts.by_styles() == {
        3: ["flat shoe"], 2: ["red apple", "dog face"], 1: ["cherries", "toilet"],
    }  # fmt: skip
    assert concepts.examples(1) == ["flat shoe, 3d"]
    assert concepts.examples(2) == ["flat shoe, 3d", "red apple, flat"]
    assert concepts.examples(9) == [
        "flat shoe, 3d", "red apple, flat", "dog face, flat", "cherries, noto", "toilet, clip art",
    ]  # fmt: skip
    assert concepts.examples(2, "noto") == ["flat shoe, noto", "dog face, noto"]
    many = Concepts({f"thing {i}": Concept(("3d",)) for i in range(10)})
    assert many.examples(3) == ["thing 0, 3d", "thing 3, 3d", "thing 6, 3d"]
    spread = [list(ICONS.known).index(prompt.removesuffix(", noto")) for prompt in ICONS.examples(100, "noto")]
    assert len(set(spread)) == 100 and max(spread) > 1000, "from the whole table, each once"


def same(a: Prompt, b: Prompt) -> bool:
    """Whether two prompts are encoded to the same tensors."""
    prefixes = all(map(torch.equal, a.prefixes, b.prefixes))
    assert len(a.prefixes) == len(b.prefixes) and a.conditioning is not None and b.conditioning is not None
    return prefixes and torch.equal(a.conditioning, b.conditioning)


def test_a_prompt_without_a_style_is_encoded_with_one(target: IconsTarget) -> None:
    texts = "red apple", "red apple, 3d", "red apple, flat"
    bare, full, other = (target.encode([[text]], GRID)[0] for text in texts)
    assert same(bare, full) and not same(bare, other)


@pytest.mark.parametrize("negative", ["", "red apple", "toilet"])
def test_negative_and_empty_prompts_are_read_as_typed(target: IconsTarget, negative: str) -> None:
    (both,) = target.encode([["red apple", negative]], GRID)
    target.concepts = None
    (typed,) = target.encode([["red apple, 3d", negative]], GRID)
    assert same(both, typed)


def test_a_prompt_without_room_for_a_style_stays_as_typed(target: IconsTarget) -> None:
    prompt = "a red apple"
    while target.prompts.fits(f"{prompt} cat, 3d"):
        prompt += " cat"
    assert target.completed(prompt) == PromptReading(f"{prompt}, 3d", None, "3d")
    prompt += " cat"
    assert target.prompts.fits(prompt) and target.completed(prompt) == PromptReading(prompt, None, None)
    assert not [remark for remark in target.remarks([prompt]) if "style" in remark]
    assert target.completed(" ") == PromptReading(" ", None, None)


def test_remarks(target: IconsTarget, tmp_path: Path) -> None:
    chosen = "'red apple' names no drawing style: drawn as 3d"
    assert target.remarks(["red apple", "red apple, 3d", "red apple"]) == [chosen]
    assert target.remarks(["a pooch, flat"]) == ["'a pooch, flat' is read as dog face"]
    assert not target.remarks(["the face of a dog, flat", "a dog face, flat"])
    hint = "'a zyx, 3d' has unknown words: zyx"
    assert target.remarks(["a zyx, 3d"]) == [hint], "no folder holds it, which could be listed"
    folder = tiny_folder(tmp_path / "a folder")
    assert SpatialPipeline.from_pretrained(folder).remarks(["a zyx"]) == [], "it has no list"
    Concepts(KNOWN).write(folder / FILE)
    pipe = SpatialPipeline.from_pretrained(folder)
    assert pipe.remarks("a zyx, 3d") == [f"{hint}; `spatialspec models '{folder}'` lists what it knows"]
    assert pipe("red apple", seed=0, method="ar").report.remarks == (chosen,)


def test_the_embedded_model_says_how_to_list_what_it_knows() -> None:
    (hint,) = SpatialPipeline.from_pretrained("icons").remarks(["zyx, flat"])
    assert hint == "'zyx, flat' has unknown words: zyx; `spatialspec models icons` lists what it knows"
