"""Found by a tester of loading: faults of files that need not stop a run, and words that say which file and key."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors import safe_open
from safetensors.torch import save_file

from real_targets import MAKES
from spatialspec import SpatialPipeline
from spatialspec.core.errors import BadInput
from spatialspec.targets.loading import load_target, wrap

MODELS = ("janus", "emu3", "anole", "lumina")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {kind: MAKES[kind].make(tmp_path_factory.mktemp(kind) / kind) for kind in ("icons", *MODELS)}


@pytest.fixture
def copy(made: dict[str, Path], tmp_path: Path) -> Callable[[str], Path]:
    return lambda kind: Path(shutil.copytree(made[kind], tmp_path / kind, dirs_exist_ok=True))


def put(path: Path, *keys: str, value: Any) -> None:
    """Set one value of a JSON file."""
    whole = part = json.loads(path.read_text())
    for key in keys[:-1]:
        part = part[key]
    part[keys[-1]] = value
    path.write_text(json.dumps(whole))


def fault(folder: Path) -> str:
    with pytest.raises(BadInput) as caught:
        load_target(folder)
    return str(caught.value)


@pytest.mark.parametrize("method", ["ar", "spatial", "hawk"])
def test_written_images_are_those_of_runs_that_went_through(made: dict[str, Path], method: str) -> None:
    """One that is finished, a part and none, each with a seed of its own."""
    pipe, words, seeds = SpatialPipeline.from_pretrained(made["icons"]), ["a cat", "a red fox", "two dogs"], [7, 3, 11]
    whole = pipe(words, seed=seeds, method=method, size="3x4")
    written = [whole.tokens[0], whole.tokens[1][:5], ()]
    assert pipe(words, seed=seeds, method=method, size="3x4", written=written).tokens == whole.tokens
    assert whole.report.exact and whole.report.seed_exact
    again = pipe(words, seed=seeds, method=method, size="3x4", written=whole.tokens)
    assert again.tokens == whole.tokens and again.report.target_passes == 0
    assert not again.report.exact and not again.report.seed_exact, "nothing was drawn"
