"""Where the pictures of a training come from, for its card: what they are, their licences, whom to credit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from spatialspec.lab.icons.sources import LABELS, SOURCES

OWN = "by the licence that their table states:"


@dataclass(frozen=True)
class Origin:
    """What a card says of the data.

    Attributes:
        lines: what it is, licences and attribution.
        shipped: whether all of it is what `train data` and `train scenes` make, whose licences are known.
    """

    lines: tuple[str, ...] = ()
    shipped: bool = False


def credits(styles: Iterable[str]) -> list[str]:
    """One line per source of pictures in these styles, with licence and attribution."""
    wanted = set(styles)
    chosen = [s for s in SOURCES if s.style in wanted]
    return [f"- {s.package} {s.version} ({s.registry}), {s.licence}: {s.credit}" for s in (*chosen, LABELS)]


def of_pictures(rows: Sequence[Mapping[str, str]], hub: str | None = None) -> Origin:
    """Origin of pictures.

    Args:
        rows: of their table, those of pictures that were not used left out.
        hub: name of the data set on the Hub that they are from, if they are.
    """
    if _shipped(rows):
        return Origin((f"{len(rows)} renderings, on white, of these packages:", "", *_licences(rows)), True)
    whose = f"of the data set {hub} on the Hub" if hub else "of the maker's own"
    return Origin((f"{len(rows)} pictures {whose}, {OWN}", "", *_licences(rows)))


def of_captions(rows: Sequence[Mapping[str, str]], hub: str | None = None) -> Origin:
    """Origin of pictures that the target drew of captions; `rows` has one for each, the same one more than once."""
    drawn, different = len(rows), list({id(row): row for row in rows}.values())
    said = f"{drawn} pictures that the target drew itself, of captions of {len(different)} pictures"
    if _shipped(different):
        return Origin((f"{said} that are renderings of these packages:", "", *_licences(different)), True)
    whose = f"in the data set {hub} on the Hub" if hub else "of the maker's own"
    return Origin((f"{said} {whose}, {OWN}", "", *_licences(different)))


def of_prompts(count: int) -> Origin:
    """Origin of pictures that the target drew of prompts in a file."""
    return Origin((f"Trained on pictures that the target drew itself, of {count} prompts in a file.",))


def _shipped(rows: Sequence[Mapping[str, str]]) -> bool:
    """Whether `train data` or `train scenes` has made the table: its columns, and a source's style and licence."""
    known = {(source.style, source.licence) for source in SOURCES}
    return all(("concept" in row or "scene" in row) and (row.get("style"), row.get("licence")) in known for row in rows)


def _licences(rows: Sequence[Mapping[str, str]]) -> list[str]:
    if _shipped(rows):
        return credits(row["style"] for row in rows)
    return [f"- {name} {count}" for name, count in Counter(row.get("licence") or "not stated" for row in rows).items()]
