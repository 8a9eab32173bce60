"""Files beside the weights: damaged ones are refused by name, settings without effect are told, colours are certain."""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import pytest

from helpers.covering import covering
from helpers.real_targets import MAKES
from spatialspec.core.errors import BadInput
from spatialspec.pipeline import SpatialPipeline

KINDS = ("janus", "emu3", "anole", "lumina")
GENERATION, PROCESSOR, PIXELS = "generation_config.json", "processor_config.json", "preprocessor_config.json"
DAMAGES = b"{", b"", b"[1]", b"null", b"\xff\xfe", b'{"a": 1, "a": 2}', b"[" * 10**5, b'{"x": NaN}'
WRONG: list[tuple[str, Any]] = [
    ("top_k", 1.5), ("top_k", True), ("top_k", -1), ("top_k", 10**12), ("top_k", "7"), ("top_k", [7]),
    ("top_p", 0), ("top_p", 1.5), ("top_p", "x"), ("top_p", {}), ("temperature", -1), ("temperature", 10**400),
    ("temperature", False), ("guidance_scale", -2), ("guidance_scale", 1e9), ("guidance_scale", [3]),
]  # fmt: skip
COLOURS = {
    "image_mean": ("gone", None, "x", 0.5, [0.5], [0.5, 0.5, "x"], [0.5, 0.5, 7], [True] * 3),
    "image_std": ("gone", None, [0, 0, 0], [0.5, 0.5], {}), "rescale_factor": (1, 0.5, None, "x", 0, True),
    "do_normalize": (False, None, "x"), "do_rescale": (False, 1),
}  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {kind: MAKES[kind].make(tmp_path_factory.mktemp(kind) / kind) for kind in KINDS}


def change(folder: Path, name: str, **values: Any) -> None:
    path = folder / name
    content = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(content | values))


def refused(folder: Path) -> str:
    with pytest.raises(BadInput) as error:
        SpatialPipeline.from_pretrained(folder)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(("kind", "damage"), covering(KINDS, DAMAGES))
def test_damaged_ones_are_named(kind: str, damage: bytes, made: dict[str, Path], tmp_path: Path) -> None:
    for name in ("generation_config.json", "tokenizer_config.json", "tokenizer.json", "special_tokens_map.json"):
        folder = Path(shutil.copytree(made[kind], tmp_path / name))
        (folder / name).write_bytes(damage)
        assert name in refused(folder)


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_configuration_is_not_blamed_on_others(kind: str, made: dict[str, Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(made[kind], tmp_path / kind))
    config = json.loads((folder / "config.json").read_text())
    sizes = config.get("text_config", config)
    for name, value in (("hidden_size", "x"), ("num_attention_heads", 0), ("intermediate_size", 1.5)):
        damaged = sizes | {name: value}
        change(folder, "config.json", **({"text_config": damaged} if "text_config" in config else damaged))
        said = refused(folder)
        assert "config.json: got" in said and "preprocessor_config.json" not in said, said


@pytest.mark.parametrize("kind", KINDS)
def test_those_that_may_be_missing(kind: str, made: dict[str, Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(made[kind], tmp_path / kind))
    for name in ("generation_config.json", "chat_template.jinja", "special_tokens_map.json"):
        (folder / name).unlink(missing_ok=True)
    authors = {"janus": 5.0, "emu3": 3.0, "anole": 3.0, "lumina": 4.0}
    assert SpatialPipeline.from_pretrained(folder).target.default.guidance == authors[kind]


@pytest.mark.parametrize("kind", KINDS)
def test_sampling(kind: str, made: dict[str, Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(made[kind], tmp_path / kind))
    change(folder, GENERATION, top_k=7, top_p=0.5, temperature=0.25, guidance_scale=2)
    found = SpatialPipeline.from_pretrained(folder).target.default
    assert (found.top_k, found.top_p, found.temperature, found.guidance) == (7, 0.5, 0.25, 2.0)


@pytest.mark.parametrize(("kind", "wrong"), covering(KINDS, WRONG, 4))
def test_sampling_that_cannot_be(kind: str, wrong: tuple[str, Any], made: dict[str, Path], tmp_path: Path) -> None:
    folder, (key, value) = Path(shutil.copytree(made[kind], tmp_path / kind)), wrong
    change(folder, GENERATION, **{key: value})
    said = refused(folder)
    assert GENERATION in said and key.removesuffix("_scale") in said


@pytest.mark.parametrize("kind", KINDS)
def test_what_has_no_effect_is_told(kind: str, made: dict[str, Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(made[kind], tmp_path / kind))
    change(folder, GENERATION, do_sample=True, repetition_penalty=1.0, min_p=None, num_beams=1, eta_cutoff=0.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        SpatialPipeline.from_pretrained(folder)
    asked = {
        "do_sample": False,
        "repetition_penalty": 1.2,
        "num_beams": 4,
        "typical_p": 0.9,
        "eta_cutoff": 0.1,
    }
    change(folder, GENERATION, **asked, min_p=0.1)
    with pytest.warns(UserWarning) as told:
        pipe = SpatialPipeline.from_pretrained(folder)
    assert pipe.target.default.min_p == 0.1, "this one is followed"
    (message,) = {str(warning.message) for warning in told}
    assert all(f"{key} {value}" in message for key, value in asked.items())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pipe("a red fox", seed=0, size=MAKES[kind].size)


@pytest.mark.parametrize(("kind", "where"), covering(["janus", "emu3"], [PROCESSOR, PIXELS]))
def test_colours_are_certain(kind: str, where: str, made: dict[str, Path], tmp_path: Path) -> None:
    """Mean and deviation are in the file, bytes are divided by 255: else it is refused by name."""
    folder = Path(shutil.copytree(made[kind], tmp_path / kind))
    whole = json.loads((folder / PROCESSOR).read_text())
    pixels = whole["image_processor"]

    def write(**values: Any) -> None:
        changed = {key: value for key, value in (pixels | values).items() if value != "gone"}
        (folder / PROCESSOR).write_text(json.dumps({**whole, "image_processor": changed}))
        if where == PIXELS:
            (folder / PROCESSOR).write_text(json.dumps({k: v for k, v in whole.items() if k != "image_processor"}))
            (folder / PIXELS).write_text(json.dumps(changed))

    write(rescale_factor="gone", do_rescale="gone", do_normalize="gone")
    image = SpatialPipeline.from_pretrained(folder)("a red fox", seed=0, size=MAKES[kind].size).images[0]
    assert image == SpatialPipeline.from_pretrained(made[kind])("a red fox", seed=0, size=MAKES[kind].size).images[0]
    for key, values in COLOURS.items():
        for value in values:
            write(**{key: value})
            said = refused(folder)
            assert where in said and key in said
