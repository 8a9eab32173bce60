"""Hydra and EAGLE: every q is that of its path, under the settings of the training too; what they refuse."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from helpers.lessons import common_target, heads
from helpers.sequential import Naive, drafted
from helpers.toys import ToyTarget, noise_of, run
from spatialspec.core.context import DecodeContext
from spatialspec.core.errors import BadInput
from spatialspec.core.sampling import Sampling
from spatialspec.core.state import State
from spatialspec.decode import Image
from spatialspec.drafts.eagle import EagleRecipe
from spatialspec.drafts.registry import kinds
from spatialspec.methods import trees
from spatialspec.methods.eagle import EagleConfig
from spatialspec.methods.hydra import Hydra, HydraConfig, HydraHeads
from spatialspec.methods.method import Method

SAMPLING = Sampling(guidance=2.0, temperature=0.9)


def image(method: str, rule: str, layout: str, own: int = 0) -> Image:
    """An image with a drafter that is checked in every pass; `own` vertical heads of Hydra."""
    target = ToyTarget.random(layout, 4, 6)
    noise = noise_of(target, 1)
    drafts = [target.drafts(kind, 2) for kind in ("hawk", "eagle")]
    hydra = HydraHeads(HydraConfig(target.width, 3, own))
    draw = torch.Generator().manual_seed(3)
    for weight in hydra.parameters():
        weight.data = 0.3 * torch.randn(weight.shape, generator=draw)
    context = DecodeContext(target, [*drafts, hydra.requires_grad_(False)], SAMPLING, target.grid, noise)
    drafter, verifier = Method.parse(method).make(context, rule)
    assert isinstance(drafter, Hydra)
    return Image(State(target.grid), Naive(drafter), verifier, SAMPLING)


CASES = [
    ("hydra:vertical=2:horizontal=3:depth=3", 0),
    ("hydra:vertical=2:horizontal_samples=1", 2),
    ("hydra:slots=9:horizontal=2", 0),
    ("eagle:vertical=1:horizontal=3:depth=3", 0),
    ("eagle:slots=12:vertical=2", 0),
]


@pytest.mark.parametrize("layout", ["4x5", "2x3+3x4"])
@pytest.mark.parametrize("rule", ["coupled", "rejection"])
@pytest.mark.parametrize(("method", "own"), CASES)
def test_every_q_is_that_of_its_path(method: str, own: int, rule: str, layout: str) -> None:
    """Against ones that read the whole path again for every node; row 0, row ends and borders of grids included."""
    one = image(method, rule, layout, own)
    run(ToyTarget.random(layout, 4, 6), [one])
    assert one.state.complete and isinstance(one.drafter, Naive)
    assert {0, 1} <= one.drafter.levels
    assert one.drafter.origins == ({"horizontal", "vertical"} if "vertical" in method else {"horizontal"})


@pytest.mark.parametrize("method", ["hydra", "eagle"])
def test_a_node_with_the_history_of_another_is_seen(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = trees.grown

    def grown(shape: trees.Shape, plan: Any, expand: trees.Expand, *rest: Any) -> Any:
        return honest(shape, plan, lambda ahead, up, tokens: expand(ahead, [0] * len(up), tokens), *rest)

    monkeypatch.setattr(trees, "grown", grown)
    with pytest.raises(AssertionError):
        run(ToyTarget.random("4x5", 4, 6), [image(f"{method}:horizontal=3:depth=3", "rejection", "4x5")])


@pytest.mark.parametrize(("drafter", "sizes"), [("hydra", {"vertical": 2}), ("eagle", {"vertical": 0})])
def test_what_is_trained_is_what_is_drafted(drafter: str, sizes: dict[str, int]) -> None:
    """The guesses of a step of the training, from some cells, with the image's tokens as drafted ones."""
    task, target = heads(drafter, horizontal=3, **sizes), common_target()
    drafts: Any = task.build()
    for weight in drafts.parameters():
        torch.nn.init.normal_(weight, std=0.1, generator=torch.Generator().manual_seed(weight.numel()))
    batch = task.batch(torch.tensor([0, 3]), torch.ones(2))
    states = target.norm(batch.hidden)
    seen = set()
    with torch.no_grad():
        for name, _, offset, guess in task.guesses(drafts, batch.hidden, batch.codes):
            assert guess.shape == (2, 36 - offset, target.width)
            for cell in (0, 5, 36 - offset - 1):
                tokens = batch.codes[1, : cell + offset].tolist()
                if name.startswith("right"):
                    expected = drafted(drafts, target, states[1:, : cell + 1], tokens, 6)
                else:
                    left = target.embed(batch.codes[1, cell + offset - 1 :][:1])
                    expected = drafts(True, offset // 6 - 1, states[1, cell], left)[None]
                torch.testing.assert_close(guess[1, cell], expected[0], atol=1e-5, rtol=0)
            seen.add(name)
    assert seen == {"right 1", "right 2", "right 3"} | ({"down 1", "down 2"} if drafter == "hydra" else set())


@pytest.mark.parametrize("kind", ["hydra", "eagle"])
def test_untrained_ones_draft_the_token_before_again(kind: str) -> None:
    """They begin as the identity, as Hawk's heads do: q of every cell ahead is p of the last one."""
    network = kinds()[kind].network()
    drafts: Any = network(network.config_type(8))
    states = torch.randn(2, 3, 8, generator=torch.Generator().manual_seed(0))
    target = ToyTarget.random("2x2", 4, 6)
    for tokens in ([0, 1, 2], [0, 1, 2, 3], [0, 1, 2, 3, 3]):
        assert torch.equal(drafted(drafts, target, states, tokens, 2), states[:, -1])


def test_refusals() -> None:
    target = ToyTarget.random("3x2", 4, 6)
    few, hawk = target.drafts("hydra", 0, 2), target.drafts("hawk", 0, 1)
    context = DecodeContext(target, [few, hawk, target.drafts("eagle", 0)], SAMPLING, target.grid, noise_of(target))
    with pytest.raises(BadInput, match="got horizontal=3, vertical=0, expected at most the 2 and 2 heads"):
        Method.parse("hydra:horizontal=3").make(context, "coupled")
    with pytest.raises(BadInput, match="got horizontal=2, vertical=3, expected at most the 2 and 2 heads"):
        Method.parse("hydra:horizontal=2:vertical=3").make(context, "coupled")
    with pytest.raises(BadInput, match="got horizontal=0, vertical=2, expected at most the 1 and 1 heads"):
        Method.parse("eagle:vertical=2").make(context, "coupled")
    with pytest.raises(BadInput, match="got no eagle draft weights"):
        Method.parse("eagle").make(DecodeContext(target, [], SAMPLING, target.grid, noise_of(target)), "coupled")
    with pytest.raises(BadInput, match="got vertical 1 for eagle, expected 0"):
        EagleRecipe(vertical=1)
    with pytest.raises(BadInput, match="got expansion 9, expected 1 to 8"):
        EagleConfig(8, expansion=9)
