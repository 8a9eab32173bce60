"""What trainings learn from: the target's states, features from files, its own images."""

import os
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch

from helpers.lessons import common_target, corpus, heads, run, spatial
from helpers.processes import ranks, start
from helpers.tiny import WORDS, tiny_target
from spatialspec.core.interfaces import Target
from spatialspec.drafts.distil import self_distil
from spatialspec.drafts.features import Prepared, pairs_of
from spatialspec.drafts.teacher import _one_pass, states, streams
from spatialspec.drafts.trainer import facts_of, state_folder
from spatialspec.drafts.training_data import TrainingData
from spatialspec.generation import generate
from spatialspec.methods.method import Method
from spatialspec.request import Request

PROMPTS = [*WORDS, "a dog", "a red cat"]


def test_one_pass_of_a_session_gives_the_states_of_the_direct_path() -> None:
    target, pictures = common_target(), corpus(3)
    dropped = torch.tensor([False, True, False])
    direct = states(target, pictures.prompts, pictures.codes, dropped)
    both = _one_pass(target, pictures.prompts, pictures.codes, 2)
    torch.testing.assert_close(torch.where(dropped[:, None, None], both[1], both[0]), direct, atol=1e-5, rtol=0)
    torch.testing.assert_close(streams(target, pictures.prompts, pictures.codes, 2), both, atol=1e-5, rtol=0)
    assert (both[0] - both[1]).abs().max() > 0.01, "the prompt does not matter: the test would see nothing"


def test_prompts_that_the_target_refuses_are_left_out_and_counted(tmp_path: Path) -> None:
    lines: list[str] = []
    prompts = ["a cat", "word " * 50, "a dog", "tree"]
    given = TrainingData(common_target(), None, prompts, None, tmp_path, None, False, lines.append)
    assert given.words(0, 9, 1) == (["a cat", "a dog", "tree"], [], 1)
    assert len(lines) == 1 and lines[0].startswith("left out 1 of 4 prompts, the last because: got a prompt")
    assert replace(given, prompts=PROMPTS, count=4).words(0, 9, 32) == (PROMPTS[:6], [], 2)
    with pytest.raises(ValueError, match="got 1 prompts, expected at least 2"):
        replace(given, count=1).words(0, 9, 1)
    with pytest.raises(ValueError, match="expected --data FOLDER or --self-distil PROMPTS"):
        replace(given, prompts=None).words(0, 9, 1)


def prepared(folder: Path, report, target, pictures) -> Prepared:
    recipe = heads("ssd").recipe
    pairs = pairs_of([recipe.draw(step, len(pictures)) for step in range(recipe.steps)], recipe.drop)
    return Prepared(target, pictures, pairs, folder, 4, report)


def test_prepared_features_give_the_loss_curve_of_streamed_ones(tmp_path: Path) -> None:
    lines: list[str] = []
    made = heads("ssd", features=partial(prepared, tmp_path / "files", lines.append), drop=0.5)
    with pytest.raises(KeyError):  # prepared for another share of dropped captions
        run(made, tmp_path / "b")
    losses: dict[str, list[float]] = {}
    for name, features in (
        ("streamed", {}),
        ("prepared", {"features": partial(prepared, tmp_path / "files", lines.append)}),
    ):
        lesson = heads("ssd", **features)
        losses[name] = []
        loss = lesson.loss

        def noted(drafts, batch, loss=loss, curve=losses[name]):
            value = loss(drafts, batch)
            curve.append(value.item())
            return value

        lesson.loss = noted
        run(lesson, tmp_path / name)
    assert losses["prepared"] == pytest.approx(losses["streamed"], abs=1e-5) and len(losses["prepared"]) == 4
    files = sorted((tmp_path / "files").iterdir())
    size = next(float(line.split()[4]) for line in lines if "MB to write" in line)
    assert sum(file.stat().st_size for file in files) / 1e6 == pytest.approx(size, abs=0.06), "the estimate"
    assert "0.0 MB to write" in lines[-2] and lines[-1].startswith("1 of 1 pieces"), "made once"


def test_features_that_do_not_fit_are_refused_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(10**6, 10**6 - 999, 999))
    with pytest.raises(ValueError, match=r"got 0.0 MB of free space, expected 0.\d MB for the features.*streams them"):
        heads("ssd", features=partial(prepared, tmp_path, print))
    assert not os.listdir(tmp_path)


def drawn(rank: int, folder: Path, batch: int) -> torch.Tensor:
    from accelerate import PartialState

    PartialState(cpu=True)
    return self_distil(common_target(), PROMPTS, folder, batch, 3, lambda line: None)


def test_own_pictures_depend_on_prompt_and_seed_alone(tmp_path: Path) -> None:
    target = common_target()
    alone = drawn(0, tmp_path / "one", 3)
    for one in ranks(2, drawn, tmp_path / "two", 3):
        assert torch.equal(one, alone)
    assert sorted(os.listdir(tmp_path / "two")) == sorted(os.listdir(tmp_path / "one")) and len(alone) == 7
    assert torch.equal(drawn(0, tmp_path / "other", 2), alone), "images of a batch"
    request = Request([PROMPTS[5]], [3 + 5], target.default, target.grid)
    assert alone[5].tolist() == list(generate(target, [], Method.parse("ar"), request)[0][0])


@pytest.mark.parametrize("room", [4, 1])
def test_as_many_pictures_at_once_as_there_is_room_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    """Pieces, and the images in them, are those of a larger card."""
    alone, sizes, lines = drawn(0, tmp_path / "one", 6), list[int](), list[str]()

    def cramped(target: Target, drafts: object, method: Method, request: Request, on_step: object) -> object:
        sizes.append(len(request.prompts))
        if sizes[-1] > room:
            raise torch.OutOfMemoryError("no room")
        return generate(target, [], method, request)

    monkeypatch.setattr("spatialspec.drafts.distil.generate", cramped)
    assert torch.equal(self_distil(common_target(), PROMPTS, tmp_path / "two", 6, 3, lines.append), alone)
    assert sorted(os.listdir(tmp_path / "two")) == sorted(os.listdir(tmp_path / "one"))
    assert sizes == {4: [6, 3, 3, 1], 1: [6, 3, 1, 1, 1, 1, 1, 1, 1]}[room], "what failed once was tried again"
    assert "not enough memory for 6 images at once, continuing with 3" in lines


@pytest.mark.parametrize("together", [True, False])
def test_no_room_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, together: bool) -> None:
    """One image is too many; or halving would part the processes that draw together."""
    sizes = list[int]()

    def full(target: Target, drafts: object, method: Method, request: Request, on_step: object) -> object:
        sizes.append(len(request.prompts))
        raise torch.OutOfMemoryError("no room")

    monkeypatch.setattr("spatialspec.drafts.distil.generate", full)
    with pytest.raises(torch.OutOfMemoryError):
        self_distil(common_target(), PROMPTS, tmp_path, 4, 3, lambda line: None, together)
    assert sizes == ([4] if together else [4, 2, 1]) and not list(tmp_path.glob("*.safetensors"))


def stopped(say, folder: Path) -> None:
    """Draw, and be killed while the second piece is written."""
    replace, written = os.replace, []

    def stopping(*paths: object) -> None:
        written.append(paths)
        if len(written) == 2:
            os.kill(os.getpid(), 9)
        replace(*paths)

    os.replace = stopping
    drawn(0, folder, 3)


def test_drawing_goes_on_where_it_was_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    process, _ = start(stopped, tmp_path)
    process.join(60)
    assert process.exitcode == -9
    (kept,) = [tmp_path / name for name in os.listdir(tmp_path) if name.endswith(".safetensors")]
    made = []
    monkeypatch.setattr("spatialspec.drafts.distil.generate", lambda *a: made.append(a) or generate(*a))
    before = kept.stat().st_mtime_ns
    tokens = drawn(0, tmp_path, 3)
    assert len(made) == 2 and kept.stat().st_mtime_ns == before, "a finished piece was drawn again"
    kept.write_bytes(kept.read_bytes()[:-5])
    assert torch.equal(drawn(0, tmp_path, 3), tokens) and len(made) == 3, "a damaged piece was not drawn again"


def test_another_target_shares_no_state_and_no_pictures(tmp_path: Path) -> None:
    one, other = common_target(), tiny_target(seed=1)
    lessons = [heads("hawk", target=target) for target in (one, other)] + [
        heads("hawk", seed=1),
        heads("hawk", batch=2),
    ]
    folders = {state_folder(tmp_path, lesson.target.fingerprint, lesson) for lesson in lessons}
    assert len(folders) == 4 and state_folder(tmp_path, one.fingerprint, heads("hawk")) in folders
    for target in (one, other):
        self_distil(target, PROMPTS[:2], tmp_path / "pictures", report=lambda line: None)
    assert len(os.listdir(tmp_path / "pictures")) == 2


def test_states_carry_the_names_of_the_first_version() -> None:
    """The name of a state's folder is a hash of these facts: under other names no state of 0.1.0 would resume."""
    facts = [facts_of(task) for task in (heads("hawk"), heads("ssd"), spatial())]
    assert [f["lesson"].split()[0] for f in facts] == ["HawkLesson", "SSDLesson", "SpatialModelLesson"]
    assert all({"steps", "batch", "objective", "drop", "seed"} <= f.keys() for f in facts)
