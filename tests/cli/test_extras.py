"""What a plain install leaves out: which command wants which extra, and which module is declared where."""

from __future__ import annotations

import ast
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.paths import ROOT
from spatialspec.cli import main
from spatialspec.extras import EXTRAS, need

PACKAGE = ROOT / "src" / "spatialspec"
MODULES = {"pillow": "PIL", "pyyaml": "yaml"}  # package -> module, where they differ by more than - and _
ROOMS = {"lab": "lab", "quality": "evaluate", "serve": "serve"}  # room -> the extra that it needs
COMMANDS = {
    "evaluate": ["evaluate"],
    "lab": [
        "reproduce hawk-fig6", "train data", "train tokenizer", "train target", "train judge", "train scenes",
        "train scene-judge",
    ],
    "serve": ["serve"],
    "ray": ["serve --replicas 2", "generate --ray --prompts none.txt --out none"],
}  # fmt: skip


def declared() -> dict[str, set[str]]:
    """Modules that pyproject.toml declares: of a plain install (""), and of each extra with those that it brings."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = {"": project["dependencies"], **project["optional-dependencies"]}

    def modules(extra: str) -> set[str]:
        found: set[str] = set()
        for line in extras[extra]:
            name = line.split(">")[0].strip()
            package, _, inner = name.removesuffix("]").partition("[")
            found |= modules(inner) if package == "spatialspec" else {MODULES.get(package, package.replace("-", "_"))}
        return found

    return {extra: modules(extra) for extra in extras}


def imported(path: Path) -> Iterator[str]:
    """Modules of other packages that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module]
        yield from {name.partition(".")[0] for name in names} - sys.stdlib_module_names - {"spatialspec"}


def guarded(path: Path) -> set[str]:
    """Modules that a file names in a call of `need`."""
    calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    named = [call.args[1:] for call in calls if isinstance(call.func, ast.Name) and call.func.id == "need"]
    return {arg.value for args in named for arg in args if isinstance(arg, ast.Constant)}


def test_the_table_is_that_of_the_project() -> None:
    known = declared()
    assert {extra: set(modules) for extra, modules in EXTRAS.items()} == {name: known[name] for name in EXTRAS}
    assert known["train"] == known["lab"] <= known["dev"], "the name of 0.1.0, and what tests need"
    for modules in EXTRAS.values():
        assert all(MODULES.get(package, package.replace("-", "_")) == m for m, package in modules.items())


def test_what_is_imported_is_declared() -> None:
    """A plain install has all that the package imports but in some rooms, and nothing else."""
    plain, used = declared()[""], set[str]()
    for path in sorted(PACKAGE.rglob("*.py")):
        room = path.relative_to(PACKAGE).parts[0]
        name = "ray" if (room, path.stem.partition("_")[0]) == ("serve", "ray") else ROOMS.get(room, "")
        extra = set(EXTRAS.get(name, ()))
        modules = set(imported(path))
        assert modules <= plain | extra | guarded(path), f"{path.name} imports what is not declared: {modules - plain}"
        used |= set() if extra else modules
    assert plain <= used, f"nothing but an extra needs {plain - used}"
    assert not plain & {*EXTRAS["lab"], *EXTRAS["ray"]}, "an extra that every install has"


def call(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[object, str, str]:
    with pytest.raises(SystemExit) as left:
        main(words)
    printed = capsys.readouterr()
    return left.value.code, printed.out, printed.err


@pytest.mark.parametrize(("extra", "command"), [(extra, c) for extra, commands in COMMANDS.items() for c in commands])
def test_a_command_without_its_extra_says_what_to_install(
    extra: str, command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Whichever package is missing, and before anything is read or written."""
    monkeypatch.chdir(tmp_path)
    for module, package in EXTRAS[extra].items():
        with monkeypatch.context() as hidden:
            for other in EXTRAS[extra]:
                hidden.setitem(sys.modules, other, None if other == module else sys)  # type: ignore[arg-type]
            code, out, err = call(capsys, *command.split())
        assert (code, out) == (2, "") and err.count("\n") == 1
        advice = f"run `pip install 'spatialspec[{extra}]'`\n"
        assert err == f"error: got no package {package}, expected the packages of the extra {extra}: {advice}"
    assert not list(tmp_path.iterdir())


def test_commands_are_listed_without_their_extras(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in [*EXTRAS["lab"], *EXTRAS["ray"]]:
        monkeypatch.setitem(sys.modules, module, None)
    helps = {("--help",): call(capsys, "--help")[1], ("train", "--help"): call(capsys, "train", "--help")[1]}
    for command in [command.split() for commands in COMMANDS.values() for command in commands]:
        if command[0] in ("reproduce", "generate", "serve"):
            command = command[:1]
        *before, last = command
        assert f"\n  {last} " in helps[(*before, "--help")]
        assert call(capsys, *command, "--help")[0] == 0
    code, out, _ = call(capsys, "reproduce")
    assert code == 0 and out.startswith("hawk-table1 "), "a list needs nothing"


def test_nothing_else_wants_an_extra(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Drawing, measuring and looking work where every package of every extra is missing."""
    monkeypatch.chdir(tmp_path)
    for module in [*EXTRAS["lab"], *EXTRAS["ray"]]:
        monkeypatch.setitem(sys.modules, module, None)
    for words in (
        ["generate", "a red apple", "--size", "2x3"],
        ["bench", "--limit", "1", "--size", "2x3", "--methods", "spatial"],
        ["show", "a red apple", "--size", "2x3"], ["models"], ["methods"],
    ):  # fmt: skip
        code, _, err = call(capsys, *words)
        assert (code, err) == (0, ""), words
    for words in (["audit", "--methods", "no"], ["convert", "no.pt", "out"], ["train", "draft", "--target", "no"]):
        code, _, err = call(capsys, *words)  # their own complaint: an extra would be missed first
        assert code == 2 and "got " in err and "extra" not in err
    with pytest.raises(ValueError, match=r"expected the packages of the extra lab"):
        need("lab", "datasets")
