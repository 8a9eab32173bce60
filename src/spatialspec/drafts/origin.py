"""Where the images of a training come from, for its card: sources, licences, attribution."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from spatialspec.targets.icons.sources import LABELS, SOURCES

OWN = "by the licence that their table states:"


@dataclass(frozen=True)
class Origin:
    """Data of a training, as its card describes it.

    Attributes:
        lines: what it is, licences and attribution.
        shipped: whether all of it comes from `train data` and `train scenes`, whose licences are known.
    """

    lines: tuple[str, ...] = ()
    shipped: bool = False


def credits(styles: Iterable[str]) -> list[str]:
    """One line per source of images in these styles, with licence and attribution."""
    wanted = set(styles)
    chosen = [s for s in SOURCES if s.style in wanted]
    return [f"- {s.package} {s.version} ({s.registry}), {s.licence}: {s.credit}" for s in (*chosen, LABELS)]


def of_pictures(rows: Sequence[Mapping[str, str]], hub: str | None = None) -> Origin:
    """Origin of images.

    Args:
        rows: of their table, without those of unused images.
        hub: name of the data set on the Hub that they are from; None for a folder.
    """
    whose = f"of the data set {hub} on the Hub" if hub else "of the maker's own"
    return _origin(rows, f"{len(rows)} renderings, on white, of these packages:", f"{len(rows)} pictures {whose}")


def of_captions(rows: Sequence[Mapping[str, str]], hub: str | None = None) -> Origin:
    """Origin of images that the target drew from captions; `rows` has one for each, repeats included."""
    different = list({id(row): row for row in rows}.values())
    drawn = f"{len(rows)} pictures that the target drew itself, of captions of {len(different)} pictures"
    whose = f"in the data set {hub} on the Hub" if hub else "of the maker's own"
    return _origin(different, f"{drawn} that are renderings of these packages:", f"{drawn} {whose}")


def of_prompts(count: int) -> Origin:
    """Origin of images that the target drew from prompts in a file."""
    return Origin((f"Trained on pictures that the target drew itself, of {count} prompts in a file.",))


def _origin(rows: Sequence[Mapping[str, str]], shipped: str, other: str) -> Origin:
    """Rows of `train data` and `train scenes` have their columns, and the style and licence of a source."""
    known = {(source.style, source.licence) for source in SOURCES}
    if all(("concept" in row or "scene" in row) and (row.get("style"), row.get("licence")) in known for row in rows):
        return Origin((shipped, "", *credits(row["style"] for row in rows)), True)
    licences = Counter(row.get("licence") or "not stated" for row in rows)
    return Origin((f"{other}, {OWN}", "", *(f"- {name} {count}" for name, count in licences.items())))
