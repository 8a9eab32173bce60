"""SSD's predictors from several folders on the same prompts, for the ablations of their training."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spatialspec.core.errors import BadInput
from spatialspec.drafts.acceptance import by_rejection
from spatialspec.io.files import read_text
from spatialspec.io.identity import drafts_digest
from spatialspec.lab.reproduce.context import ExperimentContext
from spatialspec.lab.reproduce.paired import FIGURES, draw_all
from spatialspec.lab.reproduce.readings import draft_distributions, inner_cells, readings
from spatialspec.lab.reproduce.report import Column, Table, Value
from spatialspec.methods.predictors import SSDPredictors

METHOD = "ssd:rounds=0"  # the paper's ablations of training use no correction
TRAINED = re.compile(r"trained on ([\d,]+) ")  # of the card


@dataclass(frozen=True)
class DraftFolder:
    """Draft weights.

    Attributes:
        path: of the folder.
        predictors: SSD's.
    """

    path: Path
    predictors: SSDPredictors

    @property
    def images(self) -> int:
        """Number of images that they were trained on, from the card.

        Raises:
            BadInput: there is no card, or it lacks the number.
        """
        card = self.path / "README.md"
        match = TRAINED.search(read_text(card)) if card.is_file() else None
        if match is None:
            raise BadInput("no number of images", "`trained on N ...` as `train draft` writes", where=card)
        return int(match[1].replace(",", ""))


def open_folders(context: ExperimentContext, make: str) -> list[DraftFolder]:
    """Load the folders of the command line.

    Args:
        context: with the folders.
        make: command that trains such drafts, for the message.

    Raises:
        BadInput: fewer than two, or one without SSD's predictors for this target.
    """
    if len(context.folders) < 2:
        raise BadInput(f"{len(context.folders)} folders of drafts", "--drafts A,B,...", f"make them with {make}")
    folders = []
    for path in context.folders:
        predictors = [drafts for drafts in context.load(path) if isinstance(drafts, SSDPredictors)]
        if len(predictors) != 1:
            raise BadInput(f"--drafts {path} with {len(predictors)} sets of SSD's predictors", "one", f"{make}")
        folders.append(DraftFolder(path, predictors[0]))
    return folders


def compare_folders(
    context: ExperimentContext, folders: Mapping[str, DraftFolder], paper: Mapping[str, Value], first: str
) -> tuple[Table, dict[str, list[float] | None]]:
    """SSD without rounds with each set of predictors.

    Args:
        context: target and prompts.
        folders: name of each -> folder.
        paper: name -> DPG-Bench of the paper.
        first: heading of the column of names.

    Returns:
        A table, and by name the log-likelihood gap of every image minus that of AR.
    """
    columns = [
        Column(key="drafts", label=first),
        Column(key="right", label="accepted, right 1", form="{:.3f}"),
        Column(key="down", label="accepted, down 1", form="{:.3f}"),
        *FIGURES[1:],
        Column(key="paper_dpg", label="paper: DPG", form="{:.2f}"),
        Column(key="weights", label="hash of the weights"),
    ]
    rows: list[dict[str, Value]] = []
    away = {}
    for name, folder in folders.items():
        run = draw_all(context.with_drafts([folder.predictors]), [METHOD])
        away[name] = run.away(METHOD)
        right, down = (accepted(context, folder.predictors, down=down) for down in (False, True))
        facts: dict[str, Value] = {
            "drafts": name, "right": right, "down": down, "paper_dpg": paper.get(name),
            "weights": drafts_digest([folder.predictors]),
        }  # fmt: skip
        rows.append(run.row(METHOD) | facts)
    return Table(caption="SSD without rounds, means over prompts:", columns=columns, rows=rows), away


def accepted(context: ExperimentContext, predictors: SSDPredictors, down: bool) -> float:
    """Mean probability that rejection accepts the draft of the first head of a direction."""
    cells = inner_cells(context.grid, 1, 1)
    offset = context.grid.columns if down else 1
    values = []
    for reading in readings(context):
        p = context.request.sampling.distribution(reading.logits)
        q = draft_distributions(context.target, predictors, reading, down, 0, context.request.sampling)
        values.append(float(by_rejection(p[cells], q[cells - offset]).mean()))
    return float(np.mean(values))
