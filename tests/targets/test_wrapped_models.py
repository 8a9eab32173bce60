"""Models as users load and change them: plain `from_pretrained` of transformers, then `wrap`, then whatever they do."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer
from torch import nn
from transformers import (
    ChameleonForConditionalGeneration,
    Emu3ForConditionalGeneration,
    Emu3Processor,
    GemmaForCausalLM,
    JanusForConditionalGeneration,
    JanusProcessor,
    Qwen2ForCausalLM,
)

from helpers.covering import covering
from helpers.real_targets import MAKES
from spatialspec import SpatialPipeline
from spatialspec.core.errors import BadInput
from spatialspec.targets.chameleon.lumina import ChameleonXLLMXForConditionalGeneration
from spatialspec.targets.loading import load_target, wrap

CLASSES: dict[str, tuple[Any, Any]] = {
    "janus": (JanusForConditionalGeneration, JanusProcessor),
    "emu3": (Emu3ForConditionalGeneration, Emu3Processor),
    "anole": (ChameleonForConditionalGeneration, None),
    "lumina": (ChameleonXLLMXForConditionalGeneration, None),
    "liquid": (GemmaForCausalLM, None),
    "simplear": (Qwen2ForCausalLM, None),
}
BEHIND = ("liquid", "simplear")  # image tokens are all rows behind those of text
TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {kind: MAKES[kind].make(tmp_path_factory.mktemp(kind) / kind) for kind in CLASSES}


def loaded(folder: Path, kind: str, dtype: torch.dtype = torch.float32) -> tuple[Any, Any]:
    """As a page of transformers says."""
    model, processor = CLASSES[kind]
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json")) if processor is None else None
    return model.from_pretrained(folder, dtype=dtype), tokenizer or processor.from_pretrained(folder)


def draw(pipe: SpatialPipeline, kind: str, **options: Any) -> list[tuple[int, ...]]:
    return pipe("a red fox", size=MAKES[kind].size, **{"seed": 3} | options).tokens


@pytest.mark.parametrize("kind", CLASSES)
@pytest.mark.parametrize("dtype", TYPES)
def test_every_method_draws(kind: str, dtype: str, folders: dict[str, Path]) -> None:
    """Gradients wanted, training mode on, any type, and no warning of a library about what we call."""
    model, processor = loaded(folders[kind], kind, TYPES[dtype])
    assert all(weight.requires_grad for weight in model.get_output_embeddings().parameters())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pipe = SpatialPipeline(target=wrap(model.train(), processor))
        expected = draw(pipe, kind, method="ar")
        for method in ("spatial", "gsd", "sjd"):
            tokens = draw(pipe, kind, method=method)
            assert method != "spatial" or dtype != "fp32" or tokens == expected
    assert pipe.target.fingerprint == load_target(folders[kind], dtype=TYPES[dtype]).fingerprint


def other(model: nn.Module) -> dict[str, torch.Tensor]:
    draws = torch.Generator().manual_seed(9)
    state = model.state_dict().items()
    return {n: t + 0.05 * torch.randn(t.shape, generator=draws) if t.is_floating_point() else t for n, t in state}


def checkpoint(model: Any) -> None:
    model.gradient_checkpointing_enable()
    model.train()


SAME: dict[str, Callable[[Any], object]] = {
    "eager": lambda model: model.set_attn_implementation("eager"),
    "training": lambda model: model.train(),
    "checkpointing": checkpoint,
    "more rows": lambda model: model.resize_token_embeddings(model.get_input_embeddings().num_embeddings + 8),
}
ANEW: dict[str, Callable[[Any], object]] = {
    "bf16": lambda model: model.to(torch.bfloat16),
    "other weights": lambda model: model.load_state_dict(other(model)),
    "other tensors": lambda model: model.load_state_dict(other(model), assign=True),
    "behind autograd's back": lambda model: [weight.data.mul_(1.1) for weight in model.parameters()],
    "top-k": lambda model: setattr(model.generation_config, "top_k", 3),
}
REFUSED: dict[str, Callable[[Any], object]] = {
    "no weights": lambda model: model.to("meta"),
    "fewer rows": lambda model: model.resize_token_embeddings(20),
    "growing rotations": lambda model: setattr(
        model.config.get_text_config(), "rope_parameters", {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}
    ),
}


@pytest.mark.parametrize(("kind", "change"), covering(CLASSES, [*SAME, *ANEW, *REFUSED]))
def test_changed_behind_the_wrapper(kind: str, change: str, folders: dict[str, Path]) -> None:
    """The same tokens, those of a wrapper made afterwards, or a refusal: never something in between."""
    model, processor = loaded(folders[kind], kind)
    pipe = SpatialPipeline(target=wrap(model, processor))
    before = draw(pipe, kind)
    assert isinstance(pipe.target.fingerprint, str) and len(pipe.target.codebook)
    (SAME | ANEW | REFUSED)[change](model)
    if change in REFUSED or (change == "more rows" and kind in BEHIND):
        with pytest.raises(BadInput):
            draw(pipe, kind)
        return
    after, anew = draw(pipe, kind), SpatialPipeline(target=wrap(model, processor))
    assert after == draw(anew, kind) == draw(pipe, kind, method="ar")
    assert after == before or change in ANEW
    assert pipe.target.fingerprint == anew.target.fingerprint and torch.equal(
        pipe.target.codebook, anew.target.codebook
    )


@pytest.mark.parametrize("kind", CLASSES)
def test_other_things_are_refused(kind: str, folders: dict[str, Path]) -> None:
    """The message says which model or processor is wanted."""
    model, processor = loaded(folders[kind], kind)
    wanted = CLASSES[kind][1]
    said = "got a tokenizer of class" if wanted is None else f"expected {wanted.__name__} of transformers"
    for wrong in (None, "folder", nn.Identity(), *([processor.tokenizer] if wanted else [])):
        with pytest.raises(BadInput, match=said):
            wrap(model, wrong)
    for thing in (None, str(folders[kind]), nn.DataParallel(model), torch.compile(model), model.model, nn.Linear(2, 2)):
        with pytest.raises(BadInput, match=r"got a model of class|got a \w+, expected a model of transformers"):
            wrap(thing, processor)
    model.lm_head = nn.Bilinear(2, 2, 2)
    if kind != "janus":
        with pytest.raises(BadInput, match="got an output layer of class Bilinear"):
            wrap(model, processor)
