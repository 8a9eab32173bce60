"""The trainer: same parameters on any number of processes, after any interruption; the best checkpoint; errors."""

import itertools
import math
import os
import resource
import signal
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator, PartialState
from safetensors.torch import load_file
from torch import nn
from torch.distributed.tensor import DTensor

from helpers.lessons import Line, equal, heads, run, spatial
from helpers.processes import heard, ranks, result, start
from helpers.tiny import tiny_target
from helpers.tiny_checkpoints import tiny_janus
from spatialspec.drafts.distil import self_distil
from spatialspec.drafts.progress import TrainingProgress
from spatialspec.drafts.recipes import Recipe
from spatialspec.drafts.teacher import shard
from spatialspec.drafts.trainer import train
from spatialspec.io.identity import identity
from spatialspec.targets.loading import load_target

HEADS: dict[str, dict[str, int]] = {"hawk": {}, "ssd": {}, "hydra": {"horizontal": 2}, "eagle": {"vertical": 0}}
RECIPE = Recipe(steps=9, batch=4, warmup=2, evaluate_every=3, save_every=2)


def on_a_rank(rank: int, folder: Path) -> dict[str, dict[str, torch.Tensor]]:
    weights = {"line": run(Line(RECIPE), folder / "line")[0]}
    for drafter, sizes in HEADS.items():
        weights[drafter] = run(heads(drafter, **sizes), folder / drafter)[0]
    weights["spatial-model"] = run(spatial(), folder / "spatial-model")[0]
    with pytest.raises(ValueError, match="got batch 3 for 2 processes"):
        run(Line(Recipe(batch=3)), folder / "odd")
    target = tiny_target()
    shard(target, torch.device("cpu"))
    blocks = list(target.model.blocks.parameters())
    assert sum(p.to_local().numel() for p in blocks) * 2 == sum(p.numel() for p in blocks), "each rank holds half"
    weights["drawn"] = {"": self_distil(target, ["a cat"], folder / "drawn", report=lambda line: None, together=True)}
    weights["sharded"] = run(heads("hawk", target=target), folder / "sharded")[0]
    return weights


def sharded_janus(rank: int, folder: Path, model: Path) -> tuple[str, str, dict[str, torch.Tensor]]:
    PartialState(cpu=True)
    target = load_target(model)
    whole = identity(target)
    shard(target, torch.device("cpu"))
    blocks = list(target.parts.language_model.layers.parameters())
    assert all(isinstance(p, DTensor) for p in blocks), "a block is whole"
    assert sum(p.to_local().numel() for p in blocks) * 2 == sum(p.numel() for p in blocks), "each rank holds half"
    assert not any(isinstance(p, DTensor) for p in target.parts.generation_head.parameters())
    split = identity(target)
    drawn = self_distil(target, ["a cat"], folder / "drawn", report=lambda line: None, together=True)
    return whole, split, {"drawn": drawn} | run(heads("hawk", target=target), folder / "hawk")[0]


def test_a_language_model_over_two_ranks_gives_what_one_process_gives(tmp_path: Path) -> None:
    model = tiny_janus(tmp_path / "model", side=6)
    target = load_target(model)
    alone = run(heads("hawk", target=target), tmp_path / "hawk")[0]
    alone["drawn"] = self_distil(target, ["a cat"], tmp_path / "drawn", report=lambda line: None)
    for whole, split, found in ranks(2, sharded_janus, tmp_path / "two", model):
        assert whole == split == identity(target), "work that is kept is not found again"
        assert torch.equal(found["drawn"], alone["drawn"])
        for key in ("horizontal", "vertical"):
            assert alone[key].abs().max() > 1e-3, "nothing was learned: the test would see nothing"
            torch.testing.assert_close(found[key], alone[key], rtol=0, atol=1e-5, msg=key)


def test_two_ranks_give_what_one_process_gives(tmp_path: Path) -> None:
    alone = {"line": run(Line(RECIPE), tmp_path / "line")[0]}
    alone |= {drafter: run(heads(drafter, **sizes), tmp_path / drafter)[0] for drafter, sizes in HEADS.items()}
    alone["spatial-model"] = run(spatial(), tmp_path / "spatial-model")[0]
    alone["sharded"] = alone["hawk"]
    alone["drawn"] = {"": self_distil(tiny_target(), ["a cat"], tmp_path / "drawn", report=lambda line: None)}
    first, second = ranks(2, on_a_rank, tmp_path / "two")
    for name, expected in alone.items():
        assert equal(first[name], second[name]), name
        for key, tensor in expected.items():
            assert tensor.abs().max() > 1e-3, "nothing was learned: the test would see nothing"
            torch.testing.assert_close(first[name][key], tensor, rtol=0, atol=1e-5, msg=f"{name} {key}")


def slowly(say, folder: Path, moment: str) -> None:
    """Train, and stop for ever at a moment: a step's report, or the middle of writing the n-th state."""
    replace, written = os.replace, []

    def reached(now: str) -> None:
        if now == moment:
            say(("reached", now))
            signal.pause()

    def stopping(*paths: object) -> None:
        written.append(paths)
        reached(f"write {len(written)}")
        replace(*paths)

    os.replace = stopping
    lesson = Line(RECIPE, spoil=lambda step: reached(f"step {step}") or 1.0)
    run(lesson, folder)


@pytest.mark.parametrize("moment", ["step 1", "step 2", "step 6", "write 1", "write 3", "write 5"])
def test_killed_at_any_moment_it_goes_on_to_the_same_parameters(tmp_path: Path, moment: str) -> None:
    expected, best = run(Line(RECIPE), tmp_path / "whole")
    process, pipe = start(slowly, tmp_path / "killed", moment)
    assert heard(pipe) == ("reached", moment)
    os.kill(process.pid, signal.SIGKILL)
    process.join(30)
    lines: list[str] = []
    lesson = Line(RECIPE)
    weights, again = run(lesson, tmp_path / "killed", lines.append)
    assert equal(weights, expected) and again.figures == best.figures and again.before == best.before
    number = int(moment.split()[1])
    finished = {"step": (number - 1) // 2 * 2, "write": 2 * (number - 1)}[moment.split()[0]]
    assert lesson.steps == RECIPE.steps - finished, "finished steps are not made again"
    assert (f"resuming at step {finished}/9" in lines) == (finished > 0)


def hawk_slowly(say, folder: Path) -> None:
    """Train heads, and stop for ever in the third step."""
    lesson, made = heads("hawk", save_every=1), []
    loss = lesson.loss

    def stopping(*batch: object) -> torch.Tensor:
        made.append(batch)
        if len(made) == 3:
            say("reached")
            signal.pause()
        return loss(*batch)

    lesson.loss = stopping
    run(lesson, folder)


def test_killed_heads_go_on_to_the_same_parameters(tmp_path: Path) -> None:
    expected, _ = run(heads("hawk", save_every=1), tmp_path / "whole")
    process, pipe = start(hawk_slowly, tmp_path / "killed")
    assert heard(pipe) == "reached"
    os.kill(process.pid, signal.SIGKILL)
    process.join(30)
    lines: list[str] = []
    assert equal(run(heads("hawk", save_every=1), tmp_path / "killed", lines.append)[0], expected)
    assert "resuming at step 2/4" in lines


def test_the_best_checkpoint_is_kept(tmp_path: Path) -> None:
    lesson = Line(RECIPE)
    lesson.scores = [4.0, 1.0, 3.0, 2.0]  # before, and after steps 3, 6, 9
    weights, best = run(lesson, tmp_path / "a")
    assert best.step == 6
    last = load_file(tmp_path / "a" / "state.safetensors")["drafts.weight"]
    assert not torch.equal(weights["weight"], last), "those of the last step"
    short = Line(RECIPE)
    short.scores = [4.0, 1.0, 3.0]
    again, _ = run(short, tmp_path / "b")
    assert equal(weights, again)
    finished = Line(RECIPE)  # nothing left to do: the best comes out of the state
    assert equal(run(finished, tmp_path / "a")[0], weights) and not finished.steps


def test_a_loss_that_is_no_number_stops_and_spoils_nothing(tmp_path: Path) -> None:
    expected, _ = run(Line(RECIPE), tmp_path / "whole")
    for bad in (float("nan"), float("inf")):
        lesson = Line(RECIPE, spoil=lambda step, bad=bad: bad if step == 6 else 1.0)
        with pytest.raises(ValueError, match=r"step 6: got a loss of (nan|inf), expected a number.*last good state"):
            run(lesson, tmp_path / str(bad))
        assert equal(run(Line(RECIPE), tmp_path / str(bad))[0], expected)


class Steep(Line):
    """Its loss is a number in every step, its gradient in the sixth is none."""

    def loss(self, drafts: nn.Module, batch: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        plain = super().loss(drafts, batch)
        return plain + (0 * drafts.weight.sum()).sqrt() if self.steps == 6 else plain


def test_a_gradient_that_is_no_number_stops_and_spoils_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"step 6: got a norm of the gradient of nan, expected a number"):
        run(Steep(RECIPE), tmp_path / "steep")
    assert equal(run(Line(RECIPE), tmp_path / "steep")[0], run(Line(RECIPE), tmp_path / "whole")[0])


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_held_out_score_that_is_no_number_stops_and_replaces_nothing(tmp_path: Path, bad: float) -> None:
    lesson = Line(RECIPE)
    lesson.scores = [0.0, 4.0, bad]
    with pytest.raises(ValueError, match=r"step 6: got a held-out score of (nan|inf), expected a number.*last good"):
        run(lesson, tmp_path)
    again = Line(RECIPE)
    again.scores = [3.0, 2.0]  # after steps 6 and 9
    assert run(again, tmp_path)[1].step == 3, "the best is the one before"


def test_the_seconds_of_earlier_runs_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = itertools.count(0.0, 10.0)  # every look at the clock takes ten seconds
    monkeypatch.setattr("spatialspec.drafts.progress.time.monotonic", lambda: next(clock))
    counted = []
    for spoil in (float("nan"), 1.0, 1.0):  # stopped in step 6, finished, nothing left to do
        progress = TrainingProgress(lambda line: None)
        lesson = Line(RECIPE, spoil=lambda step, spoil=spoil: spoil if step == 6 else 1.0)
        with pytest.raises(ValueError) if math.isnan(spoil) else nullcontext():
            train(lesson, tmp_path, Accelerator(cpu=True), progress)
        counted.append(progress.seconds)
    assert 10 < counted[0] < counted[1] <= counted[2], "a run has forgotten the time of those before it"


def test_an_empty_data_set_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="got an empty data set, expected at least one training image"):
        run(Line(RECIPE, examples=0), tmp_path)


def short_of_room(say, folder: Path, room: int) -> str:
    """Train with a limit on the size of files: what a full disk does to a write."""

    def fill_up(step: int) -> float:
        if step == 5:
            resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
        return 1.0

    lesson = Line(RECIPE, spoil=fill_up)
    with pytest.raises(OSError, match="could not be written") as found:
        run(lesson, folder)
    return str(found.value)


def test_a_full_disk_is_an_error_and_costs_no_finished_work(tmp_path: Path) -> None:
    expected, _ = run(Line(RECIPE), tmp_path / "whole")
    message = result(*start(short_of_room, tmp_path / "full", 100))
    assert "make room and run the same command again" in message
    assert os.listdir(tmp_path / "full") == ["state.safetensors"], "half a file was left"
    lesson = Line(RECIPE)
    assert equal(run(lesson, tmp_path / "full")[0], expected)
    assert lesson.steps == RECIPE.steps - 4
