"""Every program in `examples/` runs, with models loaded from folders as users load them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from helpers.paths import ROOT
from helpers.tiny import tiny_folder
from helpers.tiny_checkpoints import tiny_janus

EXAMPLES = ROOT / "examples"


def run(name: str, *words: object, cwd: Path) -> str:
    """What a program prints, run from a folder of its own."""
    result = subprocess.run(
        [sys.executable, str(EXAMPLES / name), *map(str, words)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src"), "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_folder(tmp_path_factory.mktemp("examples") / "tiny")


def test_generate(model: Path, tmp_path: Path) -> None:
    printed = run("generate.py", "a cat", "cat.png", "--model", model, cwd=tmp_path)
    assert "passes instead of 36" in printed and "same tokens as AR: True" in printed
    assert Image.open(tmp_path / "cat.png").size == (24, 24)


def test_loaded_model(tmp_path: Path) -> None:
    folder = tiny_janus(tmp_path / "janus")
    printed = run("loaded_model.py", "--model", folder, "--prompt", "a red apple", cwd=tmp_path)
    assert "SpatialPipeline(JanusTarget" in printed and "seed_exact=True" in printed
    assert Image.open(tmp_path / "fox.png").size == (64, 64)


def test_batch(model: Path, tmp_path: Path) -> None:
    printed = run("batch.py", "images", "--model", model, "--passes", "5", cwd=tmp_path)
    (written, same) = printed.splitlines()
    counts = [int(count) for count in written.split("[")[1].rstrip("]").split(",")]
    assert len(counts) == 3 and all(0 < count < 36 for count in counts) and same == "same as in one call: True"
    names = {path.name for path in (tmp_path / "images").iterdir()}
    assert {"seed-0.png", "seed-1.png", "seed-2.png"} < names and any(name.startswith("preview") for name in names)


def test_train_drafts(model: Path, tmp_path: Path) -> None:
    (tmp_path / "prompts.txt").write_text("a cat\na green tree\na red apple, 3d\nblue heart, flat\n")
    printed = run("train_drafts.py", "prompts.txt", "--target", model, "--steps", "2", cwd=tmp_path)
    assert "ar: 36 passes" in printed and "hawk: " in printed
    assert (tmp_path / "drafts" / "hawk" / "model.safetensors").is_file()


def test_own_drafter(model: Path, tmp_path: Path) -> None:
    printed = run("own_drafter.py", "--model", model, cwd=tmp_path)
    assert "passes instead of 36" in printed and "same tokens as AR: True" in printed


def test_read_bench(tmp_path: Path) -> None:
    pytest.importorskip("pandas")
    printed = run("read_bench.py", ROOT / "docs" / "results" / "bench.json", "bench.png", cwd=tmp_path)
    assert "spatial" in printed and Image.open(tmp_path / "bench.png").width > 500


def test_each_says_how_to_run_it() -> None:
    programs = sorted(EXAMPLES.glob("*.py"))
    listed = (EXAMPLES / "README.md").read_text()
    for program in programs:
        text = program.read_text()
        assert f"`python examples/{program.name}" in text.split("\n\n")[0] and f"({program.name})" in listed
        assert len(text.splitlines()) <= 60
    assert len(programs) == 7
