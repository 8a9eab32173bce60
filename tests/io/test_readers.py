"""Any bytes for any small file that is read as text, table or image: a result or a BadInput, and no byte too many."""

import builtins
import io
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image

from spatialspec.core.errors import BadInput
from spatialspec.drafts.image_folder import rows_of
from spatialspec.drafts.recipes import LARGEST, read_config
from spatialspec.io import files
from spatialspec.io.images import read_image
from spatialspec.io.prompts import read_prompts
from spatialspec.io.tables import read_table, write_table
from spatialspec.lab.icons.sources import drawings, read_labels
from spatialspec.lab.replay.replay import PassCost
from spatialspec.lab.reproduce.carry_out import check_files
from spatialspec.lab.scenes.records import read_record
from spatialspec.quality.prompt_sets import published
from spatialspec.quality.scenes.scores import read_references
from spatialspec.targets.icons.sources import SOURCES

COUNT = '{"passed": 1, "of": 2}'
GENEVAL = '{"prompt": "a cat", "tag": "x", "include": [{"class": "cat", "count": 1}]}\n'
FILES: dict[str, tuple[Callable[[Path], object], str]] = {  # name -> reader, and a file that it reads
    "own.txt": (read_prompts, "red apple\r\ncat\u2028dog\n"),
    "own.csv": (read_prompts, 'prompt,id\n"red, ""round"" apple",1\ncat,2\n'),
    "own.tsv": (read_prompts, 'Text\tid\n"a" cat\t1\r\n'),
    "own.jsonl": (read_prompts, '{"caption": "a cat"}\n\n{"prompt": "b", "text": "c"}\n'),
    "geneval.jsonl": (published, GENEVAL),
    "dpg.csv": (published, "item_id,text,proposition_id\na1,a cat,1\na1,a cat,2\n"),
    "coco.json": (published, '{"annotations": [{"image_id": 3, "caption": "a cat"}]}'),
    "dpg/a1.txt": (lambda path: published(path.parent), "a cat\n"),
    "metadata.csv": (lambda path: rows_of(path.parent), "file_name,text\na.png,cat\nb/c.png,dog\n"),
    "recipe.yaml": (lambda path: read_config(str(path)), "drafter: hawk\nsteps: 3\ndecay: 0.5\n"),
    "config.json": (files.read_config, '{"a": [1, 2.5, {"b": null}]}'),
    "figures.json": (read_references, f'{{"style": {{"own": {{"two": {COUNT}}}, "wrong": {{"two": {COUNT}}}}}}}'),
    "pass-cost.json": (PassCost.load, '{"seconds": {"1": 0.5}, "machine": "m", "model": "m", "dtype": "fp32"}'),
    "hawk-vsd.json": (lambda path: check_files("hawk-vsd", path.parent, True), "{}"),
    "package/en/data.json": (lambda path: read_labels(path.parents[2]), '[{"label": "Cat", "hexcode": "1F408"}]'),
    "package/icons.json": (
        lambda path: list(drawings(SOURCES[1], path.parents[1], {})), '{"icons": {"a": {"body": ""}}}',
    ),
    "a.png": (read_image, ""),
}  # fmt: skip
PARTS = [
    b'"', b",", b"\n", b"\r", b"\t", b"\0", b"\xff", b"\xef\xbb\xbf", b"\xc2\x85", b"[", b"{", b"}", b"[" * 3000,
    b"NaN", b"1e999", b"9" * 5000, b"null", b"true", b'"\\ud800"', b"..", b"/", b"../../evil", b": ", b"&a ", b"*a",
    b"- ", b"? ", b"!!int ", b"!!timestamp x", b"!!binary =", b"!!bool x", b"<<: ", b"!!python/object:os.system ",
    b"2001-99-99", b"---", b"x" * 10_001, b"version https://git-lfs",
]  # fmt: skip
EDIT = st.tuples(st.integers(0, 200), st.integers(0, 9), st.sampled_from(PARTS) | st.binary())  # place, length, part
CELL = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
ROWS = st.integers(1, 4).flatmap(lambda width: st.lists(st.lists(CELL, min_size=width, max_size=width), max_size=5))


@pytest.fixture
def limit(monkeypatch):
    """Count the bytes that are read of every file."""
    read: dict[str, int] = {}

    class Counted(io.FileIO):
        def readinto(self, buffer):
            count = super().readinto(buffer)
            read[str(self.name)] = read.get(str(self.name), 0) + count
            return count

        def readall(self):
            data = super().readall()
            read[str(self.name)] = read.get(str(self.name), 0) + len(data)
            return data

    def counted(file, mode="r", *args, **kwargs):
        if mode != "rb":
            return real(file, mode, *args, **kwargs)
        return io.BufferedReader(Counted(file, "rb"))

    real = io.open
    monkeypatch.setattr(io, "open", counted)
    monkeypatch.setattr(builtins, "open", counted)
    return read


def whole(folder: Path, name: str) -> Path:
    """A file that can be read, with the folders around it."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(FILES[name][1], encoding="utf-8", newline="")
    if name == "a.png":
        Image.new("RGB", (3, 3)).save(path)
    return path


@pytest.mark.parametrize("name", FILES)
def test_what_is_right_is_read(tmp_path: Path, name: str) -> None:
    if name == "hawk-vsd.json":
        with pytest.raises(BadInput, match="not written by `reproduce hawk-vsd`"):
            FILES[name][0](whole(tmp_path, name))
    else:
        FILES[name][0](whole(tmp_path, name))


@pytest.mark.parametrize("name", FILES)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(edits=st.lists(EDIT, max_size=4))
def test_any_bytes(tmp_path_factory: pytest.TempPathFactory, name: str, edits: list[tuple[int, int, bytes]]) -> None:
    path = whole(tmp_path_factory.getbasetemp() / "any", name)
    data = bytearray(path.read_bytes())
    for place, length, part in edits:
        data[place : place + length] = part
    path.write_bytes(data)
    try:
        FILES[name][0](path)
    except BadInput as error:
        assert len(str(error)) < 2000 and str(error).isprintable(), "one line of what can be shown"
    finally:
        path.unlink()


@pytest.mark.parametrize("name", FILES)
def test_no_more_is_read_than_the_limit(tmp_path: Path, name: str, limit: dict[str, int]) -> None:
    path = whole(tmp_path, name)
    os.truncate(path, 1 << 40)  # takes no room
    if name == "a.png":  # whose decoder stops at its end
        read_image(path)
    else:
        with pytest.raises(BadInput, match=r"got more than [\d,]+ bytes|not written by `reproduce"):
            FILES[name][0](path)
    assert limit.get(str(path), 0) <= (LARGEST if name == "recipe.yaml" else files.LARGEST)


@pytest.mark.parametrize("name", [name for name in FILES if name != "dpg/a1.txt"])
@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "loop", "link to nothing"])
def test_what_is_no_file(tmp_path: Path, name: str, kind: str) -> None:
    path = whole(tmp_path, name)
    path.unlink()
    makes = {"pipe": os.mkfifo, "folder": os.mkdir, "loop": lambda p: p.symlink_to(p.name)}
    makes |= {"device": lambda p: p.symlink_to("/dev/zero"), "link to nothing": lambda p: p.symlink_to("none")}
    makes[kind](path)
    if name == "hawk-vsd.json" and kind in ("loop", "link to nothing"):
        return  # an output, which may be written there
    with pytest.raises(BadInput):
        FILES[name][0](path)


def test_what_names_lead_out(tmp_path: Path) -> None:
    for name in ("../evil", "/tmp/evil", "..", ".", "", " ", "a/b", "a\\b", "x" * 300, "a\x1b[2J", ".hidden", "a\0"):
        for file, text in {
            "a.csv": f'item_id,text\n"{name}",cat\n', "b.csv": f'id,prompt\n"{name}",cat\n'
        }.items():  # fmt: skip
            (tmp_path / file).write_text(text)
            with pytest.raises(BadInput, match=f"{file}, line "):
                published(tmp_path / file)
    for number in (-1, 10**12, True, "1", "../evil", 1.5, None, [1]):
        (tmp_path / "c.json").write_text(json.dumps({"annotations": [{"image_id": number, "caption": "cat"}]}))
        with pytest.raises(BadInput, match="annotation 0: got"):
            published(tmp_path / "c.json")
    for second in ("a,dog", "A,cat"):
        (tmp_path / "a.csv").write_text(f"id,prompt\na,cat\n{second}\n")
        with pytest.raises(BadInput, match=r"line 3: got the id .* for two prompts"):
            published(tmp_path / "a.csv")


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"caption": 3}', "[" * 9999, '{"things": [{"concept": []}]}'])
def test_a_record_that_is_no_scene(text: str) -> None:
    with pytest.raises(BadInput):
        read_record(text)


@settings(max_examples=200, deadline=None, database=None)
@given(rows=ROWS)
@example([["\r"], ["\n"], ['"'], ["a, b"], ['"a" b'], ["\x85\u2028"], [" a "]])
@example([["", ""], ['"', "\r\n"], [",", "\t"]])
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]]) -> None:
    path = tmp_path_factory.getbasetemp() / "written.csv"
    columns = [f"c{i}" for i in range(len(rows[0]) if rows else 1)]
    write_table(path, columns, rows)
    there, found = read_table(path)
    assert list(there) == columns and [list(cells.values()) for _, cells in found] == rows


def test_a_table_is_no_larger_than_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spatialspec.io.tables.MOST", 10)
    wide = ",".join(f"c{i}" for i in range(2000))
    for name, text, got in (("a.csv", "a,b\n" + "1,2\n" * 11, "10 lines"), ("b.csv", wide, "1,000 columns")):
        (tmp_path / name).write_text(text)
        with pytest.raises(BadInput, match=f"more than {got}"):
            read_table(tmp_path / name)
    (tmp_path / "a.txt").write_text("a\n" * 11)
    with pytest.raises(BadInput, match="more than 10 lines"):
        read_prompts(tmp_path / "a.txt")


def test_a_tab_in_the_name_of_a_column_is_shown_as_an_escape(tmp_path: Path) -> None:
    (tmp_path / "own.csv").write_text('"a\tb",c\n1,2\n')
    with pytest.raises(BadInput) as refused:
        read_prompts(tmp_path / "own.csv")
    assert r"the columns a\tb, c" in str(refused.value) and str(refused.value).isprintable()
