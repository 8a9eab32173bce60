"""Many prompts through Ray Data: the same bytes as in one process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from helpers.commands import ENVIRONMENT
from helpers.tiny import tiny_folder

pytest.importorskip("ray", reason="no package ray here: `pip install '.[ray]'` runs these tests")
pytestmark = [pytest.mark.slow, pytest.mark.long]
PROMPTS = ["a cat", "green tree", "a cat", "blue heart, flat"]


def test_many_prompts_through_ray_data(tmp_path: Path) -> None:
    """The same bytes as in one process, and it resumes."""
    folder = tiny_folder(tmp_path / "tiny")
    (tmp_path / "prompts.txt").write_text("\n".join(f"{prompt} {i}" for i in range(3) for prompt in PROMPTS))
    words = [sys.executable, "-m", "spatialspec", "generate", "--prompts", "prompts.txt", "--num-images", "2"]

    def run(*more: str) -> str:
        command = [*words, "--model", str(folder), *more]
        done = subprocess.run(command, env=ENVIRONMENT, cwd=tmp_path, capture_output=True, text=True)
        rays = "has constructor arguments in the object store"  # a remark of Ray's own actors, from C++
        assert done.returncode == 0 and all(rays in line for line in done.stderr.splitlines()), done.stderr
        return done.stdout

    assert run("--out", "here").startswith("wrote 24 of 24 images")
    assert run("--out", "ray", "--ray").startswith("wrote 24 of 24 images")
    here, ray = ({p.name: p.read_bytes() for p in (tmp_path / name).glob("*.png")} for name in ("here", "ray"))
    assert len(here) == 24 and here == ray
    (tmp_path / "ray" / "000003-0001.png").unlink()
    assert run("--out", "ray", "--ray").startswith("wrote 1 of 24 images"), "the other of the prompt is there"
    assert {p.name: p.read_bytes() for p in (tmp_path / "ray").glob("*.png")} == here
