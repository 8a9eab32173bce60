"""Names and shapes of the published checkpoints: what is loaded here is what lies on the Hub."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from typing import Any

import pytest
from accelerate import init_empty_weights
from transformers import (
    ChameleonConfig,
    Emu3Config,
    Emu3ForConditionalGeneration,
    JanusConfig,
    JanusForConditionalGeneration,
)

from helpers.paths import ROOT
from spatialspec.targets.chameleon.lumina import ChameleonXLLMXForConditionalGeneration
from spatialspec.targets.chameleon.target import Anole

FOLDER = ROOT / "tests" / "published"
KINDS = {
    "janus-pro-1b": (JanusConfig, JanusForConditionalGeneration),
    "emu3-gen": (Emu3Config, Emu3ForConditionalGeneration),
    "anole-7b": (ChameleonConfig, Anole),
    "lumina-mgpt-7b-768": (ChameleonConfig, ChameleonXLLMXForConditionalGeneration),
}


def read(name: str) -> dict[str, Any]:
    table: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    return table


@pytest.mark.parametrize("name", KINDS)
def test_names_and_shapes(name: str) -> None:
    """Layers are collapsed to a star and counted."""
    published, (config, kind) = read(name), KINDS[name]
    with init_empty_weights():
        model = kind(config(**published["config"]))
    tensors = Counter(
        re.sub(r"\.\d+(?=\.)", ".*", key) + " " + ("x".join(map(str, tensor.shape)) or "scalar")
        for key, tensor in model.state_dict().items()
    )
    assert dict(tensors) == published["tensors"]


@pytest.mark.parametrize("name", KINDS)
def test_the_table_has_the_size_of_the_published_files(name: str) -> None:
    """To the last digit that the Hub shows of them: no tensor of weight is missing from the table."""
    published = read(name)
    left_out = published.get("without", "\0")
    numbers = published["dropped"] + sum(
        count * math.prod(map(int, shape.split("x")))
        for (tensor, shape), count in ((key.split(" "), n) for key, n in published["tensors"].items())
        if shape != "scalar" and not tensor.startswith(left_out)
    )
    assert numbers * published["width"] == pytest.approx(published["bytes"], rel=1.5e-3)
