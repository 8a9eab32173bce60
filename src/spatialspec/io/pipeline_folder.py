"""Pipelines of diffusers on disk whose AR part is a model of transformers: GLM-Image.

The AR part lies in one folder of the pipeline and its processor in another; `save_pretrained` of transformers writes
both into one.
"""

from __future__ import annotations

from pathlib import Path

INDEX, AR_PART, PROCESSOR = "model_index.json", "vision_language_encoder", "processor"


def ar_folder(folder: Path) -> Path:
    """Folder of the AR part of a pipeline; of anything else the folder itself."""
    part = folder / AR_PART
    return part if (folder / INDEX).is_file() and (part / "config.json").is_file() else folder


def pipeline_folder(folder: Path) -> Path:
    """Folder of the pipeline whose AR part a folder is; of any other model the folder itself."""
    whole = folder.absolute().parent
    return whole if folder.name == AR_PART and (whole / INDEX).is_file() else folder


def processor_folder(folder: Path) -> Path:
    """Where the processor of a model is: in its folder, or beside the AR part of a pipeline."""
    beside = pipeline_folder(folder) / PROCESSOR
    return beside if pipeline_folder(folder) != folder and beside.is_dir() else folder
