"""What is stored is taken up only where model, data and recipe are the same: every kind, every ingredient changed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from helpers.tiny import tiny_target
from helpers.tiny_checkpoints import tiny_emu3, tiny_janus
from spatialspec.core.errors import BadInput
from spatialspec.drafts import checkpoint
from spatialspec.drafts.image_folder import CaptionedImages
from spatialspec.io.identity import identity, weights_digest
from spatialspec.io.tensors import load_module, write_tensors, write_weights
from spatialspec.lab.icons import target
from spatialspec.lab.icons import tokenizer as tokenizers
from spatialspec.lab.icons.sketch import SketchRecipe
from spatialspec.lab.icons.target import prompt_tokenizer
from spatialspec.lab.icons.target_recipe import Stage, TargetRecipe
from spatialspec.lab.icons.tokenizer import TokenizerRecipe, read_tokenizer
from spatialspec.targets.icons.transformer import GridTransformerConfig
from spatialspec.targets.icons.vq import VQConfig, VQTokenizer
from spatialspec.targets.loading import load_target

VQ = VQConfig(codes=8, width=16, encoder_blocks=1, decoder_blocks=1)
STEPS = TokenizerRecipe(steps=2, batch=2, crop=8)
SIZES = GridTransformerConfig(
    codes=8, width=16, layers=1, heads=2, mlp_width=24, rows=2, columns=2, prefix=6, text_layers=1, sketch_width=24,
    sketch_layers=1,
)  # fmt: skip
STAGES = TargetRecipe((Stage(2, 2, 8),), sketch=SketchRecipe(steps=2, batch=2, warmup=1), warmup=1, compile=False)


def pictures(seed: int = 0, text: str = "thing", size: int = 16) -> CaptionedImages:
    rng = np.random.default_rng(seed)
    rows = [{"text": f"{text} {i}", "style": "flat", "split": "pair" if i == 5 else "train"} for i in range(6)]
    return CaptionedImages(rng.integers(256, size=(6, size, size, 3), dtype=np.uint8), rows)


def vq(seed: int = 0) -> VQTokenizer:
    torch.manual_seed(seed)
    return VQTokenizer(VQ).eval()


def train_tokenizer(out: Path, **other: Any) -> dict[str, torch.Tensor]:
    settings = {"data": pictures(), "config": VQ, "recipe": STEPS} | other
    lines: list[str] = []
    found = tokenizers.train(**settings, out=out, report=lines.append).state_dict()
    return {**found, "first": torch.tensor(float(not any("is finished" in line for line in lines)))}


def train_target(out: Path, **other: Any) -> dict[str, torch.Tensor]:
    settings = {"data": pictures(), "tokenizer": vq(), "config": SIZES, "recipe": STAGES, "words": 300} | other
    prompts = prompt_tokenizer(settings["data"], settings.pop("words"), 6)
    config = replace(settings.pop("config"), text_vocabulary=prompts.tokenizer.get_vocab_size())
    return target.train(prompts=prompts, config=config, out=out, report=lambda line: None, **settings)[0].state_dict()


STATES: dict[str, tuple[Callable[..., dict[str, torch.Tensor]], dict[str, Any]]] = {
    "tokenizer": (
        train_tokenizer,
        {
            "pixels": {"data": pictures(1)},
            "captions": {"data": pictures(text="other")},
            "sizes": {"config": replace(VQ, code_width=VQ.code_width * 2)},
            **{
                name: {"recipe": replace(STEPS, **{name: value})}
                for name, value in {
                    "steps": 3, "batch": 3, "crop": 4, "peak_rate": 1e-4, "beta": 0.5, "decay": 0.5, "restart_every": 9,
                    "seed": 1,
                }.items()
            },
        },
    ),
    "target": (
        train_target,
        {
            "pixels": {"data": pictures(1)},
            "captions": {"data": pictures(text="other")},
            "tokenizer": {"tokenizer": vq(1)},
            "words": {"words": 258},
            "width": {"config": replace(SIZES, width=32)},
            "heads": {"config": replace(SIZES, heads=1)},
            "batch": {"recipe": replace(STAGES, stages=(Stage(2, 3, 8),))},
            "stages": {"recipe": replace(STAGES, stages=(Stage(1, 2, 1), Stage(2, 2, 7)))},
            "fewer steps": {"recipe": replace(STAGES, stages=(Stage(2, 2, 4),))},
            "sketch": {"recipe": replace(STAGES, sketch=replace(STAGES.sketch, batch=3))},
            **{
                name: {"recipe": replace(STAGES, **{name: value})}
                for name, value in {
                    "muon_rate": 1e-4, "adam_rate": 1e-4, "warmup": 2, "fall": 0.5, "shift": 0, "noise": 0.2,
                    "drop": 0.2, "seed": 1,
                }.items()
            },
        },
    ),
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for module in (tokenizers, target):
            patch.setattr(module, "tune_threads", lambda: None)
        yield


@pytest.fixture(scope="module", params=STATES)
def finished(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A finished training of a kind."""
    folder = tmp_path_factory.mktemp(request.param)
    STATES[request.param][0](folder)
    yield request.param, folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_state_is_taken_up_by_the_same_training_alone(finished: tuple[str, Path]) -> None:
    """The table: each ingredient changed is refused, in words that name it, and nothing is written."""
    kind, folder = finished
    train, changes = STATES[kind]
    before = contents(folder)
    for name, change in changes.items():
        with pytest.raises(BadInput, match=r"as in the stored work: choose another --out") as error:
            train(folder, **change)
        assert contents(folder) == before, f"{name}: {error.value}"
    again = train(folder)
    assert contents(folder) == before and (kind != "tokenizer" or not again["first"])


def test_a_longer_recipe_goes_on_from_before_the_fall(tmp_path: Path) -> None:
    train_target(tmp_path)
    before = contents(tmp_path)
    longer = replace(STAGES, stages=(Stage(2, 2, 12),))
    assert longer.steps - longer.fall_steps > STAGES.steps - STAGES.fall_steps
    lines: list[str] = []
    prompts = prompt_tokenizer(pictures(), 300, 6)
    config = replace(SIZES, text_vocabulary=prompts.tokenizer.get_vocab_size())
    made = target.train(pictures(), vq(), prompts, tmp_path, config, longer, lines.append)[0].state_dict()
    assert "resumes: step 6/12" in lines
    assert contents(tmp_path)["falling-8/state.safetensors"] == before["falling-8/state.safetensors"]
    straight = train_target(tmp_path.parent / f"{tmp_path.name}-straight", recipe=longer)
    torch.testing.assert_close(made, straight, rtol=0, atol=1e-5)


@pytest.mark.parametrize("facts", [None, "[]", '"x"', "{}", '{"data": 3}'])
def test_a_state_that_does_not_say_what_it_is_of_is_refused(tmp_path: Path, facts: str | None) -> None:
    """Such as those of the first version; `train target` still reads their finished tokenizers."""
    part = torch.nn.Linear(2, 2)
    plain = json.dumps({"a": {"dict": []}})
    metadata = {"step": "2", "plain": plain} | ({} if facts is None else {"facts": facts})
    write_tensors(tmp_path / "state.safetensors", {"x": torch.zeros(1)}, metadata)
    with pytest.raises(BadInput, match=r"state.safetensors: got .* choose another --out, or delete it"):
        checkpoint.Checkpoint(tmp_path, {"a": part}, lambda step: {"data": "mine"}).resume()


def test_an_unfinished_tokenizer_is_no_tokenizer(tmp_path: Path) -> None:
    model = VQTokenizer(VQConfig())
    for step in (1, 2):
        checkpoint.Checkpoint(tmp_path, {"model": model}, lambda step: {"steps": 2}).save(step)
        if step == 1:
            with pytest.raises(BadInput, match="got a tokenizer after step 1, expected 2"):
                read_tokenizer(tmp_path)
    read, images = read_tokenizer(tmp_path), torch.rand(4, 3, 32, 32) * 2 - 1
    write_weights(model, tmp_path / "vq.safetensors")  # as a target saves it
    shipped = load_module(lambda: VQTokenizer(VQConfig()), tmp_path / "vq.safetensors", "", "cpu", torch.float32)
    assert weights_digest(read) == weights_digest(shipped) != weights_digest(model)
    with torch.no_grad():
        assert torch.equal(read.encode(images), shipped.encode(images)), "a target learns the codes that it ships with"


def test_every_number_of_every_weight_counts() -> None:
    """One number of a large table, as a word that was taught to a model afterwards."""
    made = tiny_target()
    before = identity(made)
    with torch.no_grad():
        for weight in [*made.model.parameters(), *made.vq.parameters()]:
            numbers = weight.view(-1)
            for place in {0, len(numbers) // 3, len(numbers) - 1}:
                kept = numbers[place].clone()
                numbers[place] += 1
                assert identity(made).partition("-")[2] != before.partition("-")[2]
                numbers[place] = kept
    assert identity(made).partition("-")[2] == before.partition("-")[2]


@pytest.mark.parametrize("write", [tiny_janus, tiny_emu3])
def test_settings_and_words_of_a_model_count(tmp_path: Path, write: Callable[[Path], Path]) -> None:
    folder = write(tmp_path)
    before = identity(load_target(folder))
    other = folder.rename(tmp_path.parent / f"{tmp_path.name}-moved")
    assert identity(load_target(other)) == before, "the place of a folder is none of its contents"
    config = json.loads((other / "config.json").read_text())
    (text,) = [value for name, value in config.items() if name in ("text_config",)]
    text["rms_norm_eps"] = 3e-3
    (other / "config.json").write_text(json.dumps(config))
    changed = identity(load_target(other))
    assert changed != before and changed.partition("-")[0] == before.partition("-")[0]
