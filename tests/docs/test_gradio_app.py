"""The example for gradio: its generator of images, and the page around it against a stub of gradio."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from helpers.paths import ROOT
from helpers.tiny import tiny_folder
from spatialspec import BadInput, SpatialPipeline

APP = runpy.run_path(str(ROOT / "examples" / "gradio_app.py"))


@pytest.fixture
def pipe(tmp_path: Path) -> SpatialPipeline:
    return SpatialPipeline.from_pretrained(tiny_folder(tmp_path / "tiny"))


def test_an_image_grows(pipe: SpatialPipeline) -> None:
    *previews, (image, report) = APP["draw"](pipe, "a cat", 3.0, "exact")
    expected = pipe("a cat", seed=3)
    assert (np.asarray(image) == np.asarray(expected.images[0])).all() and "seed_exact=True" in report
    heights = [0 if shown is None else shown.height for shown, _ in previews]
    assert heights == sorted(heights) and len(heights) >= 2 and previews[0][1].endswith("in 1 passes")


def test_a_closed_page_ends_the_drawing(pipe: SpatialPipeline) -> None:
    drawing = APP["draw"](pipe, "a cat", 3, "exact")
    next(drawing)
    drawing.close()
    assert pipe("a cat", seed=3).tokens == pipe("a cat", seed=3, method="ar").tokens  # usable


def test_errors_reach_the_page(pipe: SpatialPipeline) -> None:
    with pytest.raises(BadInput, match="empty prompt"):
        list(APP["draw"](pipe, " ", 3, "exact"))


def test_the_page(pipe: SpatialPipeline, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    gradio, made = ModuleType("gradio"), {}

    class Interface:
        def __init__(self, function: Any, inputs: list[Any], outputs: list[Any]) -> None:
            made.update(function=function, inputs=inputs, outputs=outputs)

        def queue(self, default_concurrency_limit: int) -> Interface:
            made["limit"] = default_concurrency_limit
            return self

        def launch(self) -> None:
            made["launched"] = True

    parts = {name: lambda *values, **settings: settings for name in ("Textbox", "Number", "Radio", "Image")}
    gradio.__dict__.update(parts, Interface=Interface)
    monkeypatch.setitem(sys.modules, "gradio", gradio)
    monkeypatch.setattr(sys, "argv", ["gradio_app.py", "--model", str(tmp_path / "tiny")])
    APP["main"]()
    assert made["launched"] and made["limit"] == 1 and len(made["outputs"]) == 2
    values = [part["value"] for part in made["inputs"]]
    *_, (image, _) = made["function"](*values)
    assert image.size == (24, 24)
