"""README and site: short, linked, complete; the Python of the first pages runs. `make docs` builds the site itself."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from PIL import Image

import spatialspec
from helpers.paths import ROOT
from helpers.tiny import call_main, tiny_folder
from helpers.tiny_checkpoints import tiny_janus
from spatialspec import SpatialPipeline

DOCS = ROOT / "docs"
PAGES = [*sorted(ROOT.glob("*.md")), ROOT / "examples" / "README.md", *sorted(DOCS.rglob("*.md"))]
LINK = re.compile(r"(?<!`)\[[^][]*\]\(\s*([^)\s]+)\s*\)")
DRAWING = DOCS / "images" / "drawing.webp"


def anchors(page: Path) -> set[str]:
    """Of the headings, as GitHub and MkDocs write them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", text).strip().lower()) for text in headings}


def fault(link: str, page: Path) -> str:
    """What is wrong with a link of a page, empty if nothing is; links to other hosts are checked by form alone."""
    url = urlsplit(link)
    if url.scheme:
        return "" if url.scheme == "https" and "." in url.netloc else "expected https://HOST/..."
    path = (page.parent / url.path).resolve() if url.path else page
    if not path.is_relative_to(ROOT) or not path.exists():
        return "no such file"
    if DOCS in page.parents and DOCS not in path.parents:
        return "leads out of the site"
    return "no such heading" if url.fragment and url.fragment not in anchors(path) else ""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    assert {link: fault(link, page) for link in LINK.findall(text) if fault(link, page)} == {}


def test_broken_links_are_found() -> None:
    page = DOCS / "index.md"
    links = ["nowhere.md", "results.md#nothing", "#nothing", "http://example.org", "https://nohost", "../README.md"]
    assert all(fault(link, page) for link in links)
    assert not any(fault(link, page) for link in ("results.md#on-a-gpu", "#draw", "https://arxiv.org/abs/2510.25739"))


def test_the_readme_is_short() -> None:
    text = (ROOT / "README.md").read_text()
    assert len(text.split()) <= 800
    assert "Janus" in "\n".join(text.splitlines()[:40]), "your model comes within the first screen"


def test_the_drawing_ends_with_one_image() -> None:
    assert DRAWING.stat().st_size < 2_000_000
    with Image.open(DRAWING) as drawing:
        assert drawing.n_frames == 576, "a frame for each of AR's passes"
        drawing.seek(575)
        left, right = (drawing.convert("RGB").crop((x, 12, x + 240, 252)) for x in (12, 264))
    assert left.tobytes() == right.tobytes() and len(left.getcolors(1 << 16)) > 100


def test_every_page_is_in_the_navigation() -> None:
    listed = set(re.findall(r"[\w/.-]+\.md\b", (ROOT / "mkdocs.yml").read_text().partition("\nnav:")[2]))
    pages = {str(page.relative_to(DOCS)) for page in PAGES if DOCS in page.parents}
    assert listed == {page for page in pages if not page.startswith(("results/", "adr/"))}


def test_every_public_name_is_in_the_reference() -> None:
    listed = re.findall(r"^::: spatialspec\.(\w+)$", (DOCS / "api.md").read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(set(spatialspec.__all__) - {"__version__"})


@pytest.mark.parametrize("page", ["README.md", "docs/index.md", "docs/your-model.md", "docs/python.md"])
def test_the_python_of_a_page(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Block after block in one program, on tiny models under the names of the page's."""
    janus, icons = tiny_janus(tmp_path / "janus"), tiny_folder(tmp_path / "tiny")
    monkeypatch.chdir(tmp_path)
    changes = {
        "deepseek-community/Janus-Pro-1B": janus, "Janus-Pro-1B": janus, "icons": icons, "cuda": "cpu", "bf16": "fp32"
    }  # fmt: skip
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    assert blocks
    names: dict[str, object] = {}
    for block in blocks:
        for old, new in changes.items():
            block = block.replace(f'"{old}"', f'"{new}"')
        exec(compile(block, page, "exec"), names)
    assert isinstance(names["pipe"], SpatialPipeline)
    if page.endswith("python.md"):
        begun, finished = names["begun"].tokens, names["finished"].tokens
        assert 0 < len(begun[0]) < 36 and finished == names["pipe"]("a red apple, 3d", seed=0).tokens


def test_the_first_command_of_the_readme(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """After the installation it is the only step to an image of a Janus, here a tiny one."""
    monkeypatch.chdir(tmp_path)
    lines = (ROOT / "README.md").read_text().splitlines()
    install, draw = [line.strip() for line in lines[:40] if line.startswith("    ")]
    command, *words = shlex.split(draw.replace("deepseek-community/Janus-Pro-1B", str(tiny_janus(tmp_path / "janus"))))
    assert install == "pip install ." and command == "spatialspec"
    code, _, err = call_main(capsys, *words)
    assert code == 0 and Image.open("fox.png").size == (64, 64), err
