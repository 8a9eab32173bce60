"""The JSON document of `generate` and `bench`: settings and, for each method, its figures. No NaN; null = undefined."""

from __future__ import annotations

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict

from spatialspec import devices

DTYPES: dict[str, torch.dtype] = {name: getattr(torch, full) for name, full in devices.DTYPES.items()}


class Strict(BaseModel):
    """Refuses unknown keys, NaN and infinity."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, frozen=True)


class Settings(Strict):
    """What a run was asked for, and what it ran on.

    Attributes:
        command: "generate" or "bench".
        model: name of the target.
        fingerprint: of the target's weights.
        drafts: hash of the draft weights; "" where there are none.
        prompts: number of prompts.
        num_images: images of each prompt.
        seed: of the run; `seed_rule` says how the seeds of images follow from it.
        guidance, temperature, top_k, top_p: see `Sampling`.
        size: ROWSxCOLUMNS.
        threads: of PyTorch on the CPU.
    """

    command: str
    model: str
    fingerprint: str
    drafts: str
    prompts: int
    num_images: int
    seed: int
    seed_rule: str
    verifier: str
    guidance: float
    temperature: float
    top_k: int
    top_p: float
    negative_prompt: str
    size: str
    device: str
    dtype: str
    version: str
    torch: str
    python: str
    threads: int


class MethodResult(Strict):
    """Figures of one method over the images of a run.

    Attributes:
        method: as it was given.
        verifier: "coupled" or "rejection".
        exact: the law of the image is the target's.
        seed_exact: moreover the tokens equal AR's for the same seed.
        images: number of images.
        target_passes: forward calls of the target, prefill too; mean per image.
        tokens_per_pass: cells scored per pass, mean.
        accepted_length: cells committed per pass that commits, mean; AR: 1.
        seconds: prefill and decoding of tokens, median per image; then its range and quartiles.
        speedup_seconds, speedup_passes: median of AR's value over this method's, image by image; null without AR.
        speedup_seconds_quartiles: spread of the former.
        same_tokens_as_ar: share of cells equal to AR's under the same seed; null without AR.
        unexplained_divergences: images that leave AR's without a tie; null unless seed-exact, in fp32, with AR.
        likelihood_gap, entropy, pit_ks: see `Distance`; null at temperature 0 and where they were not measured.
        peak_memory_bytes: most memory while this method worked; null where the system does not tell.
    """

    method: str
    verifier: str
    exact: bool
    seed_exact: bool
    images: int
    target_passes: float
    tokens_per_pass: float
    accepted_length: float
    seconds: float
    seconds_min: float
    seconds_max: float
    seconds_quartiles: tuple[float, float]
    speedup_seconds: float | None
    speedup_seconds_quartiles: tuple[float, float] | None
    speedup_passes: float | None
    same_tokens_as_ar: float | None
    unexplained_divergences: int | None
    likelihood_gap: float | None
    entropy: float | None
    pit_ks: float | None
    peak_memory_bytes: int | None
    device: str
    dtype: str
    version: str


class Document(Strict):
    """One run."""

    settings: Settings
    methods: list[MethodResult]

    def json_text(self) -> str:
        """The document as JSON, with a line break at the end."""
        return self.model_dump_json(indent=2) + "\n"


def dtype_name(dtype: torch.dtype) -> str:
    """Short name of a dtype, as on the command line."""
    return next((name for name, known in DTYPES.items() if known == dtype), str(dtype).removeprefix("torch."))


def quartiles(values: list[float]) -> tuple[float, float]:
    """First and third quartile."""
    low, high = np.percentile(values, (25, 75))
    return float(low), float(high)
