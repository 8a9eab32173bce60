"""Siblings of tiny checkpoints: AR's tokens, images that join and leave, refusals, Python and command line."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from helpers import llamagen_tiny
from helpers.real_targets import MAKES
from helpers.tiny import call_main, tiny_folder, tiny_target
from helpers.tiny_checkpoints import tiny_emu3, tiny_janus
from spatialspec import BadInput, Grid, SpatialPipeline
from spatialspec.core.interfaces import Target
from spatialspec.decode import Image, decode, one_pass
from spatialspec.generation import assemble, generate
from spatialspec.methods.draft_model import DraftTarget
from spatialspec.methods.method import Method
from spatialspec.request import Request
from spatialspec.targets.loading import load_target

OTHERS = {  # the same kinds with other weights
    "icons": lambda folder: tiny_folder(folder, 1),
    "janus": lambda folder: tiny_janus(folder, 1),
    "emu3": lambda folder: tiny_emu3(folder, 1),
    "classes": lambda folder: llamagen_tiny.tiny_folder(folder, "class", 1),
}
METHODS = ("sibling:length=6", "spatial", "sibling:length=9:runs=3", "sibling:length=4:runs=2", "ar")


def share_codes(small: Target, large: Target) -> None:
    """Give a target the image tokenizer of another."""
    for index, (to, of) in enumerate(zip(small.networks, large.networks, strict=True)):
        for name, weight in to.state_dict().items():
            if index or "vq" in name:
                weight.copy_(of.state_dict()[name])
        vars(to).pop("codebook", None)  # computed once


Kind = tuple[Target, Target, Grid, tuple[str, str]]


@pytest.fixture(scope="module", params=OTHERS)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Kind:
    kind, folder = MAKES[request.param], tmp_path_factory.mktemp("siblings")
    target, small = load_target(kind.make(folder / "large")), load_target(OTHERS[request.param](folder / "small"))
    share_codes(small, target)
    grid = target.grid if kind.size is None else Grid.parse(kind.size)
    return target, small, grid, kind.prompts


@pytest.mark.parametrize("rule", ["coupled", "rejection"])
def test_images_join_and_leave(made: Kind, rule: str) -> None:
    """Every image has the tokens that it has alone, AR's under coupled noise; one is cancelled in the middle."""
    target, small, grid, words = made
    parts = [DraftTarget(small, target)]
    every = Request.of([words[i % 2] for i in range(len(METHODS))], target.default, grid, 5, 1, rule)
    requests = every.each()

    def begin(i: int, method: str) -> Image:
        (image,) = assemble(target, parts, Method.parse(method), requests[i])
        return image

    def alone(i: int, method: str) -> tuple[int, ...]:
        image = begin(i, method)
        for _ in decode(requests[i].session(target), [image]):
            pass
        return image.state.tokens

    expected = [alone(i, method) for i, method in enumerate(METHODS)]
    if rule == "coupled":
        assert expected == generate(target, parts, Method.parse("ar"), every)[0]
    session, images, numbers = requests[0].session(target), [begin(0, METHODS[0])], [0]
    waiting, passes, finished = list(range(1, len(METHODS))), 0, dict[int, tuple[int, ...]]()
    while images:
        for _ in one_pass(session, dict(enumerate(images))):
            pass
        passes += 1
        gone = [i for i, image in enumerate(images) if image.state.complete or (numbers[i] == 3 and passes == 6)]
        finished |= {numbers[i]: images[i].state.tokens for i in gone if images[i].state.complete}
        session.drop(gone)
        left = [i for i in range(len(images)) if i not in gone]
        images, numbers = [images[i] for i in left], [numbers[i] for i in left]
        if waiting and images:
            number = waiting.pop(0)
            session.admit(requests[number].session(target))
            images.append(begin(number, METHODS[number]))
            numbers.append(number)
    assert not waiting and len(finished) >= len(METHODS) - 1
    assert finished == {i: expected[i] for i in finished}


def test_an_image_goes_on_from_written_tokens(made: Kind) -> None:
    target, small, grid, words = made
    parts, method = [DraftTarget(small, target)], Method.parse("sibling:length=5")
    request = Request.of(list(words), target.default, grid, seed=2)
    whole, _ = generate(target, parts, method, request)
    again, report = generate(target, parts, method, replace(request, written=[whole[0][:5], whole[1]]))
    assert again == whole and [image.prompt for image in report.images] == [words[0]]
    assert report.images[0].draft_passes == report.images[0].passes - 1 == report.draft_passes


# Python and the command line


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """A model, a sibling, and a model with another codebook."""
    folder = tmp_path_factory.mktemp("pair")
    large, small = tiny_target(0), tiny_target(1)
    tiny_target(2, "stranger").save(folder / "stranger")
    share_codes(small, large)
    large.save(folder / "large")
    small.save(folder / "small")
    return folder / "large", folder / "small", folder / "stranger"


def test_in_python(folders: tuple[Path, Path, Path]) -> None:
    large, small, stranger = folders
    pipe = SpatialPipeline.from_pretrained(large, draft_model=small)
    pipe.set_progress_bar_config(disable=True)
    assert pipe.draft_model is not None and "draft model" in repr(pipe)
    out = pipe("a red apple", seed=1, method="sibling:runs=2", output_type="tokens")
    assert out.tokens == pipe("a red apple", seed=1, method="ar", output_type="tokens").tokens
    assert out.report.draft_passes == 2 * out.report.target_passes and out.report.draft_slots > 1
    assert 0 < out.report.draft_seconds <= out.report.stages["draft"]
    assert SpatialPipeline(**pipe.components).draft_model is pipe.draft_model
    moved = pipe.to(dtype="bf16")
    assert moved.draft_model.dtype == moved.dtype == torch.bfloat16
    with pytest.raises(
        BadInput, match="got the draft model stranger with another codebook, expected that of the target"
    ):
        SpatialPipeline.from_pretrained(large, draft_model=stranger)
    with pytest.raises(BadInput, match="got no draft model"):
        SpatialPipeline.from_pretrained(large)("a red apple", method="sibling")


def test_other_image_tokens() -> None:
    class Fewer:
        name, vocabulary, session, pixels = "fewer", 7, None, None

    other: Any = Fewer()
    with pytest.raises(BadInput, match="got the draft model fewer with 7 image tokens, expected"):
        SpatialPipeline(tiny_target(0), draft_model=other)


def test_on_the_command_line(
    folders: tuple[Path, Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    large, small, stranger = folders
    document, image = tmp_path / "bench.json", tmp_path / "apple.png"
    options = ["--model", large, "--limit", 1, "--methods", "ar,sibling:length=8", "--json", document]
    code, _, _ = call_main(capsys, "bench", *options, "--draft-model", small)
    assert code == 0
    bench = json.loads(document.read_text())
    ar, sibling = bench["methods"]
    assert sibling["same_tokens_as_ar"] == 1 and sibling["draft_passes"] == sibling["target_passes"]
    assert sibling["draft_seconds"] > 0 == ar["draft_passes"] == ar["draft_seconds"]
    assert bench["settings"]["draft_model"].startswith("tiny ") and bench["images"][1]["draft_passes"] > 0
    code, _, error = call_main(capsys, "bench", *options, "--draft-model", stranger)
    assert code == 2 and "another codebook" in error
    code, _, error = call_main(capsys, "bench", *options, "--draft-model", tmp_path / "nowhere")
    assert code == 2 and "nowhere" in error
    code, _, error = call_main(capsys, "bench", *options)
    assert code == 2 and "--draft-model" in error
    drawn = ["--model", large, "--out", image, "--method", "sibling", "--draft-model", small, "--seed", 3]
    assert call_main(capsys, "generate", "a red apple", *drawn)[0] == 0
    assert '"draft_model": "small"' in image.read_bytes().decode("latin-1")
