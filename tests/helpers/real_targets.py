"""Every kind of target on disk, and what each has to show: the same picture as AR from every exact decoder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from helpers import llamagen_tiny
from helpers.tiny import tiny_folder
from helpers.tiny_causal import tiny_liquid, tiny_simplear
from helpers.tiny_chameleon import write_anole, write_lumina
from helpers.tiny_checkpoints import tiny_emu3, tiny_janus
from helpers.tiny_emu35 import tiny_emu35
from helpers.tiny_glm import tiny_glm
from helpers.tiny_lumina2 import tiny_lumina2
from helpers.tiny_tar import PROMPTS, tiny_tar
from spatialspec.core.grid import Grid
from spatialspec.core.interfaces import Target
from spatialspec.core.sampling import Sampling
from spatialspec.generation import generate
from spatialspec.methods.eagle import EagleConfig, EagleNetwork
from spatialspec.methods.hawk import HawkConfig, HawkHeads
from spatialspec.methods.hydra import HydraConfig, HydraHeads
from spatialspec.methods.method import Method
from spatialspec.methods.predictors import SSDConfig, SSDPredictors
from spatialspec.request import Request

WORDS = ("a red apple", "two cats on a mat by the sea")


@dataclass(frozen=True)
class Made:
    """A kind of model: what writes a tiny one into a new folder, a size that it draws, and two prompts."""

    make: Callable[[Path], Path]
    size: str | None = None
    prompts: tuple[str, str] = WORDS


def captions(folder: Path) -> Path:
    """LlamaGen from captions, with the features of two and no text encoder."""
    made = llamagen_tiny.tiny_folder(folder, "text")
    draw = torch.Generator().manual_seed(0)
    features = {words: torch.randn(3 + i, llamagen_tiny.CAPTION, generator=draw) for i, words in enumerate(WORDS)}
    save_file(features, made / "captions.safetensors")
    return made


MAKES = {
    "icons": Made(tiny_folder),
    "janus": Made(tiny_janus),
    "emu3": Made(tiny_emu3, "3x5"),
    "emu35": Made(tiny_emu35, "3x5"),
    "glm": Made(tiny_glm, "2x3"),
    "anole": Made(write_anole),
    "lumina": Made(write_lumina, "4x6"),
    "lumina2": Made(tiny_lumina2, "4x4"),
    "liquid": Made(tiny_liquid),
    "simplear": Made(tiny_simplear, "4x4"),
    "classes": Made(lambda folder: llamagen_tiny.tiny_folder(folder, "class"), "5x4", ("0", "golden retriever")),
    "captions": Made(captions),
    "codes": Made(tiny_tar, prompts=PROMPTS),
}


def random_drafts(target: Target) -> list[nn.Module]:
    """Untrained heads, predictors and layer, far from doing nothing."""
    torch.manual_seed(5)
    heads, predictors = HawkHeads(HawkConfig(target.width)), SSDPredictors(SSDConfig(target.width))
    for weight in (heads.horizontal, heads.vertical):
        nn.init.normal_(weight, std=0.1)
    hydra, eagle = HydraHeads(HydraConfig(target.width, vertical=1)), EagleNetwork(EagleConfig(target.width))
    for weight in (*hydra.horizontal, *hydra.vertical, eagle.layer.out.weight):
        nn.init.normal_(weight, std=0.1)
    return [part.eval().requires_grad_(False) for part in (heads, predictors, hydra, eagle)]


def same_as_ar(target: Target, grid: Grid, sampling: Sampling) -> None:
    """Two prompts of different lengths in a batch: every exact decoder draws what AR draws, mostly in fewer passes."""
    request = Request(WORDS, [3, 4], sampling, grid)
    drafts = random_drafts(target)
    expected, report = generate(target, [], Method.parse("ar"), request)
    assert report.target_passes == grid.cells and len(set(expected)) == 2
    assert all(len(tokens) == grid.cells and 0 <= min(tokens) <= max(tokens) < target.vocabulary for tokens in expected)
    passes = {}
    for method, given in (("jacobi", []), ("spatial", []), ("hawk", drafts), ("medusa", drafts)):
        tokens, report = generate(target, given, Method.parse(method), request)  # type: ignore[arg-type]
        assert tokens == expected, (method, len(given))
        passes[method, len(given)] = report.target_passes
    assert min(passes.values()) < grid.cells, passes
