"""The door of the pipeline: any value for any argument ends in a result or in BadInput, and nothing runs for long."""

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.tiny import tiny_folder
from spatialspec.core.errors import BadInput
from spatialspec.core.grid import Grid
from spatialspec.methods.method import Method
from spatialspec.output import Output
from spatialspec.pipeline import SpatialPipeline
from spatialspec.targets.session import TargetSession

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)
ODD: list[Any] = [
    np.int64(3), np.float32(0.5), np.bool_(True), np.array(2), np.array([1, 2]), np.array(["a cat"]), np.nan, np.inf,
    torch.tensor(2), torch.tensor(1.5), torch.tensor(True), torch.tensor([3]), torch.float16, torch.int8,
    torch.device("cpu"), 10**9, 10**30, 10**400, -1, 2**63 - 1, 2**63, 1e300, -0.0, 1j, Decimal("0.5"), Fraction(1, 2),
    True, b"cat", bytearray(b"cat"), "\ud800", "a\0b", " ", "a" * 10_001, "\x1b[31mred", "9" * 5000,
    "9" * 5000 + "x1", "1e400", (2, 2), [2, 2], (10**9, 10**9), (2.0, 2), (True, 2), "3x2", "3X2", "0x3",
    "999999999x999999999", "\u0663x\u0663", ["a cat", None], ["a cat", "b\ud800"], [[1, 2, 3]], [[64]], [[0] * 4],
    [[0] * 10**5], [[-1]], [["a"]], [None], [torch.tensor([1, 2])], torch.tensor([[1, 2]]), np.zeros((1, 4), int),
    range(3), {"a": 1}, {"a"}, object(), int, len, lambda *rest: None, iter(["a cat"]), Path("icons"), Path("a" * 300),
    Method.parse("ar"), Grid(2, 3), math, Ellipsis, "ar", "spatial:tolerance=inf", "spatial:tolerance=nan",
    "spatial:budget=3", "spatial:budget=99999999999", "hawk:", "coupled", "rejection", "cuda", "cuda:99", "meta",
    "fp16", "bfloat16", "auto", "float64", "complex64", "nan",
]  # fmt: skip
CALL = [
    "prompt", "method", "seed", "negative_prompt", "num_images_per_prompt", "guidance_scale", "temperature", "top_k",
    "top_p", "min_p", "size", "height", "width", "generator", "quality", "tolerance", "budget", "verifier",
    "output_type", "return_dict", "callback_on_step_end", "callback_on_step_end_tensor_inputs", "written",
]  # fmt: skip
LOAD = ["model", "draft", "device", "torch_dtype", "device_map", "dtype"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_folder(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def pipe(folder: Path) -> SpatialPipeline:
    pipeline = SpatialPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@contextmanager
def passes() -> Iterator[list[int]]:
    """The number of images of every pass that a session makes."""
    counted: list[int] = []
    score = TargetSession.score

    def count(self: TargetSession, states: Any, *others: Any) -> Any:
        counted.append(len(states))
        return score(self, states, *others)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TargetSession, "score", count)
        yield counted


def draw(pipe: SpatialPipeline, **given: Any) -> None:
    """A call that ends in a result or in BadInput, after no more passes than an image has cells."""
    usual: dict[str, Any] = {"prompt": "a cat", "method": "spatial", "size": "2x2", "seed": 1}
    with passes() as counted, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            out = pipe(**(usual | given))
        except BadInput as error:
            assert not counted, f"refused after {len(counted)} passes: {error}"
            assert len(str(error)) < 2000 and str(error).isprintable()
            return
    out = out if isinstance(out, Output) else Output(*out)
    cells = len(out.tokens[0])
    assert all(len(tokens) == cells for tokens in out.tokens) and len(out.images) == len(out.tokens)
    assert len(counted) <= cells or isinstance(given.get("budget"), str), "`auto` measures"


@pytest.mark.parametrize("name", CALL)
def test_odd_objects(pipe: SpatialPipeline, name: str) -> None:
    for value in ODD:
        if not (name == "callback_on_step_end" and callable(value)):  # whatever it raises is its own
            draw(pipe, **{name: value})


@given(st.sampled_from(CALL), JSON, st.sampled_from(CALL), st.sampled_from(ODD))
@settings(max_examples=150, deadline=None, derandomize=True)
def test_any_json_value(pipe: SpatialPipeline, name: str, value: Any, other: str, odd: Any) -> None:
    draw(pipe, **{name: value})
    if not callable(odd):
        draw(pipe, **{other: odd, name: value})


@pytest.mark.parametrize("name", LOAD)
def test_loading(folder: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    for value in [*ODD, {"": "cpu"}, ""]:
        try:
            SpatialPipeline.from_pretrained(**({"model": folder} | {name: value}))
        except BadInput as error:
            assert len(str(error)) < 2000 and str(error).isprintable()


@given(st.sampled_from(LOAD), JSON)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_loading_any_json_value(folder: Path, name: str, value: Any) -> None:
    try:
        SpatialPipeline.from_pretrained(**({"model": folder} | {name: value}))
    except BadInput as error:
        assert len(str(error)) < 2000 and str(error).isprintable()
