"""What the embedded model can draw: which of it a prompt means, in which style, and which words were never seen."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from spatialspec.core.errors import BadInput, printable, shown
from spatialspec.io.tables import read_table, write_table
from spatialspec.targets.icons import phrases
from spatialspec.targets.icons.emoji import spelled
from spatialspec.targets.icons.meaning import NEAR, SMALL_WORDS, Meanings, plain, stem, stems
from spatialspec.targets.icons.sources import CALLED, SOURCES, concept_of

FILE = "concepts.csv"  # in a model's folder
ENDS = " .,;:!?\n\t"  # of a prompt, before an added style
LONGEST = 40  # letters of a word in a hint
FEW = 3  # styles of a concept that is well known
HINTS = 5  # unknown words that near ones are sought for
COLUMNS = ("concept", "styles", "names", "words")


def joined(name: str | None, text: str, style: str | None) -> str:
    """The form of captions: a concept, other words, a style; what is None is left out."""
    return ", ".join(part for part in (name, text, style) if part)


@dataclass(frozen=True)
class PromptReading:
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

    Raises:
        BadInput: there is none.
    """

    def __init__(self, known: Mapping[str, Concept]) -> None:
        if not known:
            raise BadInput("no concept", "some", "fetch the model again")
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
        known, styles = {}, {source.style: i for i, source in enumerate(SOURCES)}
        for line, row in rows:
            name, where = row["concept"], f"{path}, line {line}"
            names = tuple(filter(None, row["names"].split("|")))
            concept = Concept(tuple(row["styles"].split("|")), names, tuple(row["words"].split()))
            if not name or name != concept_of(name) or name in known:
                expected = "a new one, in lower case, of letters and digits"
                raise BadInput(f"the concept {shown(name)}", expected, "fetch it again", where)
            if unknown := set(concept.styles) - styles.keys():
                got = f"the style {shown(min(unknown))}"
                raise BadInput(got, f"some of {', '.join(sorted(styles))}", "fetch it again", where)
            if list(concept.styles) != sorted(set(concept.styles), key=styles.__getitem__):
                got, expected = f"the styles {shown(row['styles'])}", f"each once, in the order {', '.join(styles)}"
                raise BadInput(got, expected, "fetch it again", where)
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
        return self._style(prompt, self.meant(prompt))

    def _style(self, prompt: str, meant: str | None) -> str | None:
        words, own = concept_of(plain(prompt)).split(), [stem(word) for word in (meant or "").split()]
        for i in range(len(words) - len(own) + 1 if own else 0):
            if [stem(word) for word in words[i : i + len(own)]] == own:
                words[i : i + len(own)] = ["" for _ in own]
        text = f" {' '.join(words)} "
        places = {style: max(text.rfind(f" {concept_of(name)} ") for name in CALLED[style]) for style in self.styles}
        last = max(places, key=places.__getitem__)
        return last if places[last] >= 0 else None

    def reading(self, prompt: str, fits: Callable[[str], bool]) -> PromptReading:
        """What is drawn for a prompt: no word of it is left out, but names of emoji stand for them.

        Before it comes the name of the concept that it means, unless it begins with that, and after it a style, unless
        it names one: the captions of the training too are a label, other words, and a style.

        Args:
            prompt: as typed, not blank.
            fits: whether a text has few enough tokens; where it has not, the name is left out, then the style too.
        """
        text = spelled(prompt)
        if not fits(text):  # it will be refused, so nothing is sought in it
            return PromptReading(text, None, None)
        meant = self.meant(text)
        named = self._style(text, meant)
        begins = any(f"{concept_of(form)} ".startswith(f"{meant} ") for form in (text, plain(text)))
        name = None if meant is None or begins else meant
        style = None if named else self.known[meant].styles[0] if meant else self.styles[0]
        body = (text.rstrip(ENDS) or text) if style else text
        for before, after in ((name, style), (None, style)):
            if fits(whole := joined(before, body, after)):
                return PromptReading(whole, before, after)
        return PromptReading(text, None, None)

    def unknown(self, prompt: str) -> list[str]:
        """Words of a prompt that no caption had, in order; all words where none has a letter or digit."""
        seen = (
            self._meanings.words | phrases.asides() | stems(" ".join((*phrases.JOINED, *phrases.DOING))) | SMALL_WORDS
        )
        words = re.findall(r"[^\W_]+", prompt.lower()) or prompt.split()  # of any alphabet
        parts = {word: concept_of(plain(word)).split() for word in words}
        return [word for word in parts if not parts[word] or any(stem(part) not in seen for part in parts[word])]

    def hint(self, prompt: str) -> str | None:
        """Which words of a prompt were never seen, each with the nearest that was; None if there is none."""
        unknown = self.unknown(prompt)
        if not unknown:
            return None
        own = (word for name, c in self.known.items() for text in (name, *c.names, *c.words) for word in text.split())
        pool = sorted(set(own))
        near = {word: get_close_matches(word, pool, 1, NEAR) for word in unknown[:HINTS]}
        texts = []
        for word in unknown[: HINTS + 1]:
            nearest = "".join(f" (near: {known})" for known in near.get(word, ()))
            texts.append(printable(word[:LONGEST]) + nearest)
        return f"unknown words: {', '.join(texts)}" + (" and more" if len(unknown) > len(texts) else "")

    def named(self, prompt: str) -> str | None:
        """The concept that a prompt names whole, with nothing else but words around a thing; None if it names none.

        First comes a name as it is, of a concept in FEW styles or in that which the prompt names; then the longest,
        one in at least FEW styles, the one in the same form ("eye", not "eyes"), and the one in more styles.
        """
        style = self._style(prompt, None)
        for text in (prompt, plain(prompt)):  # names in the table have no accents, and no letters in their place
            bare = " ".join(phrases.style_words().sub(" ", concept_of(text)).split())
            styles = self.known[bare].styles if bare in self.known else ()
            if style in styles or len(styles) >= FEW:
                return bare
        words, typed = stems(prompt), set(concept_of(plain(prompt)).split())
        content = words - phrases.asides()
        near = set().union(*(self._having.get(word, ()) for word in words))
        fitting = [i for i in sorted(near) if content <= self._stems[i] <= words]

        def order(i: int) -> tuple[int, ...]:
            name = self._order[i]
            count = len(self.known[name].styles)
            return len(self._stems[i]), min(count, FEW), len(typed.intersection(name.split())), count

        return self._order[max(fitting, key=order)] if fitting else None

    def meant(self, prompt: str) -> str | None:
        """The concept that a prompt names, or else whose names and tags fit best; None if none has any of its words."""
        if (name := self.named(prompt)) is not None:
            return name
        text = phrases.style_words().sub(" ", plain(prompt).lower())
        best = self._meanings.best(text, phrases.silent())
        return None if best is None else self._order[best]
