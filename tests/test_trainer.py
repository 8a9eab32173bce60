"""The trainer: same parameters on any number of processes, after any interruption; the best checkpoint; errors."""

import os
import resource
import signal
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from lessons import Line, equal, heads, run
from processes import heard, ranks, result, start
from spatialspec.training.distil import self_distil
from spatialspec.training.lesson import Recipe
from spatialspec.training.teacher import shard
from tiny import tiny_target

RECIPE = Recipe(steps=9, batch=4, warmup=2, evaluate_every=3, save_every=2)


def on_a_rank(rank: int, folder: Path) -> dict[str, dict[str, torch.Tensor]]:
    weights = {"line": run(Line(RECIPE), folder / "line")[0]}
    for drafter in ("hawk", "ssd"):
        weights[drafter] = run(heads(drafter), folder / drafter)[0]
    with pytest.raises(ValueError, match="got batch 3 for 2 processes"):
        run(Line(Recipe(batch=3)), folder / "odd")
    target = tiny_target()
    shard(target, torch.device("cpu"))
    blocks = list(target.model.blocks.parameters())
    assert sum(p.to_local().numel() for p in blocks) * 2 == sum(p.numel() for p in blocks), "each rank holds half"
    weights["drawn"] = {"": self_distil(target, ["a cat"], folder / "drawn", report=lambda line: None, together=True)}
    weights["sharded"] = run(heads("hawk", target=target), folder / "sharded")[0]
    return weights


def test_two_ranks_give_what_one_process_gives(tmp_path: Path) -> None:
    alone = {"line": run(Line(RECIPE), tmp_path / "line")[0]}
    alone |= {drafter: run(heads(drafter), tmp_path / drafter)[0] for drafter in ("hawk", "ssd")}
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
    assert (f"goes on from step {finished}/9" in lines) == (finished > 0)


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


def test_an_empty_data_set_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="got an empty data set, expected something to train drafts on"):
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
