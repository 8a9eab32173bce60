"""Captured passes without a GPU: a replay calls the function again and writes into the same results."""

from __future__ import annotations

from collections.abc import Callable

from spatialspec.targets.passes import Results
from spatialspec.targets.runners import Captured, Replay


def replay_of(function: Callable[[], Results]) -> Replay:
    """As a graph does: results stay in their place, and inputs are read where they were."""
    results = function()

    def replay() -> None:
        for old, new in zip(results, function(), strict=True):
            if isinstance(old, dict):
                for layer, states in new.items():
                    old[layer].copy_(states)
            elif old is not None:
                old.copy_(new)

    return replay, results


def replayed() -> Captured:
    return Captured(replay_of)
