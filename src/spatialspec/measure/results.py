"""The JSON document of `generate` and `bench`: settings and, for each method, its figures. Null is undefined."""

from __future__ import annotations

from spatialspec.measure.documents import JsonDocument, RunSettings
from spatialspec.measure.metrics import MethodResult


class Settings(RunSettings):
    """Settings of a run.

    Attributes:
        fingerprint: of the target's weights that drafts depend on.
        identity: of everything of the target that images depend on, see `io.identity`; "" from `generate`, in 0.1.0.
        drafts: hash of the draft weights; "" without drafts.
        prompts: number of prompts.
        num_images: images of each prompt.
        seed: of the run; `seed_rule` defines the seeds of images.
        guidance, temperature, top_k, top_p, min_p: see `Sampling`.
        size: ROWSxCOLUMNS.
    """

    fingerprint: str
    identity: str = ""
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
    min_p: float = 0.0
    negative_prompt: str
    size: str
    device: str
    dtype: str


class Document(JsonDocument):
    """One run."""

    settings: Settings
    methods: list[MethodResult]
