"""Emu3 on a tiny random checkpoint in the published layout, against the `generate` of transformers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from helpers.real_targets import same_as_ar
from helpers.recipes import run_recipes
from helpers.tiny_checkpoints import CODES, tiny_emu3
from spatialspec.core.grid import Grid
from spatialspec.core.sampling import Sampling
from spatialspec.core.state import State
from spatialspec.pipeline import SpatialPipeline
from spatialspec.targets.emu3 import Emu3Target
from spatialspec.targets.loading import wrap

GRID = Grid(3, 5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_emu3(tmp_path_factory.mktemp("emu3"))


@pytest.fixture(scope="module")
def target(folder: Path) -> Emu3Target:
    return Emu3Target.from_folder(folder)


def inputs_of(target: Emu3Target, text: str, grid: Grid) -> dict[str, Tensor]:
    size = {"ratio": f"{grid.columns}:{grid.rows}", "image_area": grid.cells * 64}
    inputs = target.processor(text=[text], return_for_image_generation=True, return_tensors="pt", **size)
    assert inputs.pop("image_sizes") == [[grid.rows, grid.columns]]
    return dict(inputs)


def layout(target: Emu3Target, grid: Grid) -> Callable[[int, Tensor], Any]:
    """What may come next, as the documentation of transformers writes it: nothing there forces the layout."""
    names, tokenizer = target.model.vocabulary_mapping, target.processor.tokenizer
    closing = [tokenizer.eof_token_id, tokenizer.eoi_token_id, tokenizer.eos_token_id]

    def allowed(_: int, ids: Tensor) -> Any:
        (position,) = torch.nonzero(ids == tokenizer.image_wrapper_token_id, as_tuple=True)
        offset = len(ids) - int(position[0])
        if offset > grid.rows * (grid.columns + 1):
            return [closing[offset - grid.rows * (grid.columns + 1) - 1]]
        return [names.eol_token_id] if offset % (grid.columns + 1) == 0 else names.image_tokens

    return allowed


def theirs(target: Emu3Target, text: str, grid: Grid, **options: Any) -> Tensor:
    """Greedy sequence of transformers behind the prompt: row ends, then the three tokens that close a picture."""
    inputs = inputs_of(target, text, grid)
    ids = target.model.generate(
        **inputs, do_sample=False, max_new_tokens=500, prefix_allowed_tokens_fn=layout(target, grid), **options
    )
    return ids[:, inputs["input_ids"].shape[1] :]


def codes(target: Emu3Target, ids: Tensor, grid: Grid) -> tuple[int, ...]:
    """Image tokens of a sequence of transformers."""
    rows = ids[:, :-3].view(-1, grid.rows, grid.columns + 1)
    return tuple(target.model.vocabulary_mapping.convert_bpe2img(rows).flatten().tolist())


@pytest.mark.parametrize("guidance", [1.0, 3.0])
@pytest.mark.parametrize("grid", [GRID, Grid(4, 2)], ids=str)
def test_greedy_is_generate(target: Emu3Target, grid: Grid, guidance: float) -> None:
    negative = inputs_of(target, "", grid)["input_ids"]
    options = {"guidance_scale": guidance, "negative_prompt_ids": negative} if guidance != 1.0 else {}
    expected = codes(target, theirs(target, "a red apple", grid, **options), grid)
    out = SpatialPipeline(target)(
        "a red apple", method="ar", temperature=0.0, guidance_scale=guidance, size=grid, top_k=0
    )
    assert out.tokens == [expected] and len(set(expected)) > 2
    assert out.report.target_passes == grid.cells, "row ends cost no pass"


def test_assisted_decoding_of_transformers_is_wrong_with_guidance(target: Emu3Target) -> None:
    """Its guidance never takes back what was drafted; ours draws the same with drafts as without."""
    options = {"guidance_scale": 3.0, "negative_prompt_ids": inputs_of(target, "", GRID)["input_ids"]}
    plain = theirs(target, "a red apple", GRID, **options)
    assisted = theirs(target, "a red apple", GRID, **options, prompt_lookup_num_tokens=4)
    assert not torch.equal(plain, assisted)
    pipe = SpatialPipeline(target)
    ours = pipe("a red apple", method="jacobi", temperature=0.0, guidance_scale=3.0, size=GRID, top_k=0)
    assert ours.tokens == [codes(target, plain, GRID)]


@pytest.mark.parametrize("sampling", [Sampling(guidance=3.0, top_k=32), Sampling(guidance=1.0, temperature=0.9)])
def test_every_exact_decoder_draws_ar(target: Emu3Target, sampling: Sampling) -> None:
    same_as_ar(target, GRID, sampling)


def test_prompts(target: Emu3Target) -> None:
    """The words, then the size of the picture; the unconditional prompt has the size too."""
    conditional, unconditional = target.prompt_ids(["a red apple"], [""], 2, GRID)
    opening = "<|image start|>3*5<|image token|>"
    assert target.processor.tokenizer.decode(conditional) == f"<|extra_203|>a red apple{opening}"
    assert target.processor.tokenizer.decode(unconditional) == f"<|extra_203|>{opening}"


def test_what_the_checkpoint_says(target: Emu3Target) -> None:
    names = target.model.vocabulary_mapping
    assert (target.grid, target.vocabulary, target.width) == (Grid(90, 90), CODES, 32)
    assert target.default == Sampling(guidance=3.0, top_k=32) and target.row_end == (names.eol_token_id,)
    assert target.ids.tolist() == [names.img2bpe[code] for code in range(CODES)]
    states = torch.randn(2, 32)
    torch.testing.assert_close(target.output(states), target.model.lm_head(states)[:, target.ids])
    rows = target.output_rows
    assert rows.untyped_storage().data_ptr() == target.model.lm_head.weight.untyped_storage().data_ptr(), "no copy"
    with pytest.raises(ValueError, match="got size 20x30, 620 tokens with row ends, expected fewer than 512"):
        SpatialPipeline(target)("a red apple", size="20x30")


def test_pictures(target: Emu3Target) -> None:
    """As `decode_image_tokens` and `postprocess` of transformers make them."""
    tokens = torch.randint(CODES, (1, 3, 5), generator=torch.Generator().manual_seed(0))
    rows = target.model.vocabulary_mapping.convert_img2bpe(tokens[0])[None].flatten(1)
    closed = torch.cat((rows, torch.zeros(1, 3, dtype=rows.dtype)), dim=1)
    pixels = target.model.decode_image_tokens(image_tokens=closed, height=3, width=5)
    (expected,) = target.processor.postprocess(list(pixels), return_tensors="PIL.Image.Image")["pixel_values"]
    picture = target.pixels(tokens.flatten().tolist(), GRID)
    assert picture.size == (40, 24) and picture.tobytes() == expected.tobytes()
    preview = SpatialPipeline(target).preview(State(GRID, tuple(tokens.flatten().tolist()[:7])))
    assert preview is not None and preview.size == (40, 8)


def test_around_a_loaded_model(target: Emu3Target) -> None:
    """`wrap` leaves the model usable, and draws the same."""
    expected = SpatialPipeline(target)("a red apple", seed=2, size=GRID)
    before = theirs(target, "a red apple", GRID)
    out = SpatialPipeline(target=wrap(target.model, target.processor))("a red apple", seed=2, size=GRID)
    assert out.tokens == expected.tokens and torch.equal(theirs(target, "a red apple", GRID), before)


def test_recipes_of_the_page(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    loaded = Emu3Target.from_folder(folder)
    loaded.processor.image_area = 16 * 64  # of the grid where none is asked for
    changes = {"Emu3-Gen": folder, "96x64": "3x5"}
    run_recipes("emu3", changes, {"model": loaded.model, "processor": loaded.processor})
    assert (tmp_path / "girl.png").stat().st_size > 0
