"""Which concept a prompt means: the one whose best name, and the tags besides, have the most telling words of it.

A word tells the more the fewer concepts have it. It tells less in what follows a comma, "with", "on" and the like, or
what a thing is doing: "a snowman with a carrot nose" is a snowman. Two words in a row may be one ("fire truck",
"firetruck"), and an unknown word is taken for the nearest known one. Accents do not count.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from difflib import get_close_matches
from functools import lru_cache
from itertools import pairwise
from math import fsum, log

import numpy as np
from jaxtyping import Int

from spatialspec.targets.icons.sources import concept_of

SMALL_WORDS = {"a", "an", "the", "of", "with", "and", "in", "on", "for", "to", "at", "from", "by", "or", "no"}
AROUND = {
    "with", "on", "in", "at", "for", "from", "under", "near", "by", "wearing", "holding", "over", "that", "which",
    "while", "who", "and", "to", "behind", "inside", "against", "like", "having", "has", "no", "not", "without", "vs",
    "but", ",", "/", ";", "|",
}  # fmt: skip

# Weights of the score, chosen on 300 prompts of people other than those that are measured (`docs/log.md`, 2026-11-30).
MISSED = 0.2  # a word of a name that the prompt lacks
OTHER_NAME = 0.85
TAG = 0.6
AFTER = 0.5  # a word after one of AROUND
NEAR = 0.8  # a word near to a known one; also how near it must be
SHORTEST = 4  # letters of such words
STYLE = 0.15  # for a concept, each style in which it was seen


def stem(word: str) -> str:
    """A word without the ending of a plural: "cherries" and "cherry" are one."""
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("ches", "shes", "sses", "xes", "zes")):
        return word[:-2]
    return word[:-1] if word.endswith("s") and not word.endswith("ss") and len(word) > 3 else word


def plain(text: str) -> str:
    """The form of a text that words are sought in: of letters with accents, ligatures and wide forms the plain ones."""
    return "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))


def stems(text: str) -> set[str]:
    """Stems of the words of a text that mean something."""
    return {stem(word) for word in concept_of(plain(text)).split()} - SMALL_WORDS


class Meanings:
    """Concepts by the words of their names and tags.

    Args:
        names: of each concept, its own first.
        tags: of each concept.
        styles: number of styles in which each was seen.

    Attributes:
        words: stems of all of them.
    """

    def __init__(self, names: Sequence[Sequence[str]], tags: Sequence[Sequence[str]], styles: Sequence[int]) -> None:
        called = [[stems(name) for name in own] for own in names]
        tagged = [stems(" ".join(words)).difference(*own) for words, own in zip(tags, called, strict=True)]
        having = Counter(word for own, more in zip(called, tagged, strict=True) for word in set().union(*own, more))
        flat = [words for own in called for words in own]
        self._first = np.cumsum([0, *(len(own) for own in called[:-1])])  # name of each concept
        self._name, self._tag = _places(flat), _places(tagged)
        self.words = self._name.keys() | self._tag.keys()
        self._tells = {word: log(len(names) / having[word]) + 0.1 for word in self.words}
        self._absent = np.array([-MISSED * fsum(self._tells[word] for word in words) for words in flat])
        self._scale = np.full(len(flat), OTHER_NAME)
        self._scale[self._first] = 1
        self._styles = STYLE * np.array(styles)
        pairs = [pair for own in names for name in own for pair in pairwise(name.split())]
        self._split = {stem(a + b): (stem(a), stem(b)) for a, b in pairs}
        self._alike: dict[str, list[str]] = defaultdict(list)
        for word in sorted(self.words):
            if len(word) >= SHORTEST:
                self._alike[word[0]].append(word)
        self._known = lru_cache(maxsize=4096)(self._find)

    def best(self, text: str, silent: Collection[str] = ()) -> int | None:
        """Number of the concept that fits a text best, the first of equals; None if none has any of its words.

        Args:
            text: a prompt.
            silent: stems that say nothing.
        """
        weights = self._weights(text, silent)
        names, tags = self._absent.copy(), np.zeros(len(self._first))
        named, hit = np.zeros(len(names), bool), np.zeros(len(tags), bool)
        for word, weight in weights.items():
            places = self._name.get(word, NOWHERE)
            names[places] += self._tells[word] * (weight + MISSED)
            named[places] = True
            places = self._tag.get(word, NOWHERE)
            tags[places] += TAG * self._tells[word] * weight
            hit[places] = True
        best = np.maximum.reduceat(np.where(named, names * self._scale, -np.inf), self._first)
        hit |= np.isfinite(best)
        scores = np.where(np.isfinite(best), best, 0) + tags + self._styles
        return int(np.where(hit, scores, -np.inf).argmax()) if hit.any() else None

    def _weights(self, text: str, silent: Collection[str]) -> dict[str, float]:
        """Known stems that a text has, with weights of 0 to 1, in the order of the text."""
        found: dict[str, float] = {}
        weight, before = 1.0, ""
        for word in re.findall(r"[a-z0-9]+|[,/;|]", plain(text).lower()):
            if before and (word in AROUND or (found and word.endswith("ing") and len(word) > 4)):
                weight = AFTER
            both, known = stem(before + word), dict[str, float]()
            if before and before not in SMALL_WORDS and both in self.words:
                known[both] = 1.0
            if word not in SMALL_WORDS and stem(word) not in silent:
                known |= self._known(stem(word))
            for one, certain in known.items():
                found[one] = max(found.get(one, 0.0), weight * certain)
            before = word
        return found

    def _find(self, word: str) -> dict[str, float]:
        """The known stems that a stem stands for."""
        if word in self.words:
            return {word: 1.0}
        if word in self._split:
            return {part: 1.0 for part in self._split[word] if part in self.words}
        if word in AROUND or len(word) < SHORTEST:
            return {}
        return {near: NEAR for near in get_close_matches(word, self._alike.get(word[0], ()), 1, NEAR)}


NOWHERE = np.array([], int)


def _places(groups: Iterable[Iterable[str]]) -> dict[str, Int[np.ndarray, "N"]]:
    """For each word the numbers of the groups that have it."""
    places = defaultdict(list)
    for i, words in enumerate(groups):
        for word in words:
            places[word].append(i)
    return {word: np.array(numbers) for word, numbers in places.items()}
