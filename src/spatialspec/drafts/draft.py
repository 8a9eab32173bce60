"""`spatialspec train draft`: from a target and data to a folder of drafts with their card.

A drafter is a file with a recipe and a lesson, and a line in DRAFTERS.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import torch
from accelerate import Accelerator
from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers
from accelerate.utils import GradientAccumulationPlugin, LoggerType

from spatialspec.core.errors import BadInput
from spatialspec.drafts import weights
from spatialspec.drafts.card import draft_card
from spatialspec.drafts.checkpoint import tune_threads
from spatialspec.drafts.hawk import HawkLesson
from spatialspec.drafts.lesson import Recipe
from spatialspec.drafts.material import Material
from spatialspec.drafts.progress import TrainingProgress
from spatialspec.drafts.spatial_model import SpatialModelLesson
from spatialspec.drafts.ssd import SSDLesson
from spatialspec.drafts.teacher import shard
from spatialspec.drafts.trainer import state_folder, train

DRAFTERS: dict[str, Any] = {"hawk": HawkLesson, "ssd": SSDLesson, "spatial-model": SpatialModelLesson}


def accelerator(tracker: str | None, folder: Path) -> Accelerator:
    """Processes and device as they were launched, all cores, and a tracker by its name in accelerate.

    Raises:
        BadInput: there is no such tracker, or its package is not installed.
    """
    if tracker is not None:
        known = [str(name) for name in LOGGER_TYPE_TO_CLASS]  # those of accelerate, and what a program has registered
        there = [str(name) for name in get_available_trackers()]
        if tracker not in known:
            raise BadInput(f"--tracker {tracker}", f"one of {', '.join(known)}")
        if tracker in LoggerType.list() and tracker not in there:
            raise BadInput(f"--tracker {tracker}", "its package", f"run `pip install {tracker}`")
    made = Accelerator(
        cpu=not torch.accelerator.is_available(),
        log_with=tracker,
        project_dir=folder,
        mixed_precision="no",  # these two whatever a configuration of accelerate says
        gradient_accumulation_plugin=GradientAccumulationPlugin(num_steps=1),
    )
    if "OMP_NUM_THREADS" not in os.environ:
        tune_threads(made.num_processes)
    return made


def train_draft(
    drafter: str,
    material: Material,
    recipe: Recipe,
    out: Path,
    processes: Accelerator,
    command: str,
) -> Mapping[str, float]:
    """Train drafts and write them, with their card, to `out`.

    Args:
        drafter: key of DRAFTERS.
        material: target and data.
        recipe: settings, of the kind that the drafter has.
        out: folder; `state/` holds what resuming needs, the rest is what `--draft` takes.
        processes: of :func:`accelerator`.
        command: that started this, for the card.

    Returns:
        The figures of the card.

    Raises:
        BadInput: bad or missing data, or a training that went wrong.
        OSError: something could not be written.
    """
    target = material.target
    if material.together:
        shard(target, processes.device)
    lesson = DRAFTERS[drafter].make(material, recipe)
    if processes.log_with:
        processes.init_trackers("spatialspec", config=asdict(recipe))
    progress = TrainingProgress(material.report, bar=processes.is_main_process)
    drafts, best = train(lesson, state_folder(out, target.fingerprint, lesson), processes, progress)
    minutes = progress.seconds / 60
    figures: dict[str, float] = {**lesson.figures(drafts, best), "minutes of training": minutes}
    for name, value in figures.items():
        material.report(f"{name} {value:.3f}")
    if processes.is_main_process:
        count = sum(p.numel() for p in drafts.parameters())
        dtype = str(target.dtype).removeprefix("torch.")
        machine = f"target in {dtype} on {processes.device.type}, number of processes {processes.num_processes}"
        card = draft_card(drafter, target.name, lesson, count, best.step, figures, command, machine)
        weights.save(cast(weights.Drafts, drafts), out, target.fingerprint, target.name, target.grid, card)
    processes.end_training()
    return figures
