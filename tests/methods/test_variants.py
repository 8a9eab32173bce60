"""Variants of methods: every one is audited and draws AR's tokens where it says so; what methods do at the start."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import zip_longest
from pathlib import Path

import numpy as np
import pytest

from helpers.tiny import tiny_pipeline
from helpers.toys import ToyTarget, Trial
from spatialspec.audit.cases import QUICK
from spatialspec.cli.audit import _drawn_by
from spatialspec.core.noise import Noise
from spatialspec.core.sampling import Sampling
from spatialspec.decode import decode
from spatialspec.methods.method import Method
from spatialspec.methods.registry import audited, methods

VARIANTS = [(name, given) for name, entry in methods().items() for given in entry.variants]
TOY = ToyTarget.random("3x2", 4, 1, deviation=0.7)
PICTURE = ToyTarget.random(QUICK.size, 4, 1, deviation=0.7)  # seed-exact methods are compared on one of this size, too

NOISES = [Noise(seed, PICTURE.grid.cells, 4) for seed in range(3)]


def drafted(method: str, target: ToyTarget, count: int = 8) -> Iterator[tuple[object, ...]]:
    """Every proposal of some images, as they are made."""
    trial = Trial(method, "coupled", Sampling(), target, count=5)
    images = [trial.image(Noise(seed, target.grid.cells, 4)) for seed in range(count)]
    for step in decode(target.session([""] * count, [""] * count, Sampling(), target.grid), images):
        yield step.image, *step.proposal.tokens, *step.proposal.parents


@cache
def drawn_by_ar() -> np.ndarray:
    return Trial("ar", "coupled", Sampling(), PICTURE).tokens(NOISES)


def test_all_are_audited_behind_their_method() -> None:
    everything = audited()
    assert len(everything) == len(set(everything)) == len(methods()) + len(VARIANTS)
    for name, given in VARIANTS:
        assert everything.index(name) < everything.index(f"{name}:{given}") and Method.parse(f"{name}:{given}").exact
    for asked in (
        "start=above",
        "form=gumbel",
        "width=",
        "front=0",
        "budget=",
        "start=hawk",
        "length=",
        "slots=",
        "runs=",
    ):
        assert any(asked in given for _, given in VARIANTS), asked


@pytest.mark.parametrize(("name", "given"), VARIANTS)
def test_every_word_of_a_variant_shows_where_it_is_audited(name: str, given: str) -> None:
    """A window over the whole toy, say, is drawn before there is a law above, and would never take one."""
    words, target = given.split(":"), TOY if methods()[name].rule == "rejection" else PICTURE
    for word in words:
        others = ":".join([name, *(other for other in words if other != word)])
        passes = zip_longest(drafted(f"{name}:{given}", target), drafted(others, target))
        assert any(ours != without for ours, without in passes), word


@pytest.mark.parametrize(
    "method",
    [f"{name}:{given}" for name, given in VARIANTS if methods()[name].seed_exact("coupled")]
    + [
        "jacobi:length=512",
        "spatial:budget=512:front=1",
        "spatial:budget=1",
        "spatial:start=hawk",
        "spatial:front=1:budget=24",
    ],
)
def test_seed_identity_on_a_picture_that_is_larger_than_windows(method: str) -> None:
    """AR's tokens, image by image."""
    assert (Trial(method, "coupled", Sampling(), PICTURE, count=5).tokens(NOISES) == drawn_by_ar()).all()


@pytest.mark.parametrize(("method", "first"), [("jacobi", 0), ("sjd", 5), ("gsd", 5), ("csd", 5), ("scd", 5)])
def test_drafts_of_the_first_pass(method: str, first: int) -> None:
    """Jacobi has nothing to copy and drafts nothing; other windows are full from the first pass on."""
    image = Trial(f"{method}:length=6", "coupled", Sampling(), TOY).image(Noise(0, TOY.grid.cells, 4))
    assert len(image.propose()) == first


def test_a_model_says_which_it_can_draw(tmp_path: Path) -> None:
    """Methods whose drafts the model lacks are tested on audit environments only."""
    pipeline = tiny_pipeline(tmp_path)
    missing = [method for method in map(Method.parse, audited()) if not _drawn_by(pipeline, method)]
    assert [str(method) for method in missing] == [
        "hydra", "hydra:slots=6:vertical=2", "eagle", "eagle:slots=6:vertical=2",
        "spatial:budget=3:start=spatial-model", "spatial:budget=3:guide=sibling:runs=2",
        "spatial:budget=3:guide=trained:runs=2", "spatial-model",
        "spatial-model:slots=6", "sibling", "sibling:length=3:runs=2", "sibling:slots=4",
    ]  # fmt: skip


def test_help_says_what_an_infinite_tolerance_keeps() -> None:
    help_text = type(Method.parse("jacobi").options).model_fields["tolerance"].description
    assert "inf accepts every guess but placeholders" in help_text
