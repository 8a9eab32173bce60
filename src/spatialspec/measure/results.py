"""The JSON document of `generate` and `bench`: settings, figures of methods and of images. Null is undefined."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from io import StringIO
from statistics import fmean
from typing import Any

from pydantic import Field

from spatialspec.core.clock import STAGES
from spatialspec.measure.distance import distance
from spatialspec.measure.documents import JsonDocument, RunSettings, Strict
from spatialspec.measure.metrics import MethodResult, MethodRun


class Settings(RunSettings):
    """Settings of a run.

    Attributes:
        fingerprint: of the target's weights that drafts depend on.
        identity: of everything of the target that images depend on, see `io.identity`; "" from `generate`, in 0.1.0.
        drafts: hash of the draft weights; "" without drafts.
        draft_model: name and fingerprint of the draft model; "" without one.
        prompts: number of prompts.
        num_images: images of each prompt.
        seed: of the run; `seed_rule` defines the seeds of images.
        guidance, temperature, top_k, top_p, min_p: see `Sampling`.
        size: ROWSxCOLUMNS.
        engine: how passes were run; "" in 0.1.0.
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
    engine: str = ""
    draft_model: str = ""


class DrawnImage(Strict):
    """One image of one method.

    Attributes:
        prompt: of the image.
        seed: of the image.
        method: name and options.
        passes: target passes, the prefill too; passes of a batch count for each of its images.
        accepted_length: cells committed per pass that commits.
        seconds: until its last token.
        stages: of them, seconds by stage, mean over the batch.
        same_tokens_as_ar: share of cells equal to AR's; null without AR.
        likelihood_gap: of this image alone; null at temperature 0.
        file: that it was written to; null for none.
        draft_passes: passes of the draft model; 0 without one.
    """

    prompt: str
    seed: int
    method: str
    passes: int
    accepted_length: float
    seconds: float
    stages: dict[str, float]
    same_tokens_as_ar: float | None
    likelihood_gap: float | None
    file: str | None = None
    draft_passes: int = 0


def image_records(run: MethodRun, files: Sequence[str | None] = ()) -> list[DrawnImage]:
    """One record for each image of a method, with the files that they were written to, if there are any."""
    records: list[DrawnImage] = []
    for i, sample in enumerate(run.samples):
        tokens, ar = sample.drawn.tokens, run.reference[i].drawn.tokens if run.reference else None
        own, cost = distance([run.cells[i]]), sample.cost
        values: dict[str, Any] = {"prompt": sample.drawn.prompt, "seed": sample.drawn.seed, "method": str(run.method)}
        values |= {"passes": cost.passes, "accepted_length": cost.accepted_length, "seconds": cost.seconds}
        values["stages"] = dict(sample.report.stages)
        values["draft_passes"] = cost.draft_passes
        values["same_tokens_as_ar"] = fmean(a == b for a, b in zip(ar, tokens, strict=True)) if ar else None
        values["likelihood_gap"] = own.likelihood_gap if own else None
        records.append(DrawnImage(**values, file=files[i] if files else None))
    return records


class Document(JsonDocument):
    """One run."""

    settings: Settings
    methods: list[MethodResult]
    images: list[DrawnImage] = Field(default_factory=list)

    def csv_text(self) -> str:
        """The images as a table with a line of headings; an undefined value is an empty cell."""
        text, stages = StringIO(), {stage: f"seconds_{stage}" for stage in STAGES}
        names = [
            name for field in DrawnImage.model_fields for name in ([*stages.values()] if field == "stages" else [field])
        ]
        writer = csv.DictWriter(text, names, lineterminator="\n")
        writer.writeheader()
        for record in self.images:
            row = record.model_dump()
            spent = row.pop("stages")
            writer.writerow(row | {name: spent[stage] for stage, name in stages.items()})
        return text.getvalue()
