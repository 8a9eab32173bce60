"""Checks draft weights, folder by folder: complete, made for this model, of its width."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from spatialspec.core.errors import BadInput
from spatialspec.core.grid import Grid
from spatialspec.core.interfaces import Target
from spatialspec.doctor.report import Finding, from_error, ok, warning
from spatialspec.drafts.weights import DraftModel, Drafts, draft_folders


def check_drafts(target: Target, folder: Path | None, grid: Grid, usable: list[Drafts]) -> Iterator[Finding]:
    """Examine drafts.

    Args:
        target: of the drafts.
        folder: of drafts, or of such folders; None for none.
        grid: of the image to draw.
        usable: usable drafts are appended, on the target's device and in its dtype.

    Yields:
        A finding for each folder.
    """
    if folder is None:
        yield ok("drafts", "none", "none: spatial needs none; hawk, ssd and their kin do")
        return
    for path in draft_folders(folder) or [folder]:
        check = f"drafts {path.name}"
        try:
            model = DraftModel.read(path)
        except Exception as error:  # they may be broken in any way
            yield from_error(check, error, "config.json and model.safetensors of drafts, whole")
            continue
        finding = _judge(check, model, target, grid)
        if finding.status != "failed":
            usable.append(model.drafts.to(device=target.device, dtype=target.dtype).eval().requires_grad_(False))
        yield finding


def _judge(check: str, model: DraftModel, target: Target, grid: Grid) -> Finding:
    try:
        model.check(target)
    except BadInput as error:
        return from_error(check, error, "drafts of this model")
    sizes = asdict(model.drafts.config)
    count = sum(weight.numel() for weight in model.drafts.parameters())
    shown = ", ".join(f"{key} {value}" for key, value in sizes.items() if type(value) is int)
    if model.grid not in (None, grid):
        advice = "they work; expect shorter accepted lengths than on that grid"
        return warning(check, f"trained on {model.grid}", f"trained on {grid}, which is drawn", advice)
    got = f"{model.algorithm}: {shown}, {count:,} numbers, fingerprint {model.fingerprint}"
    return ok(check, got, "made for this model, of its width")
