"""Captions of the training images in people's words.

An image has a label, tags and a style. People type articles, plurals, numbers, requests, other words for the same
thing, adjectives that are true or not, and mostly no style. A wording names what one image shows, not another: words
that fit several concepts belong to one of them, and a prompt without a style to the first style of its concept.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from spatialspec.core.errors import BadInput, shown
from spatialspec.drafts.image_folder import Row, caption, label
from spatialspec.targets.icons import phrases
from spatialspec.targets.icons.concepts import ENDS, Concept, Concepts, joined
from spatialspec.targets.icons.meaning import SMALL_WORDS, stem
from spatialspec.targets.icons.sources import CALLED, SOURCES, concept_of

if TYPE_CHECKING:
    import inflect

TRIES = 20  # of a caption that is not left out
AS_LABELLED = 0.4  # share of captions in the form "label, tags, style"
AS_READ = 0.3  # share in the form "label, as typed, style", see `Concepts.reading`


@cache
def _english() -> inflect.engine:
    import inflect

    return inflect.engine()


@cache
def _plural(words: str) -> str:
    return str(_english().plural_noun(words) or words)


@cache
def _singular(words: str) -> str:
    return str(_english().singular_noun(words) or words)


@cache
def _with_article(words: str) -> str:
    return str(_english().a(words))


def concepts(rows: Sequence[Row]) -> Concepts:
    """What the images of a training set show.

    Raises:
        BadInput: a style that is none of `SOURCES`, or a concept that is not as `concept_of` makes it.
    """
    order = {source.style: i for i, source in enumerate(SOURCES)}
    own = {row["concept"] for row in rows}
    styles: dict[str, set[str]] = defaultdict(set)
    names: dict[str, set[str]] = defaultdict(set)
    words: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        if row["style"] not in order:
            raise BadInput(f"style {shown(row['style'])}", f"one of {', '.join(order)}", "leave these images out")
        if not row["concept"] or row["concept"] != concept_of(row["concept"]):
            got = f"the concept {shown(row['concept'])}"
            raise BadInput(got, "lower case, letters a to z and digits", "as `train data` writes them")
        styles[row["concept"]].add(row["style"])
        called = (concept_of(name) for name in row.get("names", "").split("|"))
        names[row["concept"]].update(name for name in called if name and name not in own)
        words[row["concept"]].update(*(concept_of(tag).split() for tag in row["tags"].split("|")))
    for name in words:  # irregular plurals
        *_, last = name.split()
        words[name] |= {many for many in _plural(last).lower().split() if stem(many) != stem(last)}
    known = {}
    for name, seen in styles.items():
        in_order = tuple(sorted(seen, key=lambda style: order[style]))
        known[name] = Concept(in_order, tuple(sorted(names[name])), tuple(sorted(words[name])))
    return Concepts(known)


class Wordings:
    """Random captions of images.

    Args:
        rows: of the training images.
        left_out: prompts that are never made, in any case and punctuation.
    """

    def __init__(self, rows: Sequence[Row], left_out: Collection[str] = ()) -> None:
        self.rows, self.concepts = rows, concepts(rows)
        self.left_out = {concept_of(prompt) for prompt in left_out}

    def __call__(self, image: int, rng: np.random.Generator) -> str:
        """A caption of an image: labelled, as typed, or as a typed one is read."""
        row = self.rows[image]
        for _ in range(TRIES):
            kind = rng.random()
            if kind < AS_LABELLED:
                words = caption(row, rng, 0.8 if self.is_first(row) else 1.0)
            else:
                words = self.as_typed(row, rng)
            if concept_of(words) in self.left_out:
                continue
            if kind < AS_LABELLED or kind >= AS_LABELLED + AS_READ:
                return words
            return joined(row["concept"], words.rstrip(ENDS), None if self.concepts.style_in(words) else row["style"])
        return f"this is {label(row)}"

    def is_first(self, row: Row) -> bool:
        """Whether a prompt for this concept without a style means the image's style."""
        name = row["concept"]
        return self.concepts.known[name].styles[0] == row["style"] and self.concepts.meant(name) == name

    def as_typed(self, row: Row, rng: np.random.Generator) -> str:
        """A caption as people type it."""
        text = self._counted(self.thing(row, rng), rng)
        if rng.random() < 0.35:
            text = self._placed(text, row, rng)
        style = "" if self.is_first(row) and rng.random() < 0.6 else _one(CALLED[row["style"]], rng)
        framed = rng.random() < 0.5
        if style and rng.random() < 0.5:
            text, style = _one(phrases.STYLED, rng).format(text, style=style), ""
        if framed:
            text = _one(phrases.FRAMES, rng).format(text)
        if style:
            text = _one(phrases.STYLED, rng).format(text, style=style)
        return text + _one(phrases.ENDS, rng)

    def thing(self, row: Row, rng: np.random.Generator) -> str:
        """Words for what an image shows, and no other concept."""
        name = row["concept"]
        words = name.split()
        kind = rng.random()
        if kind > 0.7 and len(words) > 1:  # some words of the label
            kept = rng.random(len(words)) < 0.6
            words = [word for word, keep in zip(words, kept, strict=True) if keep] or words
        elif kind > 0.4:  # some of these and of other words for it
            others = sorted({*words, *self.concepts.known[name].words} - SMALL_WORDS) or words
            count = min(len(others), int(rng.integers(1, 4)))
            words = [str(word) for word in rng.permutation(others)[:count]]
        if self.concepts.meant(" ".join(words)) != name:
            words = name.split()
        if rng.random() < 0.1 and len(words) > 1:
            words = [str(word) for word in rng.permutation(words)]
        if rng.random() < 0.35:
            added = [_one(phrases.ADJECTIVES, rng) for _ in range(1 + (rng.random() < 0.25))]
            if self.concepts.meant(" ".join([*added, *words])) == name:
                words = [*added, *words]
        return " ".join(words)

    def _placed(self, text: str, row: Row, rng: np.random.Generator) -> str:
        """With what is around the thing: a usual place, or anything else that no concept has in its name with it."""
        if rng.random() < 0.4:
            return f"{text} {_one(phrases.PLACES, rng)}"
        other = self.rows[int(rng.integers(len(self.rows)))]
        things = phrases.DOING if rng.random() < 0.2 else [other["concept"], *filter(None, other["tags"].split("|"))]
        thing = _one(things, rng)
        adjective = _one(phrases.ADJECTIVES, rng) + " " if rng.random() < 0.3 else ""
        around = f"{text} {_one(phrases.JOINED, rng)} {adjective}{thing}"
        return around if self.concepts.named(around) in (None, row["concept"]) else text

    def _counted(self, thing: str, rng: np.random.Generator) -> str:
        """With an article, another determiner or a number, as a plural, or as it is."""
        kind = rng.random()
        if kind < 0.3:
            return thing
        if kind < 0.36:
            return _with_article(_singular(thing))
        if kind < 0.6:
            return _with_article(thing)
        if kind < 0.75:
            return f"{_one(phrases.DETERMINERS, rng)} {thing}"
        many = thing if _singular(thing) != thing else _plural(thing)  # perhaps a plural already
        return many if kind < 0.87 else f"{_one(phrases.NUMBERS, rng)} {many}"


def _one(choices: Sequence[str], rng: np.random.Generator) -> str:
    return choices[int(rng.integers(len(choices)))]
