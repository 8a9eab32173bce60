"""Finished results are shown and written, each also where the other cannot be."""

import errno
import json
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from helpers.tiny import call_main, tiny_folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_folder(tmp_path_factory.mktemp("model"))


@pytest.fixture(autouse=True)
def audited(monkeypatch):
    """The audit itself takes long."""
    settings = SimpleNamespace(tests=1, level=0.01, false_alarm=0.01)
    found = SimpleNamespace(methods=[], settings=settings, ok=True, json_text=lambda: "[1]")
    monkeypatch.setattr("spatialspec.audit.audit.audit", lambda *_: found)


COMMANDS = {
    "bench": (["--methods", "jacobi", "--limit", "1", "--json", "out.json"], "jacobi "),
    "evaluate": (["--methods", "jacobi", "--limit", "1", "--num-images", "1", "--json", "out.json"], "jacobi "),
    "audit": (["--methods", "jacobi", "--quick", "--json", "out.json"], "verdict"),
    "doctor": (["--json", "out.json"], "what to expect"),
    "show": (["a cat", "--method", "jacobi", "--out", "out.html"], "passes: jacobi"),
    "generate": (["a cat", "--method", "jacobi", "--out", "out.png", "--json", "out.json"], "jacobi "),
    "reproduce": (["hawk-fig6", "--quick", "--out", "out"], "hawk-fig6: "),
}


def run(capsys, folder, command):
    return call_main(capsys, command, *COMMANDS[command][0], "--model", folder)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_full_disk_at_the_end(folder, tmp_path, capsys, monkeypatch, command):
    monkeypatch.chdir(tmp_path)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", full)
        code, out, err = run(capsys, folder, command)
    assert code == 2 and COMMANDS[command][1] in out, "what was computed is not shown"
    assert "out" in err and "could not be written (No space left on device): make room" in err
    assert not [path for path in Path().rglob("*") if path.is_file()]


@pytest.mark.parametrize("command", [name for name in COMMANDS if name != "doctor"])  # which tells each finding at once
def test_nobody_reads_what_is_shown(folder, tmp_path, capsys, monkeypatch, command):
    monkeypatch.chdir(tmp_path)

    def closed(*_: object, **__: object) -> None:
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    with monkeypatch.context() as patched:
        patched.setattr("typer.echo", closed)
        code, _, _ = run(capsys, folder, command)
    assert code != 0
    written = Path("out/hawk-fig6.json") if command == "reproduce" else Path(COMMANDS[command][0][-1])
    assert written.read_text() and (written.suffix == ".html" or json.loads(written.read_text()))
