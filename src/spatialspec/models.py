"""Models that ship with the package, and paths to others. Imports no torch."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from spatialspec.core.errors import BadInput, shown

WEIGHTS = Path(__file__).parent / "weights"
GRIDS = {"icons": "24x24"}


@dataclass(frozen=True)
class Family:
    """A family of published checkpoints that can be drawn from, once somebody has fetched one.

    Attributes:
        checkpoints: their names on the Hub, or what they are called where they lie elsewhere.
        grid: rows x columns of image tokens.
        vocabulary: number of image tokens.
        licence: of the weights, in short; the card of a checkpoint has the last word.
    """

    checkpoints: str
    grid: str
    vocabulary: int
    licence: str


FAMILIES = {
    "janus": Family("deepseek-community/Janus-Pro-1B, -7B", "24x24", 16384, "DeepSeek model licence"),
    "emu3": Family("BAAI/Emu3-Gen-hf", "90x90, others too", 32768, "Apache-2.0"),
    "chameleon": Family("Anole-7b-v0.1", "32x32", 8192, "Chameleon research licence"),
    "lumina": Family(
        "Alpha-VLLM/Lumina-mGPT-7B-512, -768, -1024", "32x32, 48x48, 64x64, others too", 8192,
        "Chameleon research licence",
    ),
    "llamagen": Family("LlamaGen B to XXL, class- or text-conditional", "16x16, 24x24, 32x32", 16384, "see cards"),
}  # fmt: skip


def embedded() -> list[str]:
    """Names of the models inside the package."""
    return sorted(name for name in GRIDS if (WEIGHTS / name / "config.json").is_file())


def model_folder(model: str) -> Path:
    """Folder of a model given by name or path.

    Raises:
        BadInput: neither; the message lists the names.
    """
    if model in embedded():
        return WEIGHTS / model
    if (Path(model) / "config.json").is_file():
        return Path(model)
    there = ", ".join(embedded()) or "none in this installation"
    raise BadInput(f"model {model!r}", f"a name ({there}) or a folder with config.json")


def draft_folder(model: str, draft: str | None) -> Path | None:
    """Folder of draft weights: the one given, else those beside the model, else None.

    Raises:
        BadInput: the one given is no folder.
    """
    beside = model_folder(model) / "drafts"
    if draft is None:
        return beside if beside.is_dir() else None
    with suppress(OSError):  # a name that no file can have
        for folder in (beside / draft, Path(draft)):
            if draft.strip() and folder.is_dir():
                return folder
    there = ", ".join(sorted(f.name for f in beside.glob("*/"))) or "none"
    raise BadInput(f"draft {shown(draft)}", f"the name of drafts of {model} ({there}) or a folder")
