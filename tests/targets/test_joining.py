"""Images that join a session between two passes, and images that leave it before they are finished."""

from __future__ import annotations

import pytest

from helpers.real_targets import MAKES, random_drafts
from spatialspec import BadInput, Grid
from spatialspec.core.interfaces import Target
from spatialspec.decode import Image, decode, one_pass
from spatialspec.generation import assemble
from spatialspec.methods.method import Method
from spatialspec.request import Request
from spatialspec.targets.loading import load_target

METHODS = ("spatial", "ar", "hawk", "jacobi:length=6", "zipar:window=2")


Kind = tuple[Target, list[object], Grid, tuple[str, str]]


@pytest.fixture(scope="module", params=MAKES)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Kind:
    kind = MAKES[request.param]
    target = load_target(kind.make(tmp_path_factory.mktemp("joining") / request.param))
    grid = target.grid if kind.size is None else Grid.parse(kind.size)
    return target, list(random_drafts(target)), grid, kind.prompts


def test_images_join_and_leave(made: Kind) -> None:
    """Every image has the tokens that it has alone; one that is dropped midway leaves the others as they are."""
    target, drafts, grid, words = made
    prompts = [words[i % 2] for i in range(len(METHODS))]
    requests = Request.of(prompts, target.default, grid, seed=5).each()

    def begin(i: int) -> Image:
        (image,) = assemble(target, drafts, Method.parse(METHODS[i]), requests[i])
        return image

    alone = []
    for i in range(len(METHODS)):
        image = begin(i)
        for _ in decode(requests[i].session(target), [image]):
            pass
        alone.append(image.state.tokens)
    waiting, session = list(range(1, len(METHODS))), requests[0].session(target)
    images, numbers = [begin(0)], [0]
    passes, finished = 0, {}
    while images:
        for _ in one_pass(session, dict(enumerate(images))):
            pass
        passes += 1
        done = [i for i, image in enumerate(images) if image.state.complete]
        cancelled = [i for i, n in enumerate(numbers) if n == 3 and passes == 9]  # in the middle of its image
        finished |= {numbers[i]: images[i].state.tokens for i in done}
        left = [i for i in range(len(images)) if i not in {*done, *cancelled}]
        session.drop([*done, *cancelled])
        images, numbers = [images[i] for i in left], [numbers[i] for i in left]
        if waiting and images and passes % 2 == 0:
            number = waiting.pop(0)
            session.admit(requests[number].session(target))
            images.append(begin(number))
            numbers.append(number)
    assert not waiting, "all have joined while others were drawn"
    assert {n: alone[n] for n in finished} == finished and len(finished) >= len(METHODS) - 1


def test_another_layout_is_refused(made: Kind) -> None:
    target, _, grid, words = made
    session = Request.of([words[0]], target.default, grid).session(target)
    other = Request.of([words[0]], target.default, grid).session(target)
    other.layout = Grid(1, 1)  # type: ignore[attr-defined]
    with pytest.raises(BadInput, match=r"expected .*, as the others have: start another session"):
        session.admit(other)
