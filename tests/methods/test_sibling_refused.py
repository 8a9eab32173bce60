"""Draft models that do not fit or are damaged: refused with their name, before a token is drawn, or harmless."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from helpers.llamagen_tiny import tiny_folder as tiny_llamagen
from helpers.tiny import tiny_target
from helpers.tiny_chameleon import write_anole, write_lumina
from helpers.tiny_tar import tiny_tar
from spatialspec import BadInput, SpatialPipeline
from spatialspec.core.grid import Grid, Grids
from spatialspec.core.interfaces import Target
from spatialspec.targets.loading import load_target

RULES = ("coupled", "rejection")
ASKED: dict[str, Any] = {"method": "sibling:length=5", "seed": 1, "output_type": "tokens"}


def pair() -> SpatialPipeline:
    """A model and a sibling with its image tokenizer."""
    large, small = tiny_target(0, "large"), tiny_target(1, "small")
    small.vq.load_state_dict(large.vq.state_dict())
    vars(small.vq).pop("codebook", None)  # computed once
    pipe = SpatialPipeline(large, draft_model=small)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def tokens_of(pipe: SpatialPipeline, method: str, prompt: str = "a red apple", **more: Any) -> Any:
    """Tokens of one image."""
    return pipe(prompt, **ASKED | {"method": method} | more).tokens[0]


def refusal(pipe: SpatialPipeline, prompt: str = "a red apple", **more: Any) -> BadInput:
    """Of a call that makes no pass."""
    passes: list[int] = []
    with pytest.raises(BadInput) as refused:
        pipe(prompt, **ASKED, **more, callback_on_step_end=lambda _, step, cells, kwargs: passes.append(step))
    assert not passes
    return refused.value


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("cells", [0, 20])
def test_a_damaged_draft_model_is_named(rule: str, cells: int) -> None:
    """In the pass where it meets the damage; images that are complete before are AR's under coupled noise."""
    pipe = pair()
    small: Any = pipe.draft_model
    whole = tokens_of(pipe, "sibling:length=5", verifier=rule)
    assert rule == "rejection" or whole == tokens_of(pipe, "ar")
    written, seen = whole[:cells], [whole[:cells]]
    small.model.blocks[1].down.weight.data.view(-1)[5] = float("nan")
    with pytest.raises(BadInput) as refused:
        pipe(
            "a red apple", **ASKED, verifier=rule, written=[written],
            callback_on_step_end=lambda _, step, done, kwargs: seen.append(kwargs["tokens"]),
        )  # fmt: skip
    found = f"scores of cells {cells} to {cells + 3} by the draft model that are not finite"
    assert refused.value.got.startswith(found)
    assert refused.value.advice.startswith("draft weights networks.0.blocks.1.down.weight holds")
    assert seen[-1] == whole[: len(seen[-1])]
    done = pipe("a red apple", **ASKED, verifier=rule, written=[whole])
    assert done.tokens[0] == whole, "nothing is left to draft"
    assert tokens_of(pipe, "spatial") == tokens_of(pipe, "ar"), "other methods do not read it"


def test_a_damaged_embedding_is_met_where_it_is_read() -> None:
    """One row of it: every pass before is AR's."""
    pipe, seen = pair(), [()]
    tokens = tokens_of(pipe, "ar")
    first = next(cell for cell, token in enumerate(tokens) if cell > 5 and tokens.index(token) == cell)
    small: Any = pipe.draft_model
    small.model.code_embedding.weight.data[tokens[first], 0] = float("nan")
    with pytest.raises(BadInput, match="by the draft model that are not finite, in pass"):
        pipe("a red apple", **ASKED, callback_on_step_end=lambda _, step, done, kwargs: seen.append(kwargs["tokens"]))
    assert seen[-1] == tokens[: len(seen[-1])]


def test_a_damaged_codebook_is_another_one() -> None:
    pipe = pair()
    small: Any = pipe.draft_model
    small.codebook.data[3, 0] = float("nan")
    with pytest.raises(BadInput, match="got the draft model small with another codebook, expected that of the target"):
        SpatialPipeline(pipe.target, draft_model=small)


def test_a_draft_model_of_smaller_grids(tmp_path: Path) -> None:
    """It is refused by its own words and its name, before a pass; what both can draw is drawn."""
    folder = tiny_llamagen(tmp_path / "large", "class")
    large, small = load_target(folder), load_target(folder)
    object.__setattr__(small.model.config, "rows", 3)  # type: ignore[attr-defined]
    pipe = SpatialPipeline(large, draft_model=small)
    error = refusal(pipe, "7")
    assert str(error).startswith(f"the draft model {small.name}: got size 6x6, expected at most 3x6")
    assert error.advice.startswith("give a model of the same family")
    assert tokens_of(pipe, "sibling", "7", size="3x6") == tokens_of(pipe, "ar", "7", size="3x6")


def test_a_draft_model_that_draws_a_preview_first(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = pair()
    layout = Grids((Grid(2, 3), Grid(6, 6)))
    monkeypatch.setattr(pipe.draft_model, "layout", lambda grid: layout)
    error = refusal(pipe)
    assert error.got == f"the draft model small, which draws {layout}" and error.expected == "6x6" and error.advice


def test_a_draft_model_that_reads_other_prompts(tmp_path: Path) -> None:
    """Classes and codes, with the same image tokenizer."""
    large, small = load_target(tiny_llamagen(tmp_path / "classes", "class")), load_target(tiny_tar(tmp_path / "codes"))
    pipe = SpatialPipeline(large, draft_model=small)
    error = refusal(pipe, "7")
    assert error.where == f"the draft model {small.name}" and error.got.startswith("a prompt of 0 codes")


def of_chameleon(folder: Path) -> tuple[Target, Target]:
    """Anole, without tokens behind a row, and Lumina-mGPT, with one, with the same image tokenizer."""
    anole, lumina = load_target(write_anole(folder / "anole")), load_target(write_lumina(folder / "lumina"))
    assert len(anole.forced) == 0 < len(lumina.forced)  # type: ignore[attr-defined]
    with torch.no_grad():
        lumina.codebook.copy_(anole.codebook)
    return anole, lumina


@pytest.mark.parametrize("order", [1, -1], ids=["lumina drafts", "anole drafts"])
def test_other_row_ends_are_harmless(order: int, tmp_path: Path) -> None:
    """Each model keeps a sequence of its own, with its own row ends: the tokens are AR's."""
    large, small = of_chameleon(tmp_path)[::order]
    pipe = SpatialPipeline(large, draft_model=small)
    given = {"size": "6x6", "guidance_scale": 2.0}
    assert tokens_of(pipe, "sibling:length=5", **given) == tokens_of(pipe, "ar", **given)
