"""What every target around a checkpoint has to show: the same picture as AR from every exact decoder."""

from __future__ import annotations

import torch
from torch import nn

from spatialspec.core.distribution import Sampling
from spatialspec.core.grid import Grid
from spatialspec.core.protocols import Target
from spatialspec.drafters.hawk import HawkConfig, HawkHeads
from spatialspec.drafters.predictors import SSDConfig, SSDPredictors
from spatialspec.generation import Request, generate
from spatialspec.methods import Method


def random_drafts(target: Target) -> list[nn.Module]:
    """Untrained heads and predictors, far from doing nothing."""
    torch.manual_seed(5)
    heads, predictors = HawkHeads(HawkConfig(target.width)), SSDPredictors(SSDConfig(target.width))
    for weight in (heads.horizontal, heads.vertical):
        nn.init.normal_(weight, std=0.1)
    return [heads.eval().requires_grad_(False), predictors.eval().requires_grad_(False)]


def same_as_ar(target: Target, grid: Grid, sampling: Sampling) -> None:
    """Two prompts of different lengths in a batch: every exact decoder draws what AR draws, mostly in fewer passes."""
    request = Request(["a red apple", "two cats on a mat by the sea"], [3, 4], sampling, grid)
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
