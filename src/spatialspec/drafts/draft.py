"""`spatialspec train draft`: train drafts for a target, and write them with their card.

A new drafter is a file with a recipe and a task, and an entry in DRAFTERS.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import cast

import torch
from accelerate import Accelerator
from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers
from accelerate.utils import GradientAccumulationPlugin, LoggerType

from spatialspec.core.errors import BadInput
from spatialspec.drafts import weights
from spatialspec.drafts.card import draft_card
from spatialspec.drafts.checkpoint import tune_threads
from spatialspec.drafts.hawk import HawkTask
from spatialspec.drafts.progress import TrainingProgress
from spatialspec.drafts.recipes import Recipe
from spatialspec.drafts.spatial_model import SpatialModelTask
from spatialspec.drafts.ssd import SSDTask
from spatialspec.drafts.task import DraftTask
from spatialspec.drafts.teacher import shard
from spatialspec.drafts.trainer import state_folder, train
from spatialspec.drafts.training_data import TrainingData

DRAFTERS: dict[str, type[DraftTask]] = {"hawk": HawkTask, "ssd": SSDTask, "spatial-model": SpatialModelTask}


def accelerator(tracker: str | None, folder: Path) -> Accelerator:
    """An Accelerator with the processes and device of the launch, all cores, and a tracker by name.

    Raises:
        BadInput: there is no such tracker, or its package is not installed.
    """
    if tracker is not None:
        known = [str(name) for name in LOGGER_TYPE_TO_CLASS]  # of accelerate, and registered ones
        if tracker not in known:
            raise BadInput(f"--tracker {tracker}", f"one of {', '.join(known)}")
        if tracker in LoggerType.list() and tracker not in map(str, get_available_trackers()):
            raise BadInput(f"--tracker {tracker}", "its package", f"run `pip install {tracker}`")
    processes = Accelerator(
        cpu=not torch.accelerator.is_available(),
        log_with=tracker,
        project_dir=folder,
        mixed_precision="no",  # override the user's configuration of accelerate
        gradient_accumulation_plugin=GradientAccumulationPlugin(num_steps=1),
    )
    if "OMP_NUM_THREADS" not in os.environ:
        tune_threads(processes.num_processes)
    return processes


def train_draft(
    drafter: str, data: TrainingData, recipe: Recipe, out: Path, processes: Accelerator, command: str
) -> Mapping[str, float]:
    """Train drafts and write them, with their card, to `out`.

    Args:
        drafter: key of DRAFTERS.
        data: target and images.
        recipe: settings, of the drafter's type.
        out: folder; `state/` holds what resuming needs, the rest is what `--draft` takes.
        processes: from :func:`accelerator`.
        command: the command line, for the card.

    Returns:
        The figures of the card.

    Raises:
        BadInput: bad or missing data, or a training that diverged.
        OSError: a file could not be written.
    """
    target = data.target
    if data.together:
        shard(target, processes.device)
    task = DRAFTERS[drafter].make(data, recipe)
    if processes.log_with:
        processes.init_trackers("spatialspec", config=asdict(recipe))
    progress = TrainingProgress(data.report, bar=processes.is_main_process)
    drafts, best = train(task, state_folder(out, target.fingerprint, task), processes, progress)
    minutes = progress.seconds / 60
    figures = {**task.figures(drafts, best.figures or {}), "minutes of training": minutes}
    for name, value in figures.items():
        data.report(f"{name} {value:.3f}")
    if processes.is_main_process:
        count = sum(p.numel() for p in drafts.parameters())
        machine = f"{processes.device.type}, number of processes {processes.num_processes}"
        text = draft_card(drafter, target, task, count, best.step, figures, command, machine)
        weights.save(cast(weights.Drafts, drafts), out, target.fingerprint, target.name, target.grid, text)
    processes.end_training()
    return figures
