"""Reduced draft vocabulary: which tokens, their law, that it stays exact, what is learned, when it pays."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from helpers.lessons import common_target, corpus, run
from helpers.paths import ROOT
from helpers.toys import NoiseTable, TableNoise, ToyTarget, Trial, codes
from spatialspec.audit.chi_square import fit
from spatialspec.audit.grid_toy import GridToy
from spatialspec.core.context import DecodeContext
from spatialspec.core.noise import Noise
from spatialspec.core.sampling import Sampling
from spatialspec.drafts import spatial_model as lessons_file
from spatialspec.drafts import weights
from spatialspec.drafts.corpus import Corpus
from spatialspec.drafts.features import Streamed
from spatialspec.drafts.spatial_model import SpatialModelRecipe, SpatialModelTask
from spatialspec.methods.coupled import Coupled
from spatialspec.methods.spatial_model.config import SpatialModelConfig
from spatialspec.methods.spatial_model.drafter import SpatialModel, SpatialModelOptions
from spatialspec.methods.spatial_model.network import SpatialNetwork
from spatialspec.methods.spatial_model.vocabulary import NOT_COVERED, DraftVocabulary
from spatialspec.targets.session import TargetSession

SAMPLING = Sampling(guidance=2.0, temperature=0.8, top_k=3)
PAGE = ROOT / "docs" / "papers" / "spatial-model.md"


class OneMatrixToy(ToyTarget):
    """A table whose output layer can be taken in part."""

    @property
    def output_rows(self) -> Tensor:
        return self.weight


def network(width: int, tokens: list[int]) -> SpatialNetwork:
    torch.manual_seed(2)
    made = SpatialNetwork(SpatialModelConfig(width, rows=1, vocabulary=len(tokens))).requires_grad_(False)
    for weight in made.parameters():
        nn.init.normal_(weight, std=0.5)
    assert made.vocabulary.tokens is not None
    made.vocabulary.tokens.copy_(torch.tensor(tokens))
    return made


def test_the_most_frequent_tokens_in_ascending_order() -> None:
    pictures = torch.tensor([[5, 5, 5, 1, 0, 0], [7, 7, 3, 3, 3, 2]], dtype=torch.int32)
    for size, expected in ((1, [3]), (2, [3, 5]), (3, [0, 3, 5]), (5, [0, 1, 3, 5, 7]), (9, list(range(9)))):
        tokens = DraftVocabulary.most_frequent(size, pictures).tokens
        assert tokens is not None and tokens.tolist() == expected, "of equally frequent ones the smaller"
    assert DraftVocabulary.most_frequent(0, pictures).tokens is None


def test_the_law_is_that_of_the_covered_tokens_and_nothing_elsewhere() -> None:
    toy = GridToy.random("3x4", 6, 0)
    vocabulary, states = network(toy.width, [1, 2, 5]).vocabulary, torch.randn(2, 7, toy.width)
    q = vocabulary.distributions(toy, SAMPLING, states)
    expected = SAMPLING.distribution(toy.output(toy.norm(states))[..., [1, 2, 5]])
    assert torch.allclose(q[:, [1, 2, 5]], expected) and not q[:, [0, 3, 4]].any() and q.shape == (7, 6)
    assert vocabulary.positions(torch.tensor([[5, 0], [1, 4]]), toy).tolist() == [[2, NOT_COVERED], [0, NOT_COVERED]]
    every = DraftVocabulary(0)
    assert torch.equal(every.distributions(toy, SAMPLING, states), SAMPLING.distribution(toy.output(toy.norm(states))))


def test_the_targets_rows_are_taken_once(monkeypatch: pytest.MonkeyPatch) -> None:
    toy, made, taken = GridToy.random("3x4", 6, 0), network(16, [0, 1, 2, 5]), []
    table = toy.output_rows
    monkeypatch.setattr(GridToy, "output_rows", property(lambda self: taken.append(1) or table))
    monkeypatch.setattr(Trial, "drafts", [made])
    passes, whole, score, output = [], [], TargetSession.score, GridToy.output
    monkeypatch.setattr(TargetSession, "score", lambda *a: passes.append(1) or score(*a))
    monkeypatch.setattr(GridToy, "output", lambda *a: whole.append(1) or output(*a))
    Trial("spatial-model", "coupled", SAMPLING, toy).tokens([Noise(seed, 12, 6) for seed in range(4)])
    assert len(whole) == len(passes), "the whole output layer is the target's own business"
    assert len(taken) <= 4 and made.vocabulary._rows is not None and len(made.vocabulary._rows) == 4
    before = len(taken)
    Trial("spatial-model", "coupled", SAMPLING, toy).tokens([Noise(seed, 12, 6) for seed in range(4)])
    assert len(taken) == before and "_rows" not in "".join(made.state_dict())


@pytest.mark.parametrize("method", ["spatial-model:samples=3", "spatial:start=spatial-model"])
@pytest.mark.parametrize("sampling", [SAMPLING, Sampling(temperature=0.0)])
def test_seed_identity(method: str, sampling: Sampling, monkeypatch: pytest.MonkeyPatch) -> None:
    """AR's tokens, also where fewer tokens are covered than candidates are asked for."""
    toy, noises = GridToy.random("3x4", 6, 0), [Noise(seed, 12, 6) for seed in range(6)]
    ar = Trial("ar", "coupled", sampling, toy).tokens(noises)
    for tokens in ([1, 2, 5], [4]):
        monkeypatch.setattr(Trial, "drafts", [network(toy.width, tokens)])
        assert (Trial(method, "coupled", sampling, toy).tokens(noises) == ar).all()


@pytest.mark.law
def test_law_under_rejection(monkeypatch: pytest.MonkeyPatch) -> None:
    """One chi-square test at the level 1e-9: a token that is never drafted comes as often as it should."""
    made = ToyTarget.random("2x2", 3, 1, deviation=0.2)
    target, sampling = OneMatrixToy(**vars(made)), Sampling(temperature=1.5)
    monkeypatch.setattr(Trial, "drafts", [network(target.width, [0, 2])])
    numbers = NoiseTable(300, 4, 3)
    noises = [TableNoise(seed, numbers) for seed in range(300)]
    images, law = Trial("spatial-model:samples=2", "rejection", sampling, target).tokens(noises), target.joint(sampling)
    assert fit(np.bincount(codes(images, 3), minlength=len(law)), law).p > 1e-9


def test_saved_and_loaded(tmp_path: Path) -> None:
    target, tokens = common_target(), [0, 9, 33, 63]
    weights.save(network(target.width, tokens), tmp_path, target.fingerprint, target.name)
    loaded: Any = weights.load(tmp_path, target)
    assert loaded.vocabulary.tokens.tolist() == tokens and loaded.config.vocabulary == 4


@pytest.mark.parametrize(
    ("target", "size", "expected"),
    [
        (ToyTarget.random("3x2", 4, 1), 2, "got vocabulary 2 for a target whose output layer is not one matrix"),
        (GridToy.random("3x2", 4, 1), 5, "got vocabulary 5, expected at most the 4 image tokens"),
    ],
)
def test_what_a_target_cannot_give(target: Any, size: int, expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        SpatialModelRecipe(vocabulary=size).config(target)
    context = DecodeContext(
        target,
        [SpatialNetwork(SpatialModelConfig(target.width, vocabulary=size))],
        SAMPLING,
        target.grid,
        Noise(0, 6, 4),
    )
    with pytest.raises(ValueError, match=expected):
        SpatialModel(context, SpatialModelOptions(), Coupled(Noise(0, 6, 4)))


def lesson(pictures: Corpus, **settings: Any) -> SpatialModelTask:
    recipe = SpatialModelRecipe(**{"steps": 4, "batch": 3, "warmup": 1, "window": 9, "frontiers": 3} | settings)
    features = Streamed(common_target(), pictures, SpatialModelTask.layers(common_target(), recipe))
    return SpatialModelTask(common_target(), pictures, corpus(2, seed=2), features, recipe)


@pytest.mark.parametrize("objective", ["cross-entropy", "kl", "total-variation", "features"])
def test_cells_that_are_not_covered_are_left_out(objective: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guesses that are the target's states: no distance from the law of the covered tokens, and its cross-entropy."""
    made = lesson(corpus(6), vocabulary=20, features=2, objective=objective)
    batch = made.batch(torch.arange(3), torch.tensor([0.9, 0.05, 0.3]).double())
    last, picture = batch.hidden[..., 32:], torch.arange(3)[:, None]
    monkeypatch.setattr(lessons_file, "guesses", lambda *a: last[picture, a[-1].cells].float())
    loss, tokens = made.loss(made.build(), batch).item(), made.vocabulary.tokens.tolist()
    if objective != "cross-entropy":
        assert loss == pytest.approx(0, abs=1e-5)
        return
    parts = []
    for i in range(3):
        cells = [c for c in batch.windows.cells[i].tolist() if c != -1 and int(batch.codes[i, c]) in tokens]
        log_q = made.target.output(made.target.norm(last[i, cells]))[:, tokens].log_softmax(-1)
        where = [tokens.index(int(batch.codes[i, c])) for c in cells]
        parts.append(-log_q[range(len(cells)), where].mean().item())
        assert 0 < len(cells) < int(batch.windows.inside[i].sum())
    assert loss == pytest.approx(sum(parts) / 3, rel=1e-5)


def test_it_learns_also_where_no_cell_of_a_picture_is_covered(tmp_path: Path) -> None:
    pictures = corpus(6)
    pictures.codes[0], pictures.codes[1:] = 7, pictures.codes[1:] % 4 + 9
    made = lesson(pictures, vocabulary=4, peak_rate=1e-2)
    drafts = made.build()
    made.loss(drafts, made.batch(torch.tensor([0]), torch.tensor([0.5]).double())).backward()
    assert not any(p.grad is not None and p.grad.any() for p in drafts.parameters())
    trained, best = run(made, tmp_path)
    assert trained["vocabulary.tokens"].tolist() == [9, 10, 11, 12] and best.figures["window"] > 0
    drafts.load_state_dict(trained)
    assert 0 < made.figures(drafts, best.figures)["share of cells whose token is covered"] < 0.3


@dataclass(frozen=True)
class Sizes:
    """Of a target, as its page or its paper has them."""

    width: int
    vocabulary: int
    columns: int


TARGETS = {
    "`icons`": Sizes(256, 1024, 24),
    "LlamaGen-B": Sizes(768, 16384, 24),
    "LlamaGen-XXL": Sizes(1536, 16384, 24),
    "Lumina-mGPT 7B": Sizes(4096, 8192, 48),
    "Emu3 8B": Sizes(4096, 32768, 90),
}


def multiply_adds(sizes: Sizes, covered: int) -> int:
    """Of a pass of the draft model: 8 cells read, 32 guessed, both streams; nothing is computed."""
    config = SpatialModelConfig(sizes.width)
    with torch.device("meta"), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counted:
        made, output = SpatialNetwork(config).requires_grad_(False), torch.randn(covered, sizes.width)
        known = config.memory(sizes.columns, sizes.columns**2)
        slots = torch.randn(config.layers, 2, 2, config.heads, known, sizes.width // config.heads)
        hidden, mask = torch.randn(2, 8, sizes.width), torch.ones(1, 1, 32, known + 32, dtype=torch.bool)
        made.read(hidden, hidden, config.rotation(torch.arange(8), sizes.columns))
        made(slots, config.rotation(torch.arange(32), sizes.columns), mask) @ output.T
    return counted.get_total_flops() // 2


@pytest.mark.parametrize("name", TARGETS)
def test_the_page_says_when_it_pays(name: str) -> None:
    """The output layer's share of a pass, and what a quarter of the vocabulary saves of it."""
    sizes = TARGETS[name]
    none, quarter, every = (multiply_adds(sizes, v) for v in (0, sizes.vocabulary // 4, sizes.vocabulary))
    said = re.search(rf"^\| {re.escape(name)} \|(.*)\|$", PAGE.read_text(), re.MULTILINE)
    assert said is not None
    share, saved = (every - none) / every, (every - quarter) / every
    assert [cell.strip() for cell in said[1].split("|")] == [
        str(sizes.width), str(sizes.vocabulary), f"{share:.0%}", f"{saved:.0%}"
    ]  # fmt: skip
