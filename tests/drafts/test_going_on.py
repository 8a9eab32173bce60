"""Work that was stopped anywhere goes on to what it would have been: at every file that is written, and in between."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from helpers.tiny import WORDS, call_main, tiny_folder, tiny_target
from spatialspec.drafts import distil, draft
from spatialspec.drafts.distil import self_distil
from spatialspec.generation import generate
from spatialspec.lab.icons import target, tokenizer

PROMPTS = WORDS[:5]


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (tokenizer, target, draft):
        monkeypatch.setattr(module, "tune_threads", lambda *processes: None)


class Stopped(BaseException):
    """Stands for a signal that ends the process."""


def draw(folder: Path, **other: object) -> torch.Tensor:
    settings = {"batch": 3, "report": lambda line: None} | other
    return self_distil(tiny_target(), PROMPTS, folder, **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", [KeyboardInterrupt, Stopped])
@pytest.mark.parametrize("steps", [1, 50, 107, 150])
def test_pictures_that_were_begun_are_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type[BaseException], steps: int
) -> None:
    """Ctrl-C keeps all tokens; what ends at once keeps those of the last file, which is written now and then."""
    expected = draw(tmp_path / "whole")
    monkeypatch.setattr(distil, "EVERY", -1 if kind is Stopped else 1e9)
    observe, seen = distil._Unfinished.observe, []

    def stopping(self: distil._Unfinished, step: object) -> None:
        observe(self, step)  # type: ignore[arg-type]
        seen.append(step)
        if len(seen) == steps:
            raise kind

    with monkeypatch.context() as patch:
        patch.setattr(distil._Unfinished, "observe", stopping)
        with pytest.raises(kind):
            draw(tmp_path / "stopped")
    written: list[int] = []

    def counting(*given: object) -> object:
        written.append(sum(map(len, given[3].written)))  # type: ignore[attr-defined]
        return generate(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(distil, "generate", counting)
    assert torch.equal(draw(tmp_path / "stopped"), expected)
    assert written[0] >= steps % 108 - 4, "three images of 36 cells are a piece"
    assert not list((tmp_path / "stopped").glob("*.part.*"))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.write_bytes(b"x"),
        lambda path: path.write_bytes(path.read_bytes()[:-3]),
        lambda path: save_file({"other": torch.zeros(2)}, path),
        lambda path: save_file({key: value - 99 for key, value in load_file(path).items()}, path),
        lambda path: save_file({key: value.repeat(9, 1) for key, value in load_file(path).items()}, path),
        lambda path: save_file({key: value[:0] for key, value in load_file(path).items()}, path),
    ],
)
def test_a_damaged_file_of_a_piece_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spoil: Callable[[Path], None]
) -> None:
    expected = draw(tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr(distil, "EVERY", -1)
        patch.setattr(distil, "generate", lambda *given: [given[4](step) for step in stopping(*given)])
        with pytest.raises(Stopped):
            draw(tmp_path / "stopped")
    (part,) = (tmp_path / "stopped").glob("*.part.safetensors")
    spoil(part)
    assert torch.equal(draw(tmp_path / "stopped"), expected)


def stopping(*given: object) -> Iterator[object]:
    steps: list[object] = []
    generate(*given[:4], steps.append)  # type: ignore[arg-type]
    yield from steps[:40]
    raise Stopped


def test_a_piece_of_other_shapes_is_drawn_again(tmp_path: Path) -> None:
    expected = draw(tmp_path)
    for path in tmp_path.glob("*.safetensors"):
        save_file({"tokens": torch.zeros(1, 2, dtype=torch.int32)}, path)
    assert torch.equal(draw(tmp_path), expected)


def final(folder: Path) -> dict[str, bytes]:
    """What a training leaves, but for the card, which tells how long it took."""
    found = {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    return {name: data for name, data in found.items() if not name.endswith(".md") and "state" not in name}


@pytest.mark.parametrize("drafter", ["hawk", "ssd"])
def test_train_draft_goes_on_from_every_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, drafter: str
) -> None:
    model = tiny_folder(tmp_path / "model")
    (tmp_path / "prompts.txt").write_text("\n".join(PROMPTS))
    words = ["train", "draft", "--target", model, "--drafter", drafter, "--self-distil", tmp_path / "prompts.txt"]
    words += ["--steps", 3, "--batch", 2, "--horizontal", 1, "--vertical", 1, "--features", tmp_path / "features"]
    assert call_main(capsys, *words, "--out", tmp_path / "whole")[0] == 0
    expected, replace = final(tmp_path / "whole"), os.replace
    for path in (tmp_path / "features").iterdir():
        path.unlink()
    stops = 0
    for last in range(1, 20):
        calls: list[str] = []

        def once(source: str, goal: str, calls: list[str] = calls, last: int = last) -> None:
            calls.append(goal)
            if len(calls) == last:
                raise OSError(28, "No space left on device")
            replace(source, goal)

        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", once)
            code, _, error = call_main(capsys, *words, "--out", tmp_path / "stopped")
        if code == 0:
            break
        assert code == 2 and "make room" in error
        stops += 1
    assert stops >= 3 and final(tmp_path / "stopped") == expected
