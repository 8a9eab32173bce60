"""Any JSON value for any key, any bytes for any small file of our own folders: a target that draws, or a BadInput."""

from __future__ import annotations

import json
import resource
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from helpers.llamagen_tiny import CAPTION, HEADS, write_files
from helpers.llamagen_tiny import tiny_folder as tiny_llamagen
from helpers.tiny import tiny_folder
from spatialspec import SpatialPipeline
from spatialspec.core.errors import BadInput
from spatialspec.targets.llamagen.convert import convert as convert_llamagen
from spatialspec.targets.published import identify

WORDS = {"icons": "a cat", "class": "7", "text": "a cat"}
METHODS = {"icons": ("hawk", "ssd:rounds=1"), "class": ("spatial",), "text": ("spatial",)}
FILES = {
    "icons": ("config.json", "tokenizer.json", "drafts/hawk/config.json", "drafts/ssd/config.json",
              "drafts/hawk/model.safetensors", "vq.safetensors", "transformer.safetensors", "drafts/hawk/README.md"),
    "class": ("config.json", "vq.safetensors", "transformer.safetensors"),
    "text": ("config.json", "captions.safetensors", "transformer.safetensors"),
}  # fmt: skip
QUICK = settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
NUMBERS = st.integers() | st.sampled_from([2**31, 10**9, 10**40, -1, 0]) | st.floats(allow_nan=False, width=32)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=4,
)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("doors")
    made = {kind: tiny_llamagen(root / kind, kind) for kind in ("class", "text")}
    save_file({"a cat": torch.randn(3, CAPTION)}, made["text"] / "captions.safetensors")
    (tiny_folder(root / "icons") / "drafts" / "hawk" / "README.md").write_text("---\nlicense: MIT\n---\n")
    return {**made, "icons": root / "icons", "published": write_files(root / "published", "class")[0].parent}


def try_out(folder: Path, kind: str) -> None:
    """Load and draw, or be refused in a sentence that can be shown."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        pipe = SpatialPipeline.from_pretrained(folder)
        for method in METHODS[kind]:
            assert len(pipe(WORDS[kind], size="2x2", method=method, seed=0).tokens[0]) == 4
    except BadInput as error:
        assert all(line.isprintable() for line in str(error).split("\n"))
        assert len(str(error)) < 2000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000, "300 MB more, in kB"


def paths(document: Any, here: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where there are values in a document, and one key that is not there."""
    if isinstance(document, dict):
        for key in (*document, "another"):
            yield (*here, key)
            yield from paths(document.get(key), (*here, key))
    elif isinstance(document, list) and document:
        yield (*here, 0)


@pytest.mark.parametrize(
    ("kind", "name"), [(k, n) for k in FILES for n in FILES[k] if n.endswith("config.json")], ids=str
)
def test_any_value_for_any_key(folders: dict[str, Path], kind: str, name: str, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(folders[kind], tmp_path / "copy"))
    text = (folder / name).read_text()
    places = list(paths(json.loads(text)))

    @QUICK
    @given(st.sampled_from(places), JSON)
    def check(place: tuple[Any, ...], value: Any) -> None:
        document = part = json.loads(text)
        for key in place[:-1]:
            part = part[key] if isinstance(part, list) else part.setdefault(key, {})
        part[place[-1]] = value
        (folder / name).write_text(json.dumps(document))
        try_out(folder, kind)

    check()


def damaged(data: st.DataObject, whole: bytes) -> bytes:
    """The bytes with some of them changed, cut off, or others instead."""
    how = data.draw(st.sampled_from(["flip", "flip", "cut", "other"]))
    if how == "other":
        return data.draw(st.binary(max_size=40))
    places = st.integers(0, len(whole) - 1) | st.integers(0, min(2000, len(whole) - 1))
    if how == "cut":
        return whole[: data.draw(places)]
    changed = bytearray(whole)
    for place in data.draw(st.lists(places, min_size=1, max_size=4)):
        changed[place] = data.draw(st.integers(0, 255))
    return bytes(changed)


@pytest.mark.parametrize("kind", FILES)
def test_any_bytes_for_any_file(folders: dict[str, Path], kind: str, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(folders[kind], tmp_path / "copy"))
    whole = {name: (folder / name).read_bytes() for name in FILES[kind]}

    @QUICK
    @given(st.sampled_from(FILES[kind]), st.data())
    def check(name: str, data: st.DataObject) -> None:
        content = damaged(data, whole[name])
        (folder / name).unlink()  # a target of before may have its weights in the file
        (folder / name).write_bytes(content)
        try:
            try_out(folder, kind)
        finally:
            (folder / name).unlink()
            (folder / name).write_bytes(whole[name])

    check()


def test_any_bytes_for_a_checkpoint(folders: dict[str, Path], tmp_path: Path) -> None:
    source, out = tmp_path / "class_tiny_12.pt", tmp_path / "out"
    whole = (folders["published"] / source.name).read_bytes()

    @QUICK
    @given(st.data())
    def check(data: st.DataObject) -> None:
        source.write_bytes(damaged(data, whole))
        try:
            identify(source)
            convert_llamagen(source, out, vq=folders["published"] / "vq_ds2.pt", heads=HEADS)
            shutil.rmtree(out)
        except BadInput as error:
            assert not out.exists() and str(source) in str(error)

    check()
