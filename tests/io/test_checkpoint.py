"""Files that are replaced whole: damaged resume states, and what is on the disk before a name points to it."""

import os
from pathlib import Path

import pytest
import torch

from spatialspec.drafts.checkpoint import Checkpoint
from spatialspec.io.files import write_text
from spatialspec.io.tensors import write_tensors


def saved(folder: Path) -> Checkpoint:
    torch.manual_seed(0)
    made = Checkpoint(folder, {"model": torch.nn.Linear(3, 3)})
    made.save(7)
    return made


@pytest.mark.parametrize("damage", ["cut", "empty", "of something else", "of no steps"])
def test_a_damaged_state_is_one_clear_error(tmp_path: Path, damage: str) -> None:
    made = saved(tmp_path)
    whole = made.path.read_bytes()
    if damage == "of something else":
        write_tensors(made.path, {"a": torch.zeros(1)})
    elif damage == "of no steps":
        write_tensors(made.path, {"a": torch.zeros(1)}, {"step": "many", "plain": "{}"})
    else:
        made.path.write_bytes(whole[: len(whole) // 2 if damage == "cut" else 0])
    with pytest.raises(ValueError, match=r"state.safetensors: got .*, expected a resume state: delete it"):
        made.resume()
    made.path.write_bytes(whole)
    assert made.resume() == 7


def test_a_state_of_other_sizes_is_named(tmp_path: Path) -> None:
    saved(tmp_path)
    with pytest.raises(ValueError, match="got a state of other sizes"):
        Checkpoint(tmp_path, {"model": torch.nn.Linear(3, 4)}).resume()


@pytest.mark.parametrize(
    "write",
    [lambda path: write_tensors(path, {"a": torch.ones(9)}), lambda path: write_text(path, "words")],
    ids=["tensors", "text"],
)
def test_the_content_is_on_the_disk_before_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write) -> None:
    done: list[tuple[str, int]] = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda file: done.append(("fsync", os.fstat(file).st_ino)) or fsync(file))
    monkeypatch.setattr(os, "replace", lambda a, b: done.append(("replace", os.stat(a).st_ino)) or replace(a, b))
    write(tmp_path / "a")
    assert [what for what, _ in done] == ["fsync", "replace", "fsync"] and done[0][1] == done[1][1]
    assert done[2][1] == os.stat(tmp_path).st_ino, "the folder, which holds the name"
    assert done[0][1] == os.stat(tmp_path / "a").st_ino and os.listdir(tmp_path) == ["a"]


def test_a_text_that_cannot_be_written_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(file: int) -> None:
        raise OSError("No space left on device")

    write_text(tmp_path / "a", "old")
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match=r"No space left on device.*make room"):
        write_text(tmp_path / "a", "new")
    assert (tmp_path / "a").read_text() == "old" and os.listdir(tmp_path) == ["a"]
