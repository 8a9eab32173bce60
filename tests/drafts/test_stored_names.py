"""Stored work of 0.1.0 is found under the names that its code gave; the hashes were made with that code."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
import torch
from torch import nn

from helpers.tiny import tiny_target
from spatialspec.core.interfaces import Target
from spatialspec.core.sampling import Sampling
from spatialspec.drafts import distil, features, task
from spatialspec.drafts.corpus import Corpus
from spatialspec.drafts.distil import self_distil
from spatialspec.drafts.features import Prepared, Streamed
from spatialspec.drafts.hawk import HawkRecipe, HawkTask
from spatialspec.drafts.trainer import state_folder
from spatialspec.io.identity import drafts_digest, facts_digest, identity, weights_digest
from spatialspec.targets.icons.target import IconsTarget
from spatialspec.targets.loading import load_target

IMAGES = Corpus(["a cat", "a dog"], torch.arange(72).view(2, 36) % 64)
WEIGHTS = Path(distil.__file__).parents[1] / "weights"
SAMPLING = Sampling(guidance=2, temperature=0.6, top_k=100, top_p=0.9)


@pytest.fixture
def target(monkeypatch: pytest.MonkeyPatch) -> IconsTarget:
    """A target whose identity is no hash of random numbers."""
    for module in (distil, features, task):
        monkeypatch.setattr(module, "identity", lambda target: "identity")
    target = tiny_target()
    target.default = SAMPLING
    return target


def distilled(target: IconsTarget, folder: Path) -> list[str]:
    self_distil(target, ["a cat"], folder, seed=3, report=lambda line: None)
    return os.listdir(folder)


def prepared(target: IconsTarget, folder: Path, *layers: int) -> list[str]:
    Prepared(target, IMAGES, {(0, False), (1, True)}, folder, 2, lambda line: None, layers=layers)
    return os.listdir(folder)


def trained(target: IconsTarget) -> str:
    lesson = HawkTask(target, IMAGES, IMAGES, Streamed(target, IMAGES), HawkRecipe())
    return state_folder(Path("out"), "fingerprint", lesson).name


def test_files_of_the_first_version_are_found(target: IconsTarget, tmp_path: Path) -> None:
    assert distilled(target, tmp_path / "drawn") == ["4a128ec3deb74cdd-000000.safetensors"]
    assert prepared(target, tmp_path / "states") == ["8f9ee854e4915b89.safetensors"]
    assert prepared(target, tmp_path / "hidden", 1) == ["f4acb58a1b179118.safetensors"]
    assert trained(target) == "fingerprint-e66e630c"


def test_min_p_has_names_of_its_own(target: IconsTarget, tmp_path: Path) -> None:
    def names(folder: Path) -> set[str]:
        return {*distilled(target, folder / "drawn"), *prepared(target, folder / "states"), trained(target)}

    before = names(tmp_path / "0.1.0")
    target.default = Sampling(guidance=2, temperature=0.6, top_k=100, top_p=0.9, min_p=0.1)
    assert before.isdisjoint(names(tmp_path / "new"))


def test_a_sampling_reads_as_in_the_first_version() -> None:
    assert f"{SAMPLING} {SAMPLING!r}" == " ".join(2 * ["Sampling(guidance=2.0, temperature=0.6, top_k=100, top_p=0.9)"])
    assert SAMPLING.facts() == {"guidance": 2.0, "temperature": 0.6, "top_k": 100, "top_p": 0.9}
    assert Sampling(min_p=0.1).facts() == Sampling().facts() | {"min_p": 0.1}
    assert str(Sampling(min_p=0.1)).endswith("top_p=1.0, min_p=0.1)")
    assert Sampling(top_k=0).facts()["top_k"] == 0, "min_p alone is left out"


def test_digests_are_those_of_the_first_version() -> None:
    icons = load_target(WEIGHTS / "icons")
    listed, icons.concepts = identity(icons), None  # 0.1.0 knew no list of concepts
    assert identity(icons) == "ba394f01a51cfca7-739ea86d215e1507" != listed
    network = nn.Linear(2, 3)
    with torch.no_grad():
        network.weight.copy_(torch.arange(6.0).view(3, 2) / 8)
        network.bias.copy_(torch.arange(3.0))
    assert drafts_digest([network]) == "f5763824f3b3ec31" == drafts_digest([network.bfloat16()])
    assert weights_digest(network.float()) == "ad0c0a801c8253de" != weights_digest(network.bfloat16())
    assert facts_digest({"b": 1, "a": Path("x")}) == "385820f0096fd558"


@dataclass
class Config:
    heads: int


def test_a_transformer_inside_a_model_counts_as_in_the_first_version() -> None:
    inner = nn.Linear(2, 2)
    outer = nn.Sequential(inner)
    inner.config, outer.config = Config(2), Config(3)  # type: ignore[assignment]
    with torch.no_grad():
        inner.weight.copy_(torch.arange(4.0).view(2, 2))
        inner.bias.zero_()

    def identity_of(transformer: nn.Module | None) -> str:
        target = SimpleNamespace(networks=(outer,), transformer=transformer, fingerprint="f")
        return identity(cast("Target", target))

    assert identity_of(inner) == "f-7c1b4b611ce97481"
    assert identity_of(outer) == "f-016296e4d1a9ed0e" == identity_of(None)
