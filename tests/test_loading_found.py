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


NOTES = {"num_train_steps": 100_000, "num_images": 2000, "max_window_layers": 70, "num_experts_per_tok": 10**7}
NOTES |= {"trained_layers": [10**5, 10**6], "depth_of_focus": 5000, "tokens_seen": 10**13, "notes": {"num_runs": 10**6}}


@pytest.mark.parametrize("kind", MODELS)
def test_keys_that_a_config_class_does_not_have_may_be_anything(copy: Callable[[str], Path], kind: str) -> None:
    folder = copy(kind)
    path = folder / "config.json"
    config = json.loads(path.read_text()) | NOTES
    parts = [name for name, part in config.items() if name.endswith("_config")]
    assert parts
    path.write_text(json.dumps(config | {name: config[name] | NOTES for name in parts}))
    load_target(folder)


@pytest.mark.parametrize("kind", MODELS)
def test_counts_that_a_config_class_has_are_still_looked_at(copy: Callable[[str], Path], kind: str) -> None:
    text = {"janus": ("text_config",), "emu3": ("text_config",)}.get(kind, ())
    for keys in ((*text, "num_hidden_layers"), ("vq_config", "num_res_blocks"), ("num_labels",)):
        folder = copy(kind)
        put(folder / "config.json", *keys, value=100_000)
        assert f"got {keys[-1]} 100000" in fault(folder)


DAMAGE: dict[str, Callable[[Path], object]] = {
    "pointer": lambda folder: (folder / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\n"),
    "no weights": lambda folder: (folder / "model.safetensors").unlink(),
    "JSON": lambda folder: (folder / "config.json").write_text("{"),
    "no algorithm": lambda folder: put(folder / "config.json", "speculators_config", value={}),
    "width": lambda folder: put(folder / "config.json", "sizes", "width", value=16),
    "sizes": lambda folder: put(folder / "config.json", "sizes", value=None),
    "card": lambda folder: (folder / "README.md").write_bytes(b"\xff"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_drafts_stop_only_the_methods_that_want_them(copy: Callable[[str], Path], damage: str) -> None:
    folder = copy("icons")
    DAMAGE[damage](folder / "drafts" / "hawk")
    pipe = SpatialPipeline.from_pretrained(folder)
    for method in ("ar", "spatial", "ssd"):
        assert pipe("a cat", size="2x2", method=method).tokens
    with pytest.raises(BadInput, match=r"drafts/hawk.*, or go without: spatial needs none"):
        pipe("a cat", size="2x2", method="hawk")
    with pytest.raises(BadInput, match="drafts/hawk") as caught:
        SpatialPipeline.from_pretrained(folder, draft="hawk")
    assert "go without" not in str(caught.value)
