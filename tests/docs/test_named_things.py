"""What the pages name exists: paths and names of code in code font, and the files that links lead to."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = next(folder for folder in Path(__file__).resolve().parents if (folder / "pyproject.toml").exists())
PACKAGE = ROOT / "src" / "spatialspec"
PAGES = [
    ROOT / "README.md",
    ROOT / "NOTICE",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((PACKAGE / "weights").rglob("README.md")),
]
BLOCK = re.compile(r"^```.*?^```|^<!-- docs/results/.*?^<!-- end -->", re.DOTALL | re.MULTILINE)
FOLDERS = {path.name for folder in (ROOT, PACKAGE) for path in folder.iterdir() if path.is_dir()}

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())


def spans(text: str) -> list[str]:
    """Code font of a page, without code blocks and what `fill_pages.py` writes."""
    return re.findall(r"`([^`\n]+)`", BLOCK.sub("", text))


def missing_paths(text: str) -> list[str]:
    """Paths of the repository or the package that do not exist; a pattern must match a file."""
    paths = [span for span in spans(text) if re.fullmatch(r"[\w.*-]+(/[\w.*-]+)+/?", span)]
    ours = [path for path in paths if path.endswith(".py") or path.split("/")[0] in FOLDERS]
    return [path for path in ours if not any([*ROOT.glob(path), *PACKAGE.glob(path)])]


@cache
def classes() -> dict[str, set[str]]:
    """Class of the package -> its own attributes, and names of its bases after a colon."""
    found: dict[str, set[str]] = {}
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                found.setdefault(node.name, set()).update(attributes(node))
    return found


def attributes(node: ast.ClassDef) -> Iterator[str]:
    for base in node.bases:
        yield f":{base.id}" if isinstance(base, ast.Name) else ":"
    for part in ast.walk(node):
        match part:
            case ast.FunctionDef(name=name) | ast.AnnAssign(target=ast.Name(id=name)):
                yield name
            case ast.Attribute(value=ast.Name(id="self"), attr=name, ctx=ast.Store()):
                yield name


def has(name: str, attribute: str) -> bool:
    members = classes().get(name, set())
    return attribute in members or any(has(base[1:], attribute) for base in members if base.startswith(":"))


def missing_names(text: str) -> list[str]:
    """`spatialspec.x.y` that cannot be imported, and `Class.attribute` that no class of the package has."""
    names = {span: span.split(".") for span in spans(text) if re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+", span)}
    dotted = [name for name, (first, *_) in names.items() if first == "spatialspec" and not imported(name)]
    members = [name for name, parts in names.items() if re.match(r"[A-Z]\w*[a-z]", name) and len(parts) == 2]
    return dotted + [name for name in members if not file(name) and not has(*name.split("."))]


def file(name: str) -> bool:
    """A name with a suffix, as `PartiPrompts.tsv`."""
    return Path(name).suffix in {".json", ".md", ".py", ".tsv", ".csv", ".txt", ".png"}


def imported(name: str) -> bool:
    module, _, rest = name.rpartition(".")
    try:
        return hasattr(importlib.import_module(module), rest) or bool(importlib.import_module(name))
    except ImportError:
        return False


def missing_links(page: Path, text: str) -> list[str]:
    """Relative links that lead to no file."""
    links = re.findall(r"\]\(([^)\s]+)\)", BLOCK.sub("", text))
    return [link for link in links if "://" not in link and not (page.parent / link.split("#")[0]).exists()]


@every_page
def test_paths_exist(page: Path) -> None:
    assert missing_paths(page.read_text()) == []


@every_page
def test_names_exist(page: Path) -> None:
    assert missing_names(page.read_text()) == []


@every_page
def test_links_lead_to_files(page: Path) -> None:
    assert missing_links(page, page.read_text()) == []


@pytest.mark.parametrize("page", [page for page in PAGES if page.is_relative_to(ROOT / "docs")], ids=lambda p: p.stem)
def test_a_page_names_other_pages_and_records_by_links(page: Path) -> None:
    """A link can be followed, on the site as well; `*` stands for several files."""
    if "results" not in page.parts:
        assert [span for span in spans(page.read_text()) if re.fullmatch(r"docs/[^ *]+\.\w+", span)] == []


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("`methods/hawk.py` and `src/spatialspec/methods/*.py`", []),
        ("`drafters/hawk.py`", ["drafters/hawk.py"]),
        ("`docs/results/none-*.json`", ["docs/results/none-*.json"]),
        ("`spatialspec.show.trace` and `Scores.layers`, `Session.keep`", []),
        ("`spatialspec.show.none`, `Scores.blocks`, `Gone.layers`",
         ["spatialspec.show.none", "Scores.blocks", "Gone.layers"]),
        ("[a](docs/log.md#x) and [b](docs/none.md)", ["docs/none.md"]),
    ],
)  # fmt: skip
def test_what_does_not_exist_is_noticed(text: str, missing: list[str]) -> None:
    assert missing_paths(text) + missing_names(text) + missing_links(ROOT / "README.md", text) == missing
