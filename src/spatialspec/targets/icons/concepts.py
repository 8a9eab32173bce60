"""What the embedded model can draw: which of it a prompt means, in which style, and which words were never seen."""

from __future__ import annotations

import json
import re
import unicodedata
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from math import log
from pathlib import Path

import numpy as np

from spatialspec.core.errors import BadInput, shown
from spatialspec.io.tables import read_table, write_table
from spatialspec.targets.icons import phrases
from spatialspec.targets.icons.sources import CALLED, SOURCES, concept_of

FILE = "concepts.csv"  # in a model's folder
HINTS = 5  # unknown words that near ones are sought for
COLUMNS = ("concept", "styles", "words")
JOINERS = {"\ufe0f", "\u200d", *map(chr, range(0x1F3FB, 0x1F400))}  # within emoji: selectors, joiners, skin tones
FORMS = {"black", "white", "heavy", "medium"}  # in names of symbols: filled, outlined
KINDS = {"face", "suit", "button", "symbol", "sign", "emoji"}  # of what is named: "dog face" is a dog
SMALL_WORDS = {"a", "an", "the", "of", "with", "and", "in", "on", "for", "to", "at", "from", "by", "or", "no"}


def stem(word: str) -> str:
    """A word without the ending of a plural: "cherries" and "cherry" are one."""
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("ches", "shes", "sses", "xes", "zes")):
        return word[:-2]
    return word[:-1] if word.endswith("s") and not word.endswith("ss") and len(word) > 3 else word


def stems(text: str) -> set[str]:
    """Stems of the words of a text that mean something."""
    return {stem(word) for word in concept_of(text).split()} - SMALL_WORDS


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


@cache
def asides() -> frozenset[str]:
    """Stems of words around the name of a thing, and of those for styles."""
    around = (phrases.FRAMES, phrases.PLACES, phrases.ADJECTIVES, phrases.NUMBERS, phrases.DETERMINERS, phrases.STYLED)
    return frozenset(stems(" ".join(text for group in (*around, *CALLED.values()) for text in group)))


@dataclass(frozen=True)
class Concept:
    """A thing in the training images.

    Attributes:
        styles: in which it was seen, in the order of `SOURCES`; the first is drawn where a prompt names none.
        words: other words for it.
    """

    styles: tuple[str, ...]
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
        self._names = list(self.known)
        self._stems = {name: stems(name) for name in self.known}
        having: dict[str, list[tuple[int, bool]]] = defaultdict(list)
        for i, (name, concept) in enumerate(self.known.items()):
            for word in self._stems[name] | stems(" ".join(concept.words)):
                having[word].append((i, word in self._stems[name]))
        self._gains: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        self._prior = np.array([0.8 * len(concept.styles) for concept in self.known.values()])
        for word, places in having.items():
            rare = log(len(self._names) / len(places)) + 0.1
            index, named = np.array([i for i, _ in places]), np.array([own for _, own in places])
            missed = 0.1 if word in KINDS else 0.5  # what is lost where a name has a word that a prompt has not
            self._gains[word] = index, rare * np.where(named, 1 + missed, 0.7)
            self._prior[index[named]] -= missed * rare

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
            concept = Concept(tuple(row["styles"].split("|")), tuple(row["words"].split()))
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
        """Write a csv file with the columns concept, styles (separated by |) and words."""
        write_table(path, COLUMNS, ([name, "|".join(c.styles), " ".join(c.words)] for name, c in self.known.items()))

    def to_str(self) -> str:
        """All of it as JSON, for `io.identity`: images depend on it."""
        return json.dumps({name: [concept.styles, concept.words] for name, concept in self.known.items()})

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
        if meant := self.named(prompt) or self.meant(prompt):
            text = text.replace(f" {meant} ", " , ")
        places = {style: max(text.rfind(f" {concept_of(words)} ") for words in CALLED[style]) for style in self.styles}
        last = max(places, key=places.__getitem__)
        return last if places[last] >= 0 else None

    def style_for(self, prompt: str) -> str | None:
        """The style to add to a prompt: the first in which what is meant was seen; None if it names a style."""
        if self.style_in(prompt):
            return None
        meant = self.named(prompt) or self.meant(prompt)
        return self.known[meant].styles[0] if meant else self.styles[0]

    def unknown(self, prompt: str) -> list[str]:
        """Words of a prompt that no caption had, in order; all words where none has a letter or digit."""
        seen = self._gains.keys() | asides() | stems(" ".join((*phrases.JOINED, *phrases.DOING))) | SMALL_WORDS
        words = re.findall(r"[^\W_]+", prompt.lower()) or prompt.split()  # of any alphabet
        parts = {word: concept_of(word).split() for word in words}
        return [word for word in parts if not parts[word] or any(stem(part) not in seen for part in parts[word])]

    def hint(self, prompt: str) -> str | None:
        """Which words of a prompt were never seen, each with the nearest that was; None if there is none."""
        unknown = self.unknown(prompt)
        if not unknown:
            return None
        pool = sorted({word for name, concept in self.known.items() for word in (*name.split(), *concept.words)})
        near = {word: get_close_matches(word, pool, 1, 0.75) for word in unknown[:HINTS]}
        texts = [f"{word} (near: {near[word][0]})" if near.get(word) else word for word in unknown[: HINTS + 1]]
        return f"unknown words: {', '.join(texts)}" + (" and more" if len(unknown) > len(texts) else "")

    def named(self, prompt: str) -> str | None:
        """The concept that a prompt names whole, with nothing else but words around a thing; None if it names none."""
        words = stems(prompt)
        content = words - asides()
        fitting = [name for name, own in self._stems.items() if content <= own <= words]
        return max(fitting, key=lambda name: (len(self._stems[name]), len(self.known[name].styles)), default=None)

    def meant(self, text: str) -> str | None:
        """The concept whose name and other words fit best; None if no concept has any of its words.

        A rare word counts more than a frequent one, a name more than other words; a word of the name that is missing
        counts against a concept, every style in which it was seen for it. The first of equals wins.
        """
        scores, hit = self._prior.copy(), np.zeros(len(self._names), bool)
        for word in stems(text) & self._gains.keys():
            index, gain = self._gains[word]
            scores[index] += gain
            hit[index] = True
        return self._names[int(np.where(hit, scores, -np.inf).argmax())] if hit.any() else None
