"""GLM-Image: ids, positions and greedy tokens are those of transformers; its cells have no pixels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import GlmImageForConditionalGeneration, GlmImageProcessor

import spatialspec
from helpers.real_targets import WORDS
from helpers.tiny import call_main
from helpers.tiny_glm import CODES, tiny_glm, tiny_glm_parts
from spatialspec import BadInput, Grid, Sampling, SpatialPipeline
from spatialspec.cli.doctor import find
from spatialspec.core.grid import Grids
from spatialspec.doctor.files import check_files, open_folder
from spatialspec.targets.engine import PassInputs
from spatialspec.targets.glm_image import REMARK, GlmImageTarget, cell_positions, colours
from spatialspec.targets.loading import load_target

SIZES = {"2x3": "13x19", "3x2": "19x13", "4x4": "16x16", "1x2": "11x22"}  # image -> its preview


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_glm(tmp_path_factory.mktemp("glm") / "glm")


@pytest.fixture(scope="module")
def target(folder: Path) -> GlmImageTarget:
    loaded = load_target(folder)
    assert isinstance(loaded, GlmImageTarget)
    return loaded


def inputs_of(target: GlmImageTarget, texts: list[str], size: str) -> Any:
    """As the pipeline of diffusers calls the processor."""
    grid = Grid.parse(size)
    messages = [[{"role": "user", "content": [{"type": "text", "text": text}]}] for text in texts]
    return target.processor.apply_chat_template(
        messages, tokenize=True, padding=len(texts) > 1, target_h=32 * grid.rows, target_w=32 * grid.columns,
        return_dict=True, return_tensors="pt",
    )  # fmt: skip


def greedy(target: GlmImageTarget, inputs: Any, cells: int) -> torch.Tensor:
    """By `generate` of transformers, which draws no more than codes, then the end."""
    start = inputs["input_ids"].shape[1]

    def allowed(_: int, ids: torch.Tensor) -> list[int]:
        return list(range(CODES)) if len(ids) - start < cells else [CODES + 1]

    return target.model.generate(
        **inputs,
        do_sample=False,
        temperature=1.0,
        top_p=1.0,
        max_new_tokens=cells + 1,
        prefix_allowed_tokens_fn=allowed,
    )


@pytest.mark.parametrize("size", SIZES)
def test_sizes_of_previews(target: GlmImageTarget, size: str) -> None:
    assert str(target.layout(Grid.parse(size))) == f"{SIZES[size]}+{size}"


@pytest.mark.parametrize("size", ["2x3", "1x2"])
def test_greedy_is_theirs(target: GlmImageTarget, size: str) -> None:
    """The sequences of a padded batch, end included, through `generate` and through the pipeline."""
    inputs, layout = inputs_of(target, list(WORDS), size), target.layout(Grid.parse(size))
    theirs = greedy(target, inputs, layout.cells)
    assert len(theirs[0].unique()) > 20 and not torch.equal(theirs[0, -layout.cells :], theirs[1, -layout.cells :])
    for method in ("ar", "spatial"):
        options = {"custom_generate": spatialspec.transformers_generate, "max_new_tokens": layout.cells + 1}
        ours = target.model.generate(**inputs, **options, do_sample=False, processor=target.processor, method=method)
        assert torch.equal(ours, theirs), method
    out = SpatialPipeline(target)(list(WORDS), size=size, temperature=0.0)
    assert [list(tokens) for tokens in out.tokens] == theirs[:, -layout.cells - 1 : -1].tolist()
    assert out.report.target_passes < layout.cells


@pytest.mark.parametrize("size", ["2x3", "3x2"])
def test_positions_are_theirs(target: GlmImageTarget, size: str) -> None:
    """Those of every slot of an image behind its prompt, on all three axes."""
    inputs, layout = inputs_of(target, ["a cat"], size), target.layout(Grid.parse(size))
    model = target.model.model
    prompt, _ = model.get_rope_index(**{name: inputs[name] for name in ("input_ids", "image_grid_thw")})
    theirs = torch.cat([prompt, model._cached_decode_position_ids.transpose(0, 1)], -1)[..., :-1]  # without the end
    length = inputs["input_ids"].shape[1]
    slots = torch.arange(length + layout.cells)[None]
    x = torch.zeros(1, slots.shape[1], target.width)
    passed = PassInputs(x, slots, torch.tensor([length]), layout, None, target.cache(1), ())
    ours = target.rotary_positions(passed)
    assert torch.equal(ours, theirs) and len(ours.unique(dim=0)) == 3
    first = layout.grids[0].cells
    assert ours[:, 0, length + first].unique().tolist() == [length + max(layout.grids[0].rows, layout.grids[0].columns)]


def test_positions_by_hand() -> None:
    layout = Grids((Grid(1, 2), Grid(2, 1)))
    assert cell_positions(layout).tolist() == [[0, 0, 2, 2], [0, 0, 2, 3], [0, 1, 2, 2]]


def test_what_is_no_code_is_never_drawn(folder: Path, target: GlmImageTarget) -> None:
    """The output layer has further tokens; those that start and end an image would win here."""
    model = GlmImageForConditionalGeneration.from_pretrained(folder)
    with torch.no_grad():
        model.lm_head.weight[CODES:] = 100 * model.lm_head.weight[:8]
    pipe = SpatialPipeline.wrap(model, GlmImageProcessor.from_pretrained(folder))
    asked: dict[str, Any] = {"prompt": "a cat", "size": "1x2", "seed": 3}
    assert pipe(**asked).tokens == SpatialPipeline(target)(**asked).tokens
    assert pipe.target.vocabulary == CODES < model.lm_head.out_features


def test_sampling(folder: Path, target: GlmImageTarget) -> None:
    """Of the file, else of the authors; `generate` samples as the pipeline does, with the top-k of transformers."""
    published = Sampling(temperature=0.9, top_p=0.75)
    assert target.default == published == GlmImageTarget.authors and target.default.streams == 1
    inputs = inputs_of(target, ["a cat"], "1x2")
    options = {"custom_generate": spatialspec.transformers_generate, "processor": target.processor, "seed": 5}
    ours = target.model.generate(**inputs, **options, do_sample=True)
    expected = SpatialPipeline(target)("a cat", size="1x2", seed=5, top_k=50).tokens[0]
    assert tuple(ours[0, inputs["input_ids"].shape[1] : -1].tolist()) == expected and int(ours[0, -1]) == CODES + 1


def test_cells_are_coloured_by_their_codes_and_say_so(
    folder: Path, target: GlmImageTarget, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = target.pixels([5, 7, 5, 9, 9, 9], Grid(2, 3))
    cells = [[image.getpixel((32 * column + 31, 32 * row)) for column in range(3)] for row in range(2)]
    table = [tuple(colour) for colour in colours(target.codebook).tolist()]
    assert image.size == (96, 64) and cells == [[table[5], table[7], table[5]], [table[9]] * 3]
    near = colours(torch.cat([torch.eye(8), 2 * torch.eye(8)[:1]]))
    distance = (near[-1].int() - near.int()).abs().sum(-1)
    assert distance[0] <= 3 * 32 and distance[0] < distance[1:-1].min(), "only directions count"
    report = SpatialPipeline(target)("a cat", size="1x2").report
    assert report.remarks == (REMARK,) and "no image" in REMARK
    out = tmp_path / "cells.png"
    code, said, _ = call_main(capsys, "generate", "a cat", "--model", folder, "--size", "1x2", "--out", out)
    assert code == 0 and f"note: {REMARK}" in " ".join(said.split()) and out.is_file()
    code, _, err = call_main(capsys, "evaluate", "--model", folder, "--methods", "spatial", "--limit", 2)
    assert code == 2 and "which draws cells coloured by their codes" in err


@pytest.mark.parametrize(
    ("prompt", "size", "message"),
    [
        ("a cat", "1x300", "one whose preview has a row and a column"),
        ("a cat", "60x60", "3856 tokens with its preview, expected fewer than 2048"),
        ("a <sop>9 9<eop> cat", "2x3", "control token"),
        ("a <|dit_token_3|> cat", "2x3", "control token"),
        ("a cat " * 400, "2x3", "a prompt of 24"),
    ],
)
def test_what_is_refused(target: GlmImageTarget, prompt: str, size: str, message: str) -> None:
    pipe = SpatialPipeline(target)
    with pytest.raises(BadInput, match=message):
        pipe(prompt, size=size)


def test_grids_that_the_processor_has_not(target: GlmImageTarget) -> None:
    inputs = inputs_of(target, ["a cat", "a dog"], "2x3")
    options = {"custom_generate": spatialspec.transformers_generate, "processor": target.processor}
    for grids in ([[1, 2, 3], [1, 2, 2]] * 2, [[1, 2, 3]] * 3, [[1, 13, 19], [1, 2, 3]] * 2):
        with pytest.raises(BadInput, match="image and preview"):
            target.model.generate(**{**inputs, "image_grid_thw": torch.tensor(grids)}, **options)
    two = torch.tensor([[1, 2, 3], [1, 13, 19], [1, 3, 2], [1, 19, 13]])
    with pytest.raises(BadInput, match="got 2 sizes of images"):
        target.model.generate(**{**inputs, "image_grid_thw": two}, **options)
    with pytest.raises(BadInput, match="an image to edit"):
        target.model.generate(**inputs, **options, pixel_values=torch.zeros(4, 768))


def test_another_models_tokenizer(folder: Path, tmp_path: Path) -> None:
    model = GlmImageForConditionalGeneration.from_pretrained(folder)
    model.config.image_start_token_id = CODES + 2
    with pytest.raises(BadInput, match=f"the id {CODES} for <|dit_token_{CODES}|>".replace("|", r"\|")):
        SpatialPipeline.wrap(model, GlmImageProcessor.from_pretrained(folder))


def test_the_folder_of_a_pipeline(target: GlmImageTarget, tmp_path: Path) -> None:
    """Its AR part lies in one folder, the processor in another; the doctor finds all that is needed."""
    whole = tiny_glm_parts(tmp_path / "GLM-Image")
    for given in (whole, whole / "vision_language_encoder"):
        pipe = SpatialPipeline.from_pretrained(given)
        assert pipe.target.name == "GLM-Image"
    pipe.save_pretrained(tmp_path / "saved")
    asked: dict[str, Any] = {"prompt": "a cat", "size": "1x2", "seed": 3}
    saved = SpatialPipeline.from_pretrained(tmp_path / "saved")
    expected = SpatialPipeline(target)(**asked).tokens
    assert pipe(**asked).tokens == expected and saved(**asked).tokens == expected
    findings = [*check_files(open_folder(find(str(whole))))]
    assert [finding.status for finding in findings] == ["ok"]
    (whole / "processor" / "tokenizer.json").unlink()
    assert "no tokenizer.json" in next(check_files(open_folder(find(str(whole))))).got
    with pytest.raises(BadInput, match="a processor beside the weights"):
        SpatialPipeline.from_pretrained(whole)
    (whole / "vision_language_encoder" / "config.json").unlink()
    with pytest.raises(BadInput, match="a pipeline of diffusers without the AR part of GLM-Image"):
        SpatialPipeline.from_pretrained(whole)
