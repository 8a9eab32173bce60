"""The tree of tests: files of tests beside their room, what they share in `tests/helpers`, and nothing else."""

import ast
from pathlib import Path

from helpers.paths import ROOT

TESTS = ROOT / "tests"
FILES = [path.relative_to(TESTS) for path in sorted(TESTS.rglob("*.py")) if path.name != "conftest.py"]


def imports(path: Path) -> set[str]:
    """Every word of every module that a file imports, and of what it imports from there."""
    nodes = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {alias.name for node in nodes for alias in node.names}
    names |= {"." * node.level + (node.module or "") for node in nodes if isinstance(node, ast.ImportFrom)}
    return {word for name in names for word in name.split(".")}


def test_shared_code_lies_in_helpers() -> None:
    strays = [str(path) for path in FILES if path.name.startswith("test_") == (path.parts[0] == "helpers")]
    assert FILES and not strays, f"{strays}: tests are called test_*.py, what they share lies in tests/helpers"


def test_no_test_file_imports_another() -> None:
    tests = {path.stem for path in FILES if path.parts[0] != "helpers"} | {"tests", "conftest", ""}
    found = {str(path): bad for path in FILES if (bad := imports(TESTS / path) & tests)}
    assert not found, f"{found}: move what is shared to tests/helpers"


def test_every_room_of_tests_is_one_of_the_package() -> None:
    rooms = {path.stem for path in (ROOT / "src" / "spatialspec").iterdir()}
    known = rooms | {"helpers", "docs", "published"}
    found = {path.name for path in TESTS.iterdir() if path.is_dir() and path.name != "__pycache__"} - known
    assert not found, f"{found}: name a folder of tests as the room that it tests"
