"""Figures of the authors' own code on small random models: our targets have its ids, logits, tokens and pictures.

`published/figures/README.md` says whose code, which version and which call gave what. Tokens were drawn with our noise
in the place of their random numbers, so that they can be compared one by one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from helpers.covering import covering
from helpers.published_models import FIGURES, numbers, read_figures, write_model
from helpers.real_targets import random_drafts
from spatialspec.core.grid import Grid
from spatialspec.core.proposal import Proposal
from spatialspec.core.sampling import Sampling
from spatialspec.core.state import State
from spatialspec.generation import generate
from spatialspec.methods.method import Method
from spatialspec.request import Request
from spatialspec.targets.llamagen.text import clean_caption
from spatialspec.targets.loading import load_target

KINDS = sorted(path.stem for path in FIGURES.glob("*.json"))
NEAR = 3e-5  # of logits whose spread is about 1.5


@dataclass
class Case:
    """Images of one sampling and one size, and the tokens that the authors' code drew."""

    request: Request
    tokens: list[tuple[int, ...]]


class Family:
    """A model, loaded as any other, and its figures."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.kind, self.made = kind, read_figures(kind)
        self.target: Any = load_target(write_model(folder, self.made))
        self.drafts = random_drafts(self.target)

    @cached_property
    def batches(self) -> list[Case]:
        """All cases, those of one sampling and one size side by side."""
        groups: dict[tuple[Sampling, Grid], list[dict[str, Any]]] = {}
        for case in self.made["cases"]:
            groups.setdefault((Sampling(**case["sampling"]), Grid(*case["grid"])), []).append(case)
        return [
            Case(
                Request(
                    prompts=[case["prompt"] for case in cases],
                    seeds=[case["seed"] for case in cases],
                    sampling=sampling,
                    grid=grid,
                    negatives=[case["negative"] for case in cases],
                ),
                [tuple(case["tokens"]) for case in cases],
            )
            for (sampling, grid), cases in groups.items()
        ]

    def logits(self, number: int) -> Tensor:
        """Logits (streams, cells, V) before every cell of a case, of one pass over all its tokens."""
        case = self.made["cases"][number]
        grid, sampling = Grid(*case["grid"]), Sampling(**case["sampling"])
        session = self.target.session([case["prompt"]], [case["negative"]], sampling, grid)
        (scores,) = session.score([State(grid)], [Proposal.chain(0, case["tokens"][:-1])])
        logits: Tensor = scores.logits
        return logits


@pytest.fixture(scope="module", params=KINDS)
def family(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Family:
    torch.set_num_threads(1)
    return Family(request.param, tmp_path_factory.mktemp("published") / request.param)


def test_all_families_are_there() -> None:
    assert KINDS == ["anole", "emu3", "emu35", "janus", "llamagen-class", "llamagen-text", "lumina", "lumina2"]


@pytest.mark.parametrize(
    ("name", "shape", "first"),
    [
        ("a.norm.weight", [8], [0.621609091758728, 0.9718917012214661]),
        ("a.bias", [8], [0.20150314271450043, 0.14708566665649414]),
        ("a.weight", [4, 6], [-0.6738196015357971, 0.14845168590545654]),
        ("a.weight", [4, 6, 3, 3], [-0.10481639206409454, 0.02309248596429825]),
    ],
)
def test_the_recipe_makes_the_same_numbers_everywhere(name: str, shape: list[int], first: list[float]) -> None:
    """Those that the figures were made with, to the last bit."""
    assert numbers(name, shape).flatten()[:2].tolist() == first


def test_prompts_become_the_ids_of_the_authors(family: Family) -> None:
    """Conditional and unconditional stream, with words and signs and without, with a negative prompt and without."""
    compared = 0
    for case in family.made["cases"]:
        if "ids" in case:
            streams = Sampling(**case["sampling"]).streams
            ids = family.target.prompt_ids([case["prompt"]], [case["negative"]], streams, Grid(*case["grid"]))
            assert ids == case["ids"]
            compared += 1
    assert compared or family.kind.startswith("llamagen")  # which has no text tokenizer of its own


def test_the_default_is_the_sampling_of_the_authors(family: Family) -> None:
    assert family.target.default in [batch.request.sampling for batch in family.batches]


def test_logits(family: Family) -> None:
    """Of both streams, the first eight image tokens, at the first cells, behind a row's end and at the end."""
    drawn = {entry["case"]: family.logits(entry["case"]) for entry in family.made["logits"]}
    for entry in family.made["logits"]:
        theirs = torch.tensor(entry["values"])
        torch.testing.assert_close(drawn[entry["case"]][:, entry["cell"], :8], theirs, rtol=0, atol=NEAR)
    assert family.made["logits"]


@pytest.mark.parametrize(
    ("family", "method"), covering(KINDS, ["ar", "jacobi", "spatial", "hawk"]), indirect=["family"]
)
def test_tokens(family: Family, method: str) -> None:
    """One by one and with trees, several images in a batch: the tokens that the authors' loop drew."""
    for batch in family.batches:
        tokens, report = generate(family.target, family.drafts, Method.parse(method), batch.request)
        assert tokens == batch.tokens, batch.request.sampling
        assert report.seed_exact


def test_tokens_are_not_near_a_tie(family: Family) -> None:
    """Rounding decides none of them."""
    assert min(case["margin"] for case in family.made["cases"]) > 30 * NEAR
    assert all(len(set(case["tokens"])) > 5 for case in family.made["cases"])


def test_captions_are_cleaned_as_theirs() -> None:
    """Words and noise of the web: ligatures, wide letters, signs that show nothing, quotes, tags, addresses, files."""
    pairs = read_figures("llamagen-text")["cleaned"]
    assert len(pairs) > 100
    for caption, cleaned in pairs:
        assert clean_caption(caption) == cleaned, ascii(caption)


def test_pictures(family: Family) -> None:
    """To one of 256 shades: some round, others cut off."""
    for entry in family.made["pictures"]:
        case = family.made["cases"][entry["case"]]
        ours = np.asarray(family.target.pixels(case["tokens"], Grid(*case["grid"]))).astype(int)
        theirs = np.asarray(Image.open(FIGURES / entry["file"])).astype(int)
        assert ours.shape == theirs.shape and theirs.std() > 20
        assert abs(ours - theirs).max() <= 1


def test_pictures_become_the_codes_of_the_authors(family: Family) -> None:
    """By the encoder, where the small checkpoint has one: what drafts learn from real pictures with."""
    for entry in family.made.get("codes", []):
        pixels = torch.from_numpy(np.array(Image.open(FIGURES / entry["picture"])))[None]
        assert family.target.codes(pixels)[0].tolist() == entry["tokens"] and entry["margin"] > 1e-4
    assert ("codes" in family.made) == (family.kind in ("anole", "emu3", "janus"))
