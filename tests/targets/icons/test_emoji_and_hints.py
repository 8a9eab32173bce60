"""Emoji in prompts, prompts that name two styles, and hints on words that no caption had."""

import torch

from helpers.tiny import tiny_target
from spatialspec.core.grid import Grid
from spatialspec.drafts.teacher import states
from spatialspec.models import WEIGHTS
from spatialspec.targets.icons.concepts import FILE, Concept, Concepts
from spatialspec.targets.icons.emoji import spelled
from spatialspec.targets.icons.target import IconsTarget

GRID = Grid(6, 6)
ICONS = Concepts.from_file(WEIGHTS / "icons" / FILE)
CONCEPTS = Concepts({"red apple": Concept(("3d", "flat"), words=("fruit",)), "toilet": Concept(("clip art",))})


def test_emoji_are_read_as_their_names() -> None:
    """Nothing else of a prompt changes: no accents, no other alphabets, no degrees."""
    for prompt, text in (
        ("\U0001f34e", "red apple"), ("two \U0001f44d\U0001f3fd!", "two thumbs up sign !"), ("\u2764\ufe0f", "heart"),
        ("\u2b50", "star"), ("a na\u00efve cat", "a na\u00efve cat"), ("cafe\u0301 \U0001f34e", "cafe\u0301 red apple"),
        ("25\u00b0C", "25\u00b0C"), ("\U0001f1e9\U0001f1ea", "\U0001f1e9\U0001f1ea"),
        ("\U0001f468\u200d\U0001f692", "man fire engine"),
    ):  # fmt: skip
        assert spelled(prompt) == text
    icons = IconsTarget.from_folder(WEIGHTS / "icons")
    fruit = "\U0001f34e\U0001f34c\U0001f352\U0001f353\U0001f347\U0001f349"
    assert not icons.prompts.fits(fruit), "its bytes"
    icons.check_prompts([fruit], [], GRID)  # but it is read as names
    assert icons.completed(fruit).text.startswith("red apple banana cherries")


def test_the_last_of_two_styles_is_meant() -> None:
    assert CONCEPTS.style_in("a flat red apple, 3d") == "3d" != CONCEPTS.style_in("a 3d red apple, flat") == "flat"


def test_hints_name_a_few_words_and_what_is_near() -> None:
    assert CONCEPTS.hint("a red appel and a blorple") == "unknown words: appel (near: apple), blorple"
    many = CONCEPTS.hint(" ".join(f"zq{chr(97 + i)}w" for i in range(20)))
    assert many is not None and many.endswith(" and more") and many.count(",") == 5
    assert ICONS.hint("three mice and two wolves while it is raining") is None


def test_drafts_are_taught_what_is_drawn() -> None:
    """The teacher reads a prompt as a session does: emoji by name, and with what is added."""
    target = tiny_target()
    target.concepts, target.prompts.length = CONCEPTS, target.model.config.prefix
    codes = torch.zeros(1, target.grid.cells, dtype=torch.long)

    def taught(prompt: str) -> torch.Tensor:
        return states(target, [prompt], codes, torch.tensor([False]))

    text = target.completed("a toilet").text
    assert text == "toilet, a toilet, clip art"
    assert torch.equal(taught("a toilet"), taught(text))
    target.concepts = None
    assert not torch.equal(taught("a toilet"), taught(text))
