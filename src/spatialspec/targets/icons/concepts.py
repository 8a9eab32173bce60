"""What the embedded model can draw: which of it a prompt means, in which style, and which words were never seen."""

from __future__ import annotations

import json
import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from pathlib import Path

from spatialspec.core.errors import BadInput, shown
from spatialspec.io.tables import read_table, write_table
from spatialspec.targets.icons import phrases
from spatialspec.targets.icons.meaning import NEAR, SMALL_WORDS, Meanings, stem, stems
from spatialspec.targets.icons.sources import CALLED, SOURCES, concept_of

FILE = "concepts.csv"  # in a model's folder
ENDS = " .,;:!?\n\t"  # of a prompt, before an added style
HINTS = 5  # unknown words that near ones are sought for
COLUMNS = ("concept", "styles", "names", "words")
JOINERS = {"\ufe0f", "\u200d", *map(chr, range(0x1F3FB, 0x1F400))}  # within emoji: selectors, joiners, skin tones
FORMS = {"black", "white", "heavy", "medium"}  # in names of symbols: filled, outlined


def spelled(prompt: str) -> str:
    """A prompt with the names of its emoji in their place: "a \U0001f34e" -> "a red apple".

    Names are those of Unicode, without the words for the form of old symbols ("heavy black heart"). Flags of two
    letters have no names there and stay.
    """
    if not any(map(_name, prompt)):
        return prompt
    bare = "".join(c for c in prompt if c not in JOINERS)
    return " ".join("".join(f" {_name(c)} " if _name(c) else c for c in bare).split())


def _name(character: str) -> str:
    """Name of an emoji, "" for any other character."""
    if character < "\u2190" or unicodedata.category(character) != "So" or "\U0001f1e6" <= character <= "\U0001f1ff":
        return ""
    words = unicodedata.name(character, "").lower().split()
    return " ".join(word for word in words if character > "\u2bff" or word not in FORMS)


def _without_styles(prompt: str) -> str:
    """The words of a prompt but those that name a style, unless there are no others."""
    text = f" {concept_of(prompt)} "
    for words in sorted((concept_of(name) for names in CALLED.values() for name in names), key=len, reverse=True):
        text = text.replace(f" {words} ", " ")
    return text if text.strip() else prompt


@cache
def asides() -> frozenset[str]:
    """Stems of words around the name of a thing, and of those for styles."""
    around = (phrases.FRAMES, phrases.PLACES, phrases.ADJECTIVES, phrases.NUMBERS, phrases.DETERMINERS, phrases.STYLED)
    return frozenset(stems(" ".join(text for group in (*around, *CALLED.values()) for text in group)))


@dataclass(frozen=True)
class Reading:
    """What is drawn for a prompt.

    Attributes:
        text: that the model reads.
        name: of a concept, put before the typed words; None if nothing was.
        style: put after them; None if nothing was.
    """

    text: str
    name: str | None
    style: str | None


@dataclass(frozen=True)
class Concept:
    """A thing in the training images.

    Attributes:
        styles: in which it was seen, in the order of `SOURCES`; the first is drawn where a prompt names none.
        names: other names of it.
        words: tags, one word each.
    """

    styles: tuple[str, ...]
    names: tuple[str, ...] = ()
    words: tuple[str, ...] = ()


class Concepts:
    """All concepts, by name: lower case, letters and digits.

    Args:
        known: concepts by name.

    Attributes:
        known: the same.
        styles: of all of them.
    """

    def __init__(self, known: Mapping[str, Concept]) -> None:
        self.known = dict(known)
        seen = {style for concept in self.known.values() for style in concept.styles}
        self.styles = [source.style for source in SOURCES if source.style in seen]
        self._order = list(self.known)
        self._stems = [stems(name) for name in self.known]
        self._having: dict[str, set[int]] = defaultdict(set)  # a word -> the concepts with it in their own names
        for i, words in enumerate(self._stems):
            for word in words:
                self._having[word].add(i)
        parts = [(len(c.styles), (name, *c.names), c.words) for name, c in self.known.items()]
        self._meanings = Meanings([n for _, n, _ in parts], [w for _, _, w in parts], [s for s, _, _ in parts])

    @classmethod
    def from_file(cls, path: Path) -> Concepts:
        """Read the table that `write` makes.

        Raises:
            BadInput: it is damaged or empty, a name is repeated or not as in `concept_of`, or there is no such style.
        """
        _, rows = read_table(path, COLUMNS)
        known, styles = {}, {source.style for source in SOURCES}
        for line, row in rows:
            name, where = row["concept"], f"{path}, line {line}"
            names = tuple(filter(None, row["names"].split("|")))
            concept = Concept(tuple(row["styles"].split("|")), names, tuple(row["words"].split()))
            if not name or name != concept_of(name) or name in known:
                expected = "a new one, in lower case, of letters and digits"
                raise BadInput(f"the concept {shown(name)}", expected, "fetch it again", where)
            if unknown := set(concept.styles) - styles:
                got = f"the style {shown(min(unknown))}"
                raise BadInput(got, f"some of {', '.join(sorted(styles))}", "fetch it again", where)
            known[name] = concept
        if not known:
            raise BadInput("no concept", "some", "fetch it again", path)
        return cls(known)

    def write(self, path: Path) -> None:
        """Write a csv file with the columns concept, styles, names (both separated by |) and words."""
        rows = ([n, "|".join(c.styles), "|".join(c.names), " ".join(c.words)] for n, c in self.known.items())
        write_table(path, COLUMNS, rows)

    def to_str(self) -> str:
        """All of it as JSON, for `io.identity`: images depend on it."""
        return json.dumps({name: [c.styles, c.names, c.words] for name, c in self.known.items()})

    def by_styles(self, style: str | None = None) -> dict[int, list[str]]:
        """Names of the concepts that were seen in a style, or of all: number of styles -> names, most styles first."""
        found: dict[int, list[str]] = defaultdict(list)
        for name, concept in self.known.items():
            if style is None or style in concept.styles:
                found[len(concept.styles)].append(name)
        return dict(sorted(found.items(), reverse=True))

    def examples(self, count: int, style: str | None = None) -> list[str]:
        """Prompts for at most `count` concepts, evenly spaced among those that were seen in most styles.

        Args:
            count: of prompts, at least 1.
            style: of every prompt, for concepts that were seen in it; None takes their styles in turn.
        """
        pool: list[str] = []
        for names in self.by_styles(style).values():
            if len(pool) < count:
                pool += names
        count = min(count, len(pool))
        names = [pool[i * len(pool) // count] for i in range(count)]
        styles = [style or self.known[name].styles[i % len(self.known[name].styles)] for i, name in enumerate(names)]
        return [f"{name}, {style}" for name, style in zip(names, styles, strict=True)]

    def style_in(self, prompt: str) -> str | None:
        """The style that a prompt names, the last of several, outside the name of a concept: "flat shoe" names none."""
        text = f" {concept_of(prompt)} "
        if meant := self.meant(prompt):
            text = text.replace(f" {meant} ", " , ")
        places = {style: max(text.rfind(f" {concept_of(words)} ") for words in CALLED[style]) for style in self.styles}
        last = max(places, key=places.__getitem__)
        return last if places[last] >= 0 else None

    def reading(self, prompt: str, fits: Callable[[str], bool]) -> Reading:
        """What is drawn for a prompt: no word of it is left out, but names of emoji stand for them.

        Before it comes the name of the concept that it means, unless it begins with that, and after it a style, unless
        it names one: the captions of the training too are a label, other words, and a style.

        Args:
            prompt: as typed, not blank.
            fits: whether a text has few enough tokens; what is added is left out where it has not.
        """
        text = spelled(prompt)
        meant, named = self.meant(text), self.style_in(text)
        name = None if meant is None or f"{concept_of(text)} ".startswith(f"{meant} ") else meant
        style = None if named else self.known[meant].styles[0] if meant else self.styles[0]
        body = (text.rstrip(ENDS) or text) if style else text
        for before, after in ((name, style), (None, style)):
            whole = ", ".join(part for part in (before, body, after) if part)
            if fits(whole):
                return Reading(whole, before, after)
        return Reading(text, None, None)

    def unknown(self, prompt: str) -> list[str]:
        """Words of a prompt that no caption had, in order; all words where none has a letter or digit."""
        seen = self._meanings.words | asides() | stems(" ".join((*phrases.JOINED, *phrases.DOING))) | SMALL_WORDS
        words = re.findall(r"[^\W_]+", prompt.lower()) or prompt.split()  # of any alphabet
        parts = {word: concept_of(word).split() for word in words}
        return [word for word in parts if not parts[word] or any(stem(part) not in seen for part in parts[word])]

    def hint(self, prompt: str) -> str | None:
        """Which words of a prompt were never seen, each with the nearest that was; None if there is none."""
        unknown = self.unknown(prompt)
        if not unknown:
            return None
        own = (word for name, c in self.known.items() for text in (name, *c.names, *c.words) for word in text.split())
        pool = sorted(set(own))
        near = {word: get_close_matches(word, pool, 1, NEAR) for word in unknown[:HINTS]}
        texts = [f"{word} (near: {near[word][0]})" if near.get(word) else word for word in unknown[: HINTS + 1]]
        return f"unknown words: {', '.join(texts)}" + (" and more" if len(unknown) > len(texts) else "")

    def named(self, prompt: str) -> str | None:
        """The concept that a prompt names whole, with nothing else but words around a thing; None if it names none."""
        words = stems(prompt)
        content = words - asides()
        near = set().union(*(self._having.get(word, ()) for word in words))
        fitting = [i for i in sorted(near) if content <= self._stems[i] <= words]
        size = {i: (len(self._stems[i]), len(self.known[self._order[i]].styles)) for i in fitting}
        return self._order[max(fitting, key=size.__getitem__)] if fitting else None

    def meant(self, prompt: str) -> str | None:
        """The concept that a prompt names, or else whose names and tags fit best; None if none has any of its words."""
        if (name := self.named(prompt)) is not None:
            return name
        text = _without_styles(prompt)
        content = stems(text) - asides()
        if content and self._meanings.best(" ".join(content)) is None:  # only words around a thing are known
            return None
        best = self._meanings.best(text)
        return None if best is None else self._order[best]
