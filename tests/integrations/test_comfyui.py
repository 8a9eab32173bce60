"""The nodes of ComfyUI, against a stub of its V3 API."""

from __future__ import annotations

import asyncio
import importlib.util
import inspect
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from helpers.paths import ROOT
from helpers.tiny import tiny_folder
from helpers.tiny_checkpoints import tiny_janus
from spatialspec import BadInput, SpatialPipeline


class Interrupted(Exception):
    """As ComfyUI raises when its user cancels."""


class Stub:
    """What the nodes use of ComfyUI, with a record of it."""

    def __init__(self) -> None:
        self.progress: list[tuple[float, float, Any]] = []
        self.cancel_after = 10**9

        def kind(name: str) -> Any:
            make = lambda where: lambda id="", **options: SimpleNamespace(id=id, kind=name, where=where, **options)  # noqa: E731
            return SimpleNamespace(Input=make("in"), Output=make("out"))

        kinds = {name: kind(name) for name in ("String", "Combo", "Int", "Float", "Image")}
        self.io = SimpleNamespace(
            ComfyNode=object, Schema=lambda **fields: SimpleNamespace(**fields), Custom=kind,
            NodeOutput=lambda *values: SimpleNamespace(result=values), **kinds,
        )  # fmt: skip
        execution = SimpleNamespace(set_progress=self.set_progress)
        self.latest = ModuleType("comfy_api.latest")
        self.latest.__dict__.update(
            io=self.io, ComfyExtension=object, ComfyAPISync=lambda: SimpleNamespace(execution=execution)
        )
        self.comfy = ModuleType("comfy")
        self.comfy.__dict__["model_management"] = SimpleNamespace(
            get_torch_device=lambda: torch.device("cpu"), throw_exception_if_processing_interrupted=self.check
        )

    def set_progress(self, value: float, max_value: float, preview_image: Any = None) -> None:
        self.progress.append((value, max_value, preview_image))

    def check(self) -> None:
        if len(self.progress) >= self.cancel_after:
            raise Interrupted


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Stub:
    stub = Stub()
    modules = {"comfy": stub.comfy, "comfy_api": ModuleType("comfy_api"), "comfy_api.latest": stub.latest}
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    return stub


@pytest.fixture
def nodes(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The nodes by their ids, imported as ComfyUI imports a folder of custom nodes."""
    folder = ROOT / "integrations" / "comfyui"
    spec = importlib.util.spec_from_file_location(
        "custom", folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "custom", module)
    monkeypatch.delitem(sys.modules, "custom.nodes", raising=False)
    spec.loader.exec_module(module)
    listed = asyncio.run(asyncio.run(module.comfy_entrypoint()).get_node_list())
    return {node.define_schema().node_id: node for node in listed}


def drawn(nodes: dict[str, Any], pipeline: Any, **changes: Any) -> Any:
    inputs = {part.id: getattr(part, "default", None) for part in nodes["SpatialSpecSampler"].define_schema().inputs}
    return nodes["SpatialSpecSampler"].execute(**inputs | {"pipeline": pipeline, "prompt": "a cat"} | changes).result


def loaded(nodes: dict[str, Any], folder: Path) -> SpatialPipeline:
    (pipeline,) = nodes["SpatialSpecLoader"].execute(model=str(folder), draft="", dtype="auto").result
    return pipeline


def test_inputs_are_the_arguments(nodes: dict[str, Any]) -> None:
    assert nodes.keys() == {"SpatialSpecLoader", "SpatialSpecSampler"}
    for node in nodes.values():
        schema = node.define_schema()
        assert [part.id for part in schema.inputs] == list(inspect.signature(node.execute).parameters)
        assert schema.category == "spatialspec" and schema.outputs


@pytest.mark.parametrize("make", [tiny_folder, tiny_janus])
def test_images_previews_and_progress(nodes: dict[str, Any], stub: Stub, tmp_path: Path, make: Any) -> None:
    pipeline = loaded(nodes, make(tmp_path / "model"))
    images, report = drawn(nodes, pipeline, seed=3, images=2, preview_every=1)
    expected = SpatialPipeline.from_pretrained(tmp_path / "model")("a cat", seed=3, num_images_per_prompt=2)
    pixels = np.stack([np.asarray(image) for image in expected.images]) / 255
    assert images.shape == pixels.shape and torch.allclose(images.double(), torch.from_numpy(pixels), atol=1e-6)
    assert "target_passes" in report
    values, most, previews = zip(*stub.progress, strict=True)
    assert list(values) == sorted(values) and set(most) == {values[-1]} == {2 * len(expected.tokens[0])}
    shown = [image for image in previews if image is not None]
    assert shown and shown[-1].size == expected.images[0].size
    assert (np.asarray(shown[-1]) == np.asarray(expected.images[0])).all()


def test_cancelling(nodes: dict[str, Any], stub: Stub, tmp_path: Path) -> None:
    """It raises through the callback, and the pipeline stays usable."""
    pipeline = loaded(nodes, tiny_folder(tmp_path / "model"))
    stub.cancel_after = 3
    with pytest.raises(Interrupted):
        drawn(nodes, pipeline, preview_every=0)
    assert len(stub.progress) == 3 and all(image is None for *_, image in stub.progress)
    stub.cancel_after = 10**9
    assert drawn(nodes, pipeline)[0].shape == (1, 24, 24, 3)


def test_settings_reach_the_model(nodes: dict[str, Any], tmp_path: Path) -> None:
    pipeline = loaded(nodes, tiny_folder(tmp_path / "model"))
    wide, report = drawn(nodes, pipeline, size="4x5", guidance=3.0, negative_prompt="a dog", quality="fast", seed=1)
    asked = {"size": "4x5", "guidance_scale": 3.0, "negative_prompt": "a dog", "quality": "fast", "seed": 1}
    expected = pipeline("a cat", output_type="np", **asked).images
    assert np.allclose(wide.numpy(), expected) and "exact=False" in report
    with pytest.raises(BadInput, match="magic"):
        drawn(nodes, pipeline, method="magic")
