"""Kept images and measured budgets: those of the same model and settings, as they were written, or done again."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from helpers.tiny import tiny_pipeline
from spatialspec import __version__, budget
from spatialspec.budget import Cost, costs_here
from spatialspec.cli.evaluate import _identity
from spatialspec.core.errors import BadInput
from spatialspec.core.grid import Grid
from spatialspec.io import measured as figures
from spatialspec.methods.method import Method
from spatialspec.pass_time import PassTime
from spatialspec.pipeline import SpatialPipeline
from spatialspec.quality.store import SAME_TOKENS, ImageRecord, Store
from spatialspec.request import Request
from spatialspec.targets.icons.text import train_bpe

COSTS = [Cost(value, 0.01 + value / 1e4, 1 + value / 9) for value in (0, 3, 7, 15, 23, 31, 47, 63)]
CURVE = PassTime({1: 0.01, 64: 0.02})
KEPT = ImageRecord("a cat", 5, (1, 2, 3, 4), 4.0, 1.5, 1.25)
ASKED = ("a cat", 5)


@pytest.fixture
def pipeline(tmp_path: Path) -> SpatialPipeline:
    return tiny_pipeline(tmp_path / "model")


def add_to(weight: torch.Tensor) -> None:
    with torch.no_grad():
        weight.view(-1)[-1] += 1


def request_of(pipeline: SpatialPipeline) -> Request:
    return Request.of(("a cat",), pipeline.target.default, pipeline.target.grid)


Change = Callable[[SpatialPipeline, Request], Request | None]
CHANGES: dict[str, Change] = {
    "one number of a block": lambda p, w: add_to(p.target.model.blocks[0].down.weight),
    "one number of the pixels": lambda p, w: add_to(next(p.target.vq.parameters())),
    "one number of a draft": lambda p, w: add_to(next(p.drafts[0].parameters())),
    "words": lambda p, w: setattr(p.target.prompts, "tokenizer", train_bpe(["other words"], 300)),
    "heads": lambda p, w: setattr(p.target.model, "config", replace(p.target.model.config, heads=1)),
    "temperature": lambda p, w: replace(w, sampling=replace(w.sampling, temperature=0.5)),
    "guidance": lambda p, w: replace(w, sampling=replace(w.sampling, guidance=3.0)),
    "top-k": lambda p, w: replace(w, sampling=replace(w.sampling, top_k=7)),
    "top-p": lambda p, w: replace(w, sampling=replace(w.sampling, top_p=0.5)),
    "verifier": lambda p, w: replace(w, verifier="rejection"),
    "grid": lambda p, w: replace(w, grid=Grid(3, 6)),
}
OF_IMAGES: dict[str, Change] = {
    "seed": lambda p, w: replace(w, seeds=[1]),
    "negative prompt": lambda p, w: replace(w, negatives=["ugly"]),
}


@pytest.mark.parametrize("name", CHANGES | OF_IMAGES)
def test_images_of_other_models_or_settings_are_refused(name: str, pipeline: SpatialPipeline, tmp_path: Path) -> None:
    request = request_of(pipeline)
    for _ in range(2):
        Store(tmp_path / "kept", _identity(pipeline, request))
    changed = (CHANGES | OF_IMAGES)[name](pipeline, request) or request
    with pytest.raises(BadInput, match="as in the stored work: choose another --out"):
        Store(tmp_path / "kept", _identity(pipeline, changed))


OF_THE_FIRST_VERSION = [
    "model", "drafts", "verifier", "seed", "negative_prompt", "size", "dtype", "version", "weights", "device",
    "guidance", "temperature", "top_k", "top_p",
]  # fmt: skip


def test_images_of_an_earlier_version_with_the_same_tokens_are_read(pipeline: SpatialPipeline, tmp_path: Path) -> None:
    """Of the version alone nothing depends; where more differs, the message names the command that draws anew."""
    assert __version__ in SAME_TOKENS, "does it draw the tokens of the earlier versions? then add it, else replace them"
    settings = _identity(pipeline, request_of(pipeline))
    assert sorted(settings) == sorted(OF_THE_FIRST_VERSION) and settings["version"] == __version__
    written = json.dumps(settings | {"version": "0.1.0"})
    (tmp_path / "settings.json").write_text(written)
    Store(tmp_path, settings)
    assert (tmp_path / "settings.json").read_text() == written
    with pytest.raises(BadInput, match=r"guidance 9.*: the same command with --out NEW draws all images") as refused:
        Store(tmp_path, settings | {"guidance": 9})
    assert "version" not in str(refused.value)
    (tmp_path / "settings.json").write_text(json.dumps(settings | {"version": "0.0.9"}))
    with pytest.raises(BadInput, match=r"got version .*, expected .0\.0\.9., as"):
        Store(tmp_path, settings)


def test_images_under_min_p_are_not_those_without(pipeline: SpatialPipeline, tmp_path: Path) -> None:
    request = request_of(pipeline)
    filtered = replace(request, sampling=replace(request.sampling, min_p=0.1))
    for first, second in ((request, filtered), (filtered, request)):
        folder = tmp_path / str(first.sampling.min_p)
        Store(folder, _identity(pipeline, first))
        with pytest.raises(BadInput, match=r"got min_p .*, expected .*: choose another --out"):
            Store(folder, _identity(pipeline, second))


@pytest.mark.parametrize("name", CHANGES)
def test_budgets_of_other_models_or_settings_are_measured(
    name: str, pipeline: SpatialPipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    measured: list[int] = []
    monkeypatch.setattr(budget, "measure_passes", lambda *_: CURVE)
    monkeypatch.setattr(budget, "measure", lambda *_: measured.append(1) or COSTS)
    request = request_of(pipeline)
    for _ in range(2):
        assert costs_here(pipeline.target, pipeline.drafts, Method.parse("hawk"), request, lambda *_: None) == COSTS
    assert len(measured) == 1
    changed = CHANGES[name](pipeline, request) or request
    costs_here(pipeline.target, pipeline.drafts, Method.parse("hawk"), changed, lambda *_: None)
    assert len(measured) == 2


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "cut": lambda data: data[: len(data) // 2],
    "no text": lambda data: b"\xff\xfe" + data,
    "deep": lambda data: b"[" * 100_000 + b"]" * 100_000,
    "deep below a key": lambda data: b'{"costs": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "a list": lambda data: b"[]",
    "a string": lambda data: b'"x"',
    "no costs": lambda data: b'{"costs": []}',
    "words for costs": lambda data: b'{"costs": "x", "tokens": "x"}',
    "zeros": lambda data: b'{"costs": [{"budget": 0, "seconds": 0, "cells": 0}]}',
    "negative": lambda data: b'{"costs": [{"budget": 0, "seconds": -1, "cells": -1}], "tokens": [-1]}',
    "not a number": lambda data: b'{"costs": [{"budget": 0, "seconds": NaN, "cells": 1}], "seed": NaN}',
    "infinite": lambda data: data.replace(b"1.", b"1e999"),
    "5,000 digits": lambda data: b'{"costs": [{"budget": ' + b"9" * 5000 + b', "seconds": 1, "cells": 1}]}',
    "another number": lambda data: data.replace(b"5", b"6"),
    "a key more": lambda data: json.dumps({**json.loads(data), "more": 1}).encode(),
    "a key less": lambda data: json.dumps(dict(list(json.loads(data).items())[1:])).encode(),
    "a key twice": lambda data: data.replace(b"{", b'{"prompt": 1, "prompt": 2, ', 1),
    "another hash": lambda data: json.dumps({**json.loads(data), "hash": [1]}).encode(),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damaged_budgets_are_measured_again(
    name: str, pipeline: SpatialPipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(budget, "measure_passes", lambda *_: CURVE)
    monkeypatch.setattr(budget, "measure", lambda *_: COSTS)
    ask = (pipeline.target, pipeline.drafts, Method.parse("hawk"), request_of(pipeline), lambda *_: None)
    costs_here(*ask)
    (file,), (curve,) = ([*(tmp_path / "spatialspec" / kind).iterdir()] for kind in ("budgets", "passes"))
    whole, whole_curve = file.read_bytes(), curve.read_bytes()
    file.write_bytes(DAMAGE[name](whole))
    curve.write_bytes(DAMAGE[name](whole_curve))
    assert costs_here(*ask) == COSTS and file.read_bytes() == whole and curve.read_bytes() == whole_curve


@pytest.mark.parametrize("name", DAMAGE)
def test_images_whose_figures_are_damaged_are_drawn_again(name: str, tmp_path: Path) -> None:
    store = Store(tmp_path, {})
    store.save("ar", 0, 0, KEPT, Image.new("RGB", (8, 8), "red"))
    file = tmp_path / "ar" / "00000-0000.json"
    file.write_bytes(DAMAGE[name](file.read_bytes()))
    assert store.load("ar", 0, 0, ASKED) is None


@pytest.mark.parametrize("damage", ["empty", "cut", "other size", "other image", "missing", "folder"])
def test_images_that_are_damaged_are_drawn_again(tmp_path: Path, damage: str) -> None:
    store = Store(tmp_path, {})
    store.save("ar", 0, 0, KEPT, Image.new("RGB", (8, 8), "red"))
    found = store.load("ar", 0, 0, ASKED)
    assert found is not None and found[0] == KEPT and found[1].getpixel((0, 0)) == (255, 0, 0)
    assert store.load("ar", 0, 0, ("a cat", 6)) is store.load("ar", 0, 0, ("a dog", 5)) is None
    file = tmp_path / "ar" / "00000-0000.png"
    data = file.read_bytes()
    file.unlink()
    if damage in ("empty", "cut"):
        file.write_bytes(data[: len(data) // 2 if damage == "cut" else 0])
    elif damage.startswith("other"):
        Image.new("RGB", (9, 8) if damage == "other size" else (8, 8), "blue").save(file)
    elif damage == "folder":
        file.mkdir()
    assert store.load("ar", 0, 0, ASKED) is None


@pytest.mark.parametrize("text", ["", "{", "[]", '"x"', "[" * 100_000, '{"a": 1}', "\xff"])
def test_damaged_settings_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "settings.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(BadInput, match=r"choose another --out|save it as UTF-8"):
        Store(tmp_path, {"seed": 1})


def test_what_a_killed_writer_left_is_no_image(tmp_path: Path) -> None:
    (tmp_path / ".settings.json-x.partial").write_bytes(b"{")
    Store(tmp_path, {"seed": 1})
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").write_text("mine")
    with pytest.raises(BadInput, match="expected an empty folder"):
        Store(tmp_path / "other", {"seed": 1})


@pytest.mark.parametrize("value", ["", "relative/cache", "./x"])
def test_a_cache_folder_that_is_none_is_the_users_own(
    value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", value)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert figures.folder() == tmp_path / ".cache" / "spatialspec"


def test_a_cache_that_cannot_be_written_is_no_failure(
    pipeline: SpatialPipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setattr(budget, "measure_passes", lambda *_: CURVE)
    monkeypatch.setattr(budget, "measure", lambda *_: COSTS)
    ask = (pipeline.target, pipeline.drafts, Method.parse("hawk"), request_of(pipeline), lambda *_: None)
    for place in (tmp_path / "file", "/proc", "/dev/null"):
        monkeypatch.setenv("XDG_CACHE_HOME", str(place))
        assert costs_here(*ask) == COSTS
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert costs_here(*ask) == COSTS
    (file,) = (tmp_path / "spatialspec" / "budgets").iterdir()
    file.unlink()
    file.mkdir()
    assert costs_here(*ask) == COSTS
    assert os.listdir(file.parent) == [file.name]
