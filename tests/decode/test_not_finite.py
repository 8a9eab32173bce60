"""Numbers that are not finite never become an image: a refusal in the pass that meets them, with the cell to blame."""

from pathlib import Path

import pytest
import torch

from helpers.tiny import tiny_folder
from spatialspec.core.errors import BadInput, NotFinite
from spatialspec.core.noise import best, inverse_cdf
from spatialspec.core.sampling import Sampling
from spatialspec.methods.method import Method
from spatialspec.methods.registry import methods
from spatialspec.pipeline import SpatialPipeline

NAN, INF = float("nan"), float("inf")
SAMPLINGS = [Sampling(2.0), Sampling(2.0, temperature=0.0), Sampling(top_k=3), Sampling(2.0, top_p=0.9)]
METHODS = [name for name, entry in methods().items() if entry.drafts in ("", "hawk", "ssd") and name != "sibling"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_folder(tmp_path_factory.mktemp("model"))


def damage(weight: torch.Tensor, number: float = NAN) -> None:
    weight.data.view(-1)[5] = number


@pytest.mark.parametrize("sampling", SAMPLINGS, ids=str)
@pytest.mark.parametrize("number", [NAN, INF, None], ids=["nan", "inf", "all -inf"])
def test_no_token_is_named(sampling: Sampling, number: float | None) -> None:
    logits = torch.randn(sampling.streams, 3, 9)
    logits[:, 1, slice(None) if number is None else 4] = -INF if number is None else number
    p = sampling.distribution(logits)
    for tokens in (best(p.log()), inverse_cdf(p, torch.full((3,), 0.3)), inverse_cdf(p, torch.full((3,), 0.999))):
        assert (tokens == 9).tolist() == [False, True, False]


@pytest.mark.parametrize("verifier", ["coupled", "rejection"])
@pytest.mark.parametrize("method", METHODS)
def test_the_first_pass_says_which_tensor(folder: Path, method: str, verifier: str) -> None:
    pipe = SpatialPipeline.from_pretrained(folder)
    damage(pipe.target.model.blocks[1].down.weight)  # type: ignore[attr-defined]
    steps: list[int] = []
    with pytest.raises(BadInput) as refused:
        pipe(
            "a cat", method=method, verifier=verifier, callback_on_step_end=lambda _, n, cells, kwargs: steps.append(n)
        )
    assert not steps and refused.value.got == "scores of cell 0 that are not finite, in pass 1"
    assert refused.value.where == "tiny" and refused.value.advice.startswith("blocks.1.down.weight holds")


def test_a_model_without_damage_overflows(folder: Path) -> None:
    pipe = SpatialPipeline.from_pretrained(folder, torch_dtype=torch.float16)
    pipe.target.model.output.weight.data.mul_(2e4)  # type: ignore[attr-defined]
    with pytest.raises(NotFinite, match=r"pass 1.*bf16 or fp32"):
        pipe("a cat", method="ar", seed=0)


def test_damage_in_the_middle_of_an_image(folder: Path) -> None:
    """Cell and pass are those where it happens, and what was drawn until then stays AR's."""
    pipe = SpatialPipeline.from_pretrained(folder)
    tokens = pipe("a cat", method="ar", seed=0).tokens[0]
    first = next(cell for cell, token in enumerate(tokens) if cell > 5 and tokens.index(token) == cell)
    damage(pipe.target.model.code_embedding.weight[tokens[first]])  # type: ignore[attr-defined]
    seen = []
    with pytest.raises(BadInput, match=f"scores of cell {first + 1} .*, in pass {first + 2}"):
        pipe(
            "a cat", method="ar", seed=0, callback_on_step_end=lambda _, n, cells, kwargs: seen.append(kwargs["tokens"])
        )
    assert seen[-1] == tokens[: first + 1]


def test_the_cell_is_the_first_whose_scores_are_broken(folder: Path) -> None:
    """It need not be the first open one: the output layer overflows for one draft in a window."""
    pipe, seen = SpatialPipeline.from_pretrained(folder), [0]

    def overflow(_: object, __: object, scores: torch.Tensor) -> torch.Tensor:
        if scores.shape[1] > 3:
            scores[:, 3] = NAN
        return scores

    pipe.target.model.output.register_forward_hook(overflow)  # type: ignore[attr-defined]
    with pytest.raises(NotFinite) as refused:
        pipe(
            "a cat",
            method="jacobi:length=8",
            callback_on_step_end=lambda _, n, cells, kwargs: seen.append(cells),
        )
    assert refused.value.got.startswith(f"scores of cell {seen[-1] + 3} ")


@pytest.mark.parametrize(
    "method", ["hawk", "ssd", "mtp:rounds=0", "ssd-strict", "mtp:draft=argmax", "lantern", "spatial:start=hawk"]
)
@pytest.mark.filterwarnings("ignore:invalid value")
def test_damaged_drafts(folder: Path, method: str) -> None:
    """Under coupled noise an exact method needs no draft to be right; rejection does, and refuses."""
    pipe = SpatialPipeline.from_pretrained(folder)
    for drafts in pipe.drafts:
        for weight in drafts.parameters():
            damage(weight)
    if Method.parse(method).seed_exact("coupled"):
        assert pipe("a cat", method=method, seed=0).tokens == pipe("a cat", method="ar", seed=0).tokens
    if Method.parse(method).rule_under("rejection") == "rejection":
        with pytest.raises(BadInput, match=r"draft weights .* holds numbers that are not finite"):
            pipe("a cat", method=method, verifier="rejection", seed=0)
