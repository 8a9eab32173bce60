"""Models that ship with the package, and paths to others. Imports no torch."""

from __future__ import annotations

from pathlib import Path

WEIGHTS = Path(__file__).parent / "weights"
GRIDS = {"icons": "24x24"}


def embedded() -> list[str]:
    """Names of the models inside the package."""
    return sorted(name for name in GRIDS if (WEIGHTS / name / "config.json").is_file())


def model_folder(model: str) -> Path:
    """Folder of a model given by name or path.

    Raises:
        ValueError: neither; the message lists the names.
    """
    if model in embedded():
        return WEIGHTS / model
    if (Path(model) / "config.json").is_file():
        return Path(model)
    there = ", ".join(embedded()) or "none in this installation"
    raise ValueError(f"got model {model!r}, expected a name ({there}) or a folder with config.json")


def draft_folder(model: str, draft: str | None) -> Path | None:
    """Folder of draft weights: the one given, else those beside the model, else None.

    Raises:
        ValueError: the one given is no folder.
    """
    if draft is None:
        beside = model_folder(model) / "drafts"
        return beside if beside.is_dir() else None
    beside = model_folder(model) / "drafts"
    for folder in (beside / draft, Path(draft)):
        if folder.is_dir():
            return folder
    there = ", ".join(sorted(f.name for f in beside.glob("*/"))) or "none"
    raise ValueError(f"got draft {draft!r}, expected the name of drafts of {model} ({there}) or a folder")
