"""A language model whose layout is a small grid, forced tokens, then the image: drawn with row ends and guidance."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from helpers.grown import grown
from helpers.real_targets import WORDS, random_drafts
from helpers.tiny_checkpoints import tiny_emu3
from spatialspec.core.grid import Grid, Grids, Layout
from spatialspec.core.interfaces import Target
from spatialspec.doctor.rows import draw_rows
from spatialspec.doctor.scores import compare, sequence_difference
from spatialspec.methods.method import Method
from spatialspec.methods.spatial_model.config import SpatialModelConfig
from spatialspec.pipeline import SpatialPipeline
from spatialspec.request import Request
from spatialspec.show.page import panel
from spatialspec.show.trace import trace
from spatialspec.targets.emu3 import Emu3Target
from spatialspec.targets.session import TargetSession

SMALL, IMAGE = Grid(2, 3), Grid(4, 5)
EXACT = (
    "jacobi", "spatial", "spatial:budget=3", "spatial:start=hawk", "spatial:start=spatial-model", "spatial-model",
    "hawk", "medusa", "hawk-vertical", "ssd-strict",
)  # fmt: skip
OTHERS = ("ssd", "mtp", "sjd:start=above", "scd", "sjd-pac", "gsd", "csd", "lantern", "zipar:window=2", "pjd")


class TwoGrids(Emu3Target):
    """Draws a preview first; a row end, a word and the end of a file stand between the two."""

    def layout(self, grid: Grid) -> Layout:
        return Grids((SMALL, grid))

    @property
    def grid_end(self) -> tuple[int, ...]:
        return (*self.row_end, *self.processor.tokenizer("sea")["input_ids"][-1:], self.words.id_of("<|extra_201|>"))


@pytest.fixture(scope="module")
def pipe(tmp_path_factory: pytest.TempPathFactory) -> SpatialPipeline:
    target: Target = TwoGrids.from_folder(tiny_emu3(tmp_path_factory.mktemp("emu3") / "emu3"))
    made = SpatialPipeline(target)
    made.drafts = [*random_drafts(target), grown(SpatialModelConfig(target.width, rows=1))]  # type: ignore[list-item]
    return made


def test_greedy_is_the_plain_sequence(pipe: SpatialPipeline) -> None:
    """Prompt, cells, row ends and what stands between the grids, laid out by hand and read anew for every cell."""
    target = pipe.target
    assert isinstance(target, TwoGrids) and len(target.grid_end) == 3
    out = pipe("a red apple", method="ar", temperature=0.0, guidance_scale=1.0, size=IMAGE, top_k=0)
    (ids,), expected = target.prompt_ids(["a red apple"], [""], 1, IMAGE), []
    for grid in (SMALL, IMAGE):
        for cell in range(grid.cells):
            with torch.no_grad():
                logits = target.model(input_ids=torch.tensor([ids])).logits[0, -1, target.ids]
            expected.append(int(logits.argmax()))
            ids.append(int(target.ids[expected[-1]]))
            if cell + 1 == grid.cells:
                ids += target.grid_end
            elif (cell + 1) % grid.columns == 0:
                ids += target.row_end
    assert out.tokens == [tuple(expected)] and len(set(expected)) > 2
    assert out.report.target_passes == SMALL.cells + IMAGE.cells, "forced tokens cost no pass"


@pytest.mark.parametrize("method", EXACT)
def test_every_exact_method_draws_ar(pipe: SpatialPipeline, method: str) -> None:
    """Two prompts in a batch, each at its own pace: one is in its second grid while the other is not."""
    frontiers: list[list[int]] = [[], []]

    def note(_: SpatialPipeline, index: int, cells: int, kwargs: dict[str, Any]) -> None:
        frontiers[kwargs["step"].image].append(cells)

    given = {"prompt": list(WORDS), "size": IMAGE, "seed": 3}
    ar = pipe(**given, method="ar")
    out = pipe(**given, method=method, callback_on_step_end=note)
    assert out.tokens == ar.tokens and len(set(ar.tokens)) == 2
    assert {len(tokens) for tokens in ar.tokens} == {SMALL.cells + IMAGE.cells}
    assert out.images[0].size == (40, 32), "the last grid is the image"
    assert out.images[0].tobytes() == pipe.target.pixels(ar.tokens[0][SMALL.cells :], IMAGE).tobytes()
    assert frontiers[0] != frontiers[1], "progress is uneven"


@pytest.mark.parametrize("method", OTHERS)
def test_every_other_method_draws(pipe: SpatialPipeline, method: str) -> None:
    out = pipe(list(WORDS), method=method, size=IMAGE, seed=3)
    assert [len(tokens) for tokens in out.tokens] == [SMALL.cells + IMAGE.cells] * 2
    assert out.report.target_passes < SMALL.cells + IMAGE.cells


@pytest.mark.parametrize("cells", [4, SMALL.cells, SMALL.cells + 7])
def test_going_on_in_either_grid(pipe: SpatialPipeline, cells: int) -> None:
    """Whatever was written before it was stopped, forced tokens included, is read in one pass."""
    given = {"prompt": list(WORDS), "size": IMAGE, "seed": 3}
    ar = pipe(**given, method="ar")
    begun = [ar.tokens[0][:cells], ar.tokens[1][:3]]
    for method in ("spatial", "hawk", "spatial-model"):
        assert pipe(**given, method=method, written=begun).tokens == ar.tokens


def test_previews(pipe: SpatialPipeline) -> None:
    """The small grid grows, then stays until the image has a row."""
    sizes: dict[int, tuple[int, int] | None] = {}

    def note(pipeline: SpatialPipeline, index: int, cells: int, kwargs: dict[str, Any]) -> None:
        shown = pipeline.preview(kwargs["step"].after)
        sizes[index + 1] = None if shown is None else shown.size

    pipe("a cat", method="ar", size=IMAGE, callback_on_step_end=note)
    assert [sizes[n] for n in (2, 3, 6, 10, 11, 26)] == [None, (24, 8), (24, 16), (24, 16), (40, 8), (40, 32)]


@pytest.mark.parametrize("method", ["hawk", "spatial", "zipar:window=2"])
def test_the_page_shows_the_image(pipe: SpatialPipeline, method: str) -> None:
    request = Request(["a cat"], [3], pipe.target.default, IMAGE)
    found = trace(pipe, Method.parse(method), request)
    tokens = pipe("a cat", seed=3, size=IMAGE, method=method).tokens[0]
    assert found.tokens == tokens[SMALL.cells :] and len(found.cells) == IMAGE.cells
    assert found.passes[0].frontier == 0 and found.passes[-1].frontier == IMAGE.cells
    assert all(0 <= cell < IMAGE.cells for one in found.passes for cell in one.guesses)
    assert found.cells[0].writer != "vertical" and any(one.guesses for one in found.passes)
    assert panel(pipe.target, found).image.size == (40, 32)


def test_the_doctor_reads_both_grids(pipe: SpatialPipeline) -> None:
    """Scores of AR and those of one pass over many cells, and of the plain sequence, are the same."""
    request = Request(["a cat"], [3], pipe.target.default, IMAGE)
    ar = draw_rows(pipe, Method.parse("ar"), request, SMALL.cells + 7, lambda what, cells: None)
    assert isinstance(pipe.target, TwoGrids) and sequence_difference(pipe.target, request, ar) < 1e-4
    assert compare(pipe.target, request, ar).worst < 1e-4


def test_what_does_not_fit(pipe: SpatialPipeline) -> None:
    """Both grids and all forced tokens take room from the prompt, and in the cache."""
    with pytest.raises(ValueError, match="expected at most 60 in front of 21x20"):
        pipe("a cat " * 60, size="21x20")
    session = pipe.target.session(["a cat"], [""], pipe.target.default, IMAGE)
    assert isinstance(session, TargetSession) and session.layout == Grids((SMALL, IMAGE))
