"""Finds models by name or path, and their draft weights. Imports no torch."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from spatialspec.core.errors import BadInput, shown
from spatialspec.io.files import inside, read_text

WEIGHTS = Path(__file__).parent / "weights"
GRIDS = {"icons": "24x24"}
ON_HUB = re.compile(
    r"(?:https?:/{1,2}(?:www\.)?huggingface\.co/|hf:/{1,2})?(?P<owner>\w[\w.-]*)/(?P<name>\w[\w.-]*)(?:/tree/main)?/?"
)
PICKLES = (".pt", ".pth", ".ckpt", ".bin")
CONVERT = (
    "weights of LlamaGen and Chameleon's vqgan.ckpt are taken by `spatialspec convert`; of other models give the "
    "folder in the layout of transformers that `spatialspec models` lists"
)


@dataclass(frozen=True)
class Family:
    """A supported family of published checkpoints, which the user downloads.

    Attributes:
        checkpoints: their names on the Hub, or as published elsewhere.
        grid: rows x columns of image tokens.
        vocabulary: number of image tokens.
        licence: of the weights, in short; the card of a checkpoint is authoritative.
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
        "Alpha-VLLM/Lumina-mGPT-7B-512, -768, -1024, 34B-512", "32x32, 48x48, 64x64, others too", 8192,
        "Chameleon research licence",
    ),
    "llamagen": Family("LlamaGen B to XXL, class- or text-conditional", "16x16, 24x24, 32x32", 16384, "see cards"),
}  # fmt: skip


def embedded() -> list[str]:
    """Names of the models inside the package."""
    return sorted(name for name in GRIDS if (WEIGHTS / name / "config.json").is_file())


def model_folder(model: str) -> Path:
    """Folder of a model given by name or path.

    A path to config.json is read as its folder, a folder in the Hub's cache as its snapshot.

    Raises:
        BadInput: neither; the message lists the names, with advice on the path.
    """
    if model in embedded():
        return WEIGHTS / model
    try:
        path = Path(model).expanduser()
        if path.name == "config.json" and path.is_file():
            path = path.parent
        path = _snapshot(path) or path
        if model.strip() and (path / "config.json").is_file():
            return path
        advice = _advice(model, path)
    except (OSError, ValueError, RuntimeError) as error:  # an impossible name, no permission, no home folder
        if isinstance(error, BadInput):
            raise
        advice = f"check the path ({getattr(error, 'strerror', None) or error})"
    names = ", ".join(embedded()) or "none in this installation"
    raise BadInput(f"model {shown(model, 200)}", f"a name ({names}) or a folder with config.json", advice)


def _snapshot(path: Path) -> Path | None:
    """The snapshot in a folder of the Hub's cache, `models--OWNER--NAME`: that of `main`, or the only one."""
    if not (path / "snapshots").is_dir():
        return None
    main = path / "refs" / "main"
    if main.is_file():
        return inside(path / "snapshots", read_text(main, "the name of a snapshot", limit=1000).strip(), main)
    snapshots = sorted(folder for folder in (path / "snapshots").iterdir() if folder.is_dir())
    if len(snapshots) == 1:
        return snapshots[0]
    raise BadInput(f"{len(snapshots)} snapshots", "one", "give the folder of one of them", path / "snapshots")


def _advice(model: str, path: Path) -> str:
    """Advice on a path that is no model's folder."""
    if not model.strip():
        return "give one with --model, or leave it out for icons"
    on_hub = ON_HUB.fullmatch(model)
    if on_hub and not path.exists():
        name = on_hub["name"]
        command = f"hf download {on_hub['owner']}/{name} --local-dir {name}"
        return f"nothing is downloaded here: run `{command}`, then give {name}"
    if path.is_file():
        advice = CONVERT if path.suffix in PICKLES else f"give its folder, {path.parent}"
        return f"this is a file: {advice}"
    if not path.is_dir():
        return "there is no such folder"
    names = sorted(child.name for child in path.iterdir())
    if not names:
        return "the folder is empty: fetch the files again"
    if "model_index.json" in names:
        return "this is a pipeline of diffusers, which is not understood"
    if "adapter_config.json" in names:
        return "these are adapters of a model: merge them with it (merge_and_unload of peft) and save the whole"
    if pickles := [name for name in names if Path(name).suffix in PICKLES]:
        return f"it has {', '.join(pickles[:3])}: {CONVERT}"
    inner = [name for name in names if (path / name / "config.json").is_file() or (path / name / "snapshots").is_dir()]
    if inner:
        return f"give a folder inside it: {', '.join(inner[:3])}"
    return "fetch config.json too" if any(name.endswith(".safetensors") for name in names) else "check the path"


def draft_folder(model: str, draft: str | None) -> Path | None:
    """Folder of draft weights: `draft`, by default that in the model's folder, or None.

    Raises:
        BadInput: `draft` is no folder.
    """
    beside = model_folder(model) / "drafts"
    if draft is None:
        return beside if beside.is_dir() else None
    with suppress(OSError, ValueError, RuntimeError):  # an impossible name
        for folder in (beside / draft, Path(draft).expanduser()):
            if draft.strip() and folder.is_dir():
                return folder
    names = ", ".join(sorted(f.name for f in beside.glob("*/"))) or "none"
    raise BadInput(f"draft {shown(draft, 200)}", f"the name of drafts of {shown(model, 200)} ({names}) or a folder")
