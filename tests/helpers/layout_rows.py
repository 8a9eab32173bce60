"""What rows of the table of layouts in `docs/checkpoints.md` have in common: drawn from, converted, or refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from spatialspec import BadInput, SpatialPipeline

Call = Callable[..., tuple[int, str, str]]


def draws(folder: str | Path, prompt: str = "a red apple", size: str | None = None) -> None:
    pipe = SpatialPipeline.from_pretrained(folder)
    out = pipe(prompt, size=size, seed=0)
    assert out.tokens == pipe(prompt, size=size, seed=0, method="ar").tokens
    assert out.report.seed_exact and out.images[0].width > 0


def converted(call: Call, prompt: str, size: str | None, source: str, *options: object) -> None:
    code, _, err = call("convert", source, "made", *options)
    assert code == 0, err
    draws("made", prompt, size)


def refused(model: str | Path, advice: str) -> None:
    with pytest.raises(BadInput, match=advice) as error:
        SpatialPipeline.from_pretrained(model)
    assert error.value.advice and "\n" not in str(error.value)
