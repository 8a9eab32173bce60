"""One writer for all files: whole or not at all, whoever else writes; and packages that are fetched by two at once."""

import errno
import json
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

from helpers.processes import result, start
from spatialspec.core.errors import BadInput
from spatialspec.io.files import write_bytes, write_text, writing
from spatialspec.io.images import write_image
from spatialspec.io.tables import write_table
from spatialspec.io.tensors import write_tensors
from spatialspec.lab.icons import sources
from spatialspec.lab.reproduce.plots import empty_plot, save
from spatialspec.lab.scenes.cut_outs import read_cut_outs
from spatialspec.targets.icons.sources import SOURCES, Source

LENGTH, TIMES = 200_000, 60  # bytes, several writes of the operating system; writes of each process


def write_often(say: Callable, path: Path, letter: int) -> int:
    for _ in range(TIMES):
        write_bytes(path, bytes([letter]) * LENGTH)
    return TIMES


def test_many_writers_of_one_path(tmp_path: Path) -> None:
    path, torn, reads = tmp_path / "a", [], 0
    write_bytes(path, b"0" * LENGTH)
    running = [start(write_often, path, ord("a") + i) for i in range(4)]
    while any(process.is_alive() for process, _ in running):
        data = path.read_bytes()
        reads += 1
        if len(data) != LENGTH or len(set(data)) != 1:
            torn.append(len(data))
    assert [result(*one) for one in running] == [TIMES] * 4 and reads > 10
    assert not torn and os.listdir(tmp_path) == ["a"], "a read was torn, or something is left"


def test_threads_keep_the_mask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        threads = [threading.Thread(target=write_bytes, args=(tmp_path / f"{i}", b"x")) for i in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert {(tmp_path / f"{i}").stat().st_mode & 0o777 for i in range(20)} == {0o640}
    finally:
        assert os.umask(before) == 0o027


WRITES = {
    "bytes": lambda path: write_bytes(path, b"new"),
    "text": lambda path: write_text(path, "new"),
    "table": lambda path: write_table(path, ["a"], [["b"]]),
    "picture": lambda path: write_image(path, Image.new("RGB", (4, 4))),
    "plot": lambda path: save(empty_plot(), path),
}


@pytest.mark.parametrize("call", ["fsync", "replace", "open"])
@pytest.mark.parametrize("kind", WRITES)
def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, call: str) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")

    def full(*_: object, **__: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, call, full)
        with pytest.raises(OSError, match=r"/a: could not be written \(No space left on device\): make room"):
            WRITES[kind](path)
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["a"]
    WRITES[kind](path)
    assert path.read_bytes() != b"old"


def test_a_folder_that_went_away_is_named(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"gone/a: could not be written .*check the folder"):
        write_text(tmp_path / "gone" / "a", "x")


def test_an_interrupted_write_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), writing(tmp_path / "a") as partial:
        partial.write_bytes(b"half")
        raise KeyboardInterrupt
    assert not os.listdir(tmp_path)


def test_what_a_link_leads_to_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "link").symlink_to("far/a")
    for text in ("new", "newer"):  # there is no such file at first
        write_text(tmp_path / "link", text)
        assert (tmp_path / "link").is_symlink() and (tmp_path / "far" / "a").read_text() == text
    assert sorted(os.listdir(tmp_path)) == ["far", "link"] and os.listdir(tmp_path / "far") == ["a"]


def test_two_may_fetch_one_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, calls = SOURCES[-1], []

    def run(command: list[str], folder: Path, asked: Source) -> str:
        calls.append(command)
        (folder / "a.deb").write_text(f"{len(calls)}")
        if len(calls) == 1:  # another is quicker
            assert sources.fetch(source, tmp_path).is_dir()
        return ""

    monkeypatch.setattr(sources, "_run", run)
    target = sources.fetch(source, tmp_path)
    assert os.listdir(tmp_path) == [target.name] and (target / "a.deb").read_text() == "3"
    assert sources.fetch(source, tmp_path) == target and len(calls) == 4


@pytest.mark.parametrize("text", ["", "{", "[1]", '[{"label": 3, "hexcode": ""}]', '{"icons": {}}', "[" * 100_000])
def test_a_damaged_package_is_one_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    (tmp_path / "package" / "en").mkdir(parents=True)
    (tmp_path / "package" / "en" / "data.json").write_text(text)
    (tmp_path / "package" / "icons.json").write_text(json.dumps({"icons": {"a": 3}}) if text == "" else text[:9])
    monkeypatch.setattr("spatialspec.lab.scenes.cut_outs.fetch", lambda *_: tmp_path)
    with pytest.raises(BadInput, match=r"data\.json: got .*delete .* and fetch it again"):
        read_cut_outs(tmp_path, 32, print)
    if text != '{"icons": {}}':
        with pytest.raises(BadInput, match=r"icons\.json: got .*delete .* and fetch it again"):
            list(sources.drawings(SOURCES[1], tmp_path, {}))


@pytest.mark.parametrize("through_a_link", [False, True])
def test_what_is_no_regular_file_is_never_replaced(tmp_path: Path, through_a_link: bool) -> None:
    """A pipe here; a device went the same way."""
    pipe, path = tmp_path / "pipe", tmp_path / "c.json"
    os.mkfifo(pipe)
    if through_a_link:
        path.symlink_to(pipe)
    for write in (lambda p: write_text(p, "text"), lambda p: write_tensors(p, {"a": torch.zeros(1)})):
        with pytest.raises(OSError, match="not a regular file"):
            write(path if through_a_link else pipe)
    assert pipe.is_fifo() and not list(tmp_path.glob(".*"))
