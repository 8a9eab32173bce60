"""Rules that reviewers should not have to remember: layers, sizes, names, a quick start, no traces of a machine."""

import ast
import io
import os
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.paths import ROOT
from spatialspec.methods.registry import methods
from spatialspec.models import GRIDS

PACKAGE = ROOT / "src" / "spatialspec"

FILES = {"core", "io", "extras", "plugins"}
LOOP = FILES | {"methods", "targets", "decode", "request", "generation", "pass_time", "budget"}
DRAWING = LOOP | {"models", "drafts", "components", "pipeline", "arguments", "devices", "output"}
MAY_IMPORT = {  # room -> rooms of the package that it may import, besides itself; from the bottom to the top
    "core": set(),
    "io": {"core"},
    "extras": {"core"},
    "plugins": {"core"},
    "methods": {"core", "io", "plugins"},
    "targets": FILES,
    "decode": {"core"},
    "request": {"core"},
    "generation": {"core", "methods", "decode", "io", "request"},
    "pass_time": {"core", "generation", "methods", "request"},
    "budget": {"core", "io", "generation", "methods", "pass_time", "request"},
    "models": {"core", "io", "targets"},
    "arguments": {"core", "io"},
    "devices": {"core"},
    "output": {"core", "generation", "targets"},
    "drafts": LOOP | {"models"},
    "components": LOOP | {"models", "drafts", "arguments", "devices"},
    "pipeline": LOOP | {"components", "drafts", "arguments", "output"},
    "integrations": DRAWING,
    "measure": DRAWING,
    "quality": DRAWING | {"measure"},
    "audit": DRAWING | {"measure"},
    "doctor": DRAWING | {"measure"},
    "show": DRAWING,
    "serve": DRAWING | {"measure"},
    "lab": DRAWING | {"measure", "quality"},
    "cli": DRAWING | {"measure", "quality", "audit", "doctor", "show", "serve", "lab"},
    "__main__": {"cli"},
    "__init__": {"core", "drafts", "generation", "integrations", "methods", "output", "pipeline", "plugins", "targets"},
}
STILL_UP: dict[str, set[str]] = {}  # what still points up, file -> modules; stays empty

# Words that must not occur in the loop's code (comments and docstrings may name them), besides the registries' names.
METHODS = {"ar", "hawk", "medusa", "ssd", "sjd", "scd", "pac", "zipar", "pjd", "jacobi", "mtp", "eagle"}
MODELS = {"icons", "janus", "lumina", "llamagen", "emu3", "chameleon", "anole"}


def sources() -> list[Path]:
    files = sorted(PACKAGE.rglob("*.py"))
    assert files, f"no sources under {PACKAGE}"
    return files


def unit_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_modules(path: Path, at_the_top: bool = False) -> Iterator[str]:
    """Every module of the package that a file imports, in functions and for types too unless `at_the_top`."""
    package, tree = ["spatialspec", *path.relative_to(PACKAGE).parts[:-1]], ast.parse(path.read_text())
    for node in tree.body if at_the_top else ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            names = [f"{module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            root, *parts = name.split(".")
            # `from spatialspec import __version__` is the package's own face: its row is `__init__`.
            while root == "spatialspec" and parts:
                if PACKAGE.joinpath(*parts).is_dir() or PACKAGE.joinpath(*parts).with_suffix(".py").exists():
                    yield ".".join(parts)
                    break
                parts.pop()


def room_of(module: str) -> str:
    return module.partition(".")[0]


def test_every_room_has_a_row_in_the_table():
    missing = sorted({unit_of(path) for path in sources()} - MAY_IMPORT.keys())
    assert not missing, f"{missing} have no row in MAY_IMPORT: give each its place"
    order = list(MAY_IMPORT)
    assert all(MAY_IMPORT[room] <= {*order[:i]} for i, room in enumerate(order[:-1])), "the table itself points up"


def test_imports_point_downwards():
    up: dict[str, set[str]] = {}
    for path in sources():
        room, name = unit_of(path), str(path.relative_to(PACKAGE))
        modules = {m for m in imported_modules(path) if room_of(m) not in MAY_IMPORT.get(room, set()) | {room}}
        up |= {name: modules} if modules else {}
    new = {name: more for name, modules in up.items() if (more := modules - STILL_UP.get(name, set()))}
    assert not new, f"imports that point up: {new}"
    mended = {name: gone for name, modules in STILL_UP.items() if (gone := modules - up.get(name, set()))}
    assert not mended, f"take these out of STILL_UP: {mended}"


def test_the_lab_is_imported_by_the_command_line_alone_and_late():
    """Inside functions of a command, so that a plain install runs without what the lab needs."""
    files = [path for path in sources() if unit_of(path) == "cli"]
    early = {m for path in files for m in imported_modules(path, at_the_top=True) if room_of(m) == "lab"}
    assert early <= {"lab.reproduce.registry"}, early  # names of experiments, for --help


def test_files_fit_on_a_few_screens():
    files = [*sources(), *sorted((ROOT / "tests").rglob("*.py"))]
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in files}
    too_long = {name: length for name, length in lengths.items() if length > 250}
    assert not too_long, f"more than 250 lines: {too_long}; split by idea"


def test_no_utils():
    names = {"utils.py", "util.py", "helpers.py", "misc.py"}
    found = [str(path.relative_to(ROOT)) for path in sources() if path.name in names]
    assert not found, f"{found}: name a file for the idea it holds"


def test_no_device_is_written_into_the_code():
    pattern = re.compile(r"""\.cuda\(|\.mps\(|\.to\(["'](cuda|mps)|device=["'](cuda|mps)""")
    found = [str(path.relative_to(ROOT)) for path in sources() if pattern.search(path.read_text())]
    assert not found, f"{found}: take the device from a tensor or from the user"


def code_lines(node: ast.AST, text: str) -> int:
    """Count lines of a function that hold code: no blank lines, comments or docstrings."""
    lines: set[int] = set()
    skip = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in skip and node.lineno <= token.start[0] <= node.end_lineno:
            lines.update(range(token.start[0], token.end[0] + 1))
    return len(lines - docstring_lines(ast.parse(text)))


def docstring_lines(tree: ast.AST) -> set[int]:
    lines: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            lines.update(range(node.lineno, node.end_lineno + 1))
    return lines


def test_the_loop_is_one_screen():
    text = (PACKAGE / "decode.py").read_text()
    functions = [n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    assert any(isinstance(inner, ast.While | ast.For) for f in functions for inner in ast.walk(f)), "no loop"
    too_long = {f.name: count for f in functions if (count := code_lines(f, text)) > 60}
    assert not too_long, f"decode.py, more than 60 lines of code: {too_long}"


def words(text: str) -> set[str]:
    """`HawkDrafter`, `hawk_drafter` and "hawk-drafter" are the words hawk and drafter."""
    return set(re.findall(r"[a-z]+[0-9]*", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", text).lower()))


def test_the_loop_names_no_method_and_no_model():
    text = (PACKAGE / "decode.py").read_text()
    docstrings = docstring_lines(ast.parse(text))
    forbidden = METHODS | MODELS | {name.partition("-")[0] for name in methods()} | GRIDS.keys()
    found = [
        f"line {token.start[0]}: {token.string}"
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
        if token.type != tokenize.COMMENT and token.start[0] not in docstrings
        if forbidden & words(token.string)
    ]
    assert not found, f"decode.py knows too much: {found}"


def tracked_files() -> list[Path]:
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True
    )
    if listing.returncode == 0:
        return [path for name in listing.stdout.decode().split("\0") if name and (path := ROOT / name).is_file()]
    folders = [ROOT / name for name in ("src", "tests", "docs", ".ci")]
    files = [*ROOT.iterdir(), *(path for folder in folders for path in folder.rglob("*"))]
    return [path for path in files if path.is_file() and "__pycache__" not in path.parts]


# The backslashes and brackets keep these patterns from finding themselves. Weights are searched too: their headers
# hold the command that made them.
TRACES = re.compile(
    rb"(?<![\w.~-])/(?:work|root|home|Users)/[\w.]|file:[/]{3}"
    rb"|\b(?:pypi\.org|pythonhosted\.org|registry\.npmjs|deb\.debian\.org|download\.pytorch\.org)"
)


def test_no_traces_of_a_machine():
    found = [
        f"{path.relative_to(ROOT)}: {match.group().decode()}"
        for path in tracked_files()
        for match in TRACES.finditer(path.read_bytes())
    ]
    assert not found, "absolute paths or registry addresses:\n" + "\n".join(found)


@pytest.mark.parametrize(
    "arguments",
    [["-m", "spatialspec", "--help"], ["-m", "spatialspec", "train", "draft", "--help"], ["-c", "import spatialspec"]],
    ids=" ".join,
)
def test_start_does_not_import_torch(arguments):
    path = os.pathsep.join(filter(None, [str(PACKAGE.parent), os.environ.get("PYTHONPATH")]))
    result = subprocess.run(
        [sys.executable, "-X", "importtime", *arguments],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr[-2000:]
    imported = {
        line.rpartition("|")[2].strip() for line in result.stderr.splitlines() if line.startswith("import time:")
    }
    assert "spatialspec" in imported, "no import times were printed: the test would see nothing"
    heavy = sorted(imported & {"torch", "numpy", "PIL", "tokenizers", "safetensors", "huggingface_hub"})
    assert "torch" not in heavy, f"imported before they are needed: {heavy}"
