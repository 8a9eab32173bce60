"""Scenes: images of a few known things, described in the six categories of GenEval.

Ghosh et al., "GenEval", https://arxiv.org/abs/2310.11513. GenEval has photographs judged by an object detector. Here
they are drawings on white, with concepts and styles of the training images of `icons`.

| category | caption |
|---|---|
| single | an airplane |
| two | an airplane and a pear |
| counting | three pears: two to four, and no more |
| colours | a red pear |
| position | a pear left of an airplane; right of, above, below |
| attribution | a red pear and a blue airplane |
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

CATEGORIES = ("single", "two", "counting", "colours", "position", "attribution")
COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black")
"""GenEval's ten without white, which is invisible on white."""
RELATIONS = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}
"""Relations and their opposites."""
NUMBERS = {2: "two", 3: "three", 4: "four"}
IRREGULAR = {"deer": "deer", "man": "men", "mouse": "mice", "woman": "women"}

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Thing:
    """Something in a scene.

    Attributes:
        concept: its name.
        colour: one of COLOURS; None for the drawing's colours.
        box: left, top, right, bottom as shares of the image's side, 0 to 1; None in a prompt.
    """

    concept: str
    colour: str | None = None
    box: Box | None = None

    @property
    def name(self) -> str:
        """As in a caption: "a red pear"."""
        words = self.concept if self.colour is None else f"{self.colour} {self.concept}"
        return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


@dataclass(frozen=True)
class Scene:
    """The content of an image, drawn or requested.

    Attributes:
        category: one of CATEGORIES.
        things: in the order of the caption; equal ones in `counting`.
        relation: position of the first thing relative to the second; one of RELATIONS in `position`, else empty.
        style: drawing style; empty for any.
    """

    category: str
    things: tuple[Thing, ...]
    relation: str = ""
    style: str = ""

    @property
    def caption(self) -> str:
        """The scene in words, without the style."""
        if self.category == "counting":
            return f"{NUMBERS[len(self.things)]} {plural(self.things[0].concept)}"
        between = f" {self.relation} " if self.relation else " and "
        return between.join(thing.name for thing in self.things)

    @property
    def prompt(self) -> str:
        """Caption and style, as the captions of `icons`: "a red pear, 3d"."""
        return f"{self.caption}, {self.style}" if self.style else self.caption


def plural(name: str) -> str:
    """Plural of a name by the rules of English spelling."""
    if name in IRREGULAR:
        return IRREGULAR[name]
    if name.endswith("y") and name[-2:-1] not in set("aeiou"):
        return name[:-1] + "ies"
    return name + ("es" if name.endswith(("s", "x", "z", "ch", "sh", "o")) else "s")


def ask(category: str, concepts: Sequence[str], style: str, rng: np.random.Generator) -> Scene:
    """A random scene of a category, from at least 2 concepts."""
    first, second = (str(concept) for concept in rng.choice(list(concepts), 2, replace=False))
    one, other = (str(colour) for colour in rng.choice(COLOURS, 2, replace=False))
    count, relation = int(rng.integers(2, max(NUMBERS) + 1)), str(rng.choice(list(RELATIONS)))
    things = {
        "single": (Thing(first),),
        "two": (Thing(first), Thing(second)),
        "counting": (Thing(first),) * count,
        "colours": (Thing(first, one),),
        "position": (Thing(first), Thing(second)),
        "attribution": (Thing(first, one), Thing(second, other)),
    }[category]
    return Scene(category, things, relation if category == "position" else "", style)


def prompts(concepts: Sequence[str], styles: Sequence[str], count: int, seed: int = 0) -> list[Scene]:
    """Scenes to draw, the categories in turn; scene i depends on the seed and i alone. The style "" is none."""
    scenes = []
    for number in range(count):
        rng = np.random.default_rng((seed, number))
        scenes.append(ask(CATEGORIES[number % len(CATEGORIES)], concepts, str(rng.choice(list(styles))), rng))
    return scenes
