"""Finds models by name, by path or on the Hub, and their draft weights. Imports torch only for the Hub."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from shlex import quote

from spatialspec.core.errors import BadInput, shown
from spatialspec.io.files import inside, read_config, read_text
from spatialspec.io.hub import USUAL, HubAccess, Repository, Unknown
from spatialspec.io.pipeline_folder import AR_PART, INDEX, PROCESSOR, ar_folder

WEIGHTS = Path(__file__).parent / "weights"
GRIDS = {"icons": "24x24"}
PICKLES = (".pt", ".pth", ".ckpt", ".bin")
DRAFT_FILES = ("config.json", "model.safetensors", "README.md")
BESIDE = tuple(f"drafts/*/{name}" for name in DRAFT_FILES)
SMALL = ("tokenizer.model", "vocab.json", "merges.txt", "chat_template.jinja")  # of tokenizers, besides `SIDE`


@dataclass(frozen=True)
class Family:
    """A supported family of published checkpoints, which the user downloads.

    Attributes:
        checkpoints: their names on the Hub.
        grid: rows x columns of image tokens.
        vocabulary: number of image tokens.
        licence: of the weights, in short; the card of a checkpoint is authoritative.
        first: what has to be converted before it is loaded; "" for nothing.
    """

    checkpoints: tuple[str, ...]
    grid: str
    vocabulary: int
    licence: str
    first: str = ""


LUMINA = tuple(f"Alpha-VLLM/Lumina-mGPT-{size}" for size in ("7B-512", "7B-768", "7B-1024", "34B-512"))
LUMINA2 = ("Alpha-VLLM/Lumina-mGPT-2.0", "Alpha-VLLM/Lumina-mGPT-2.0-Omni")
SIMPLEAR = tuple(f"Daniel0724/SimpleAR-{size}" for size in ("0.5B-RL", "1.5B-RL", "0.5B-SFT", "1.5B-SFT"))
RESEARCH, DECODER = "Chameleon research licence", "its image decoder"
FAMILIES = {
    "janus": Family(
        ("deepseek-community/Janus-Pro-1B", "deepseek-community/Janus-Pro-7B"), "24x24", 16384, "DeepSeek model licence"
    ),
    "emu3": Family(("BAAI/Emu3-Gen-hf",), "90x90, others too", 32768, "Apache-2.0"),
    "emu35": Family(("BAAI/Emu3.5-Image",), "55x73, others too", 131072, "Apache-2.0", "all of it"),
    "chameleon": Family(("leloy/Anole-7b-v0.1-hf",), "32x32", 8192, RESEARCH),
    "lumina": Family(LUMINA, "32x32, 48x48, 64x64, others too", 8192, RESEARCH, DECODER),
    "lumina2": Family(LUMINA2, "96x96, others too", 16384, "see cards", DECODER),
    "glm_image": Family(("zai-org/GLM-Image",), "36x24, others too", 16384, "see its card"),
    "liquid": Family(("Junfeng5/Liquid_V1_7B",), "32x32", 8192, "MIT, and those of Gemma and Chameleon", DECODER),
    "simplear": Family(SIMPLEAR, "64x64, smaller squares too", 64000, "see cards", DECODER),
    "llamagen": Family(
        ("FoundationVision/LlamaGen", "peizesun/llamagen_t2i", "csuhan/TA-Tok"),
        "16x16 to 64x64",
        16384,
        "see cards",
        "all of it",
    ),
}


def embedded() -> list[str]:
    """Names of the models inside the package."""
    return sorted(name for name in GRIDS if (WEIGHTS / name / "config.json").is_file())


def model_folder(model: str, access: HubAccess = USUAL, whole: bool = True) -> Path:
    """Folder of a model given by name, by path, or by its name on the Hub, from where its files are fetched.

    A path to config.json is read as its folder, a folder in the Hub's cache as its snapshot, and a pipeline of
    diffusers as the folder of its AR part.

    Args:
        model: name, path, OWNER/NAME, OWNER/NAME@REVISION, or its address on the Hub.
        access: to the Hub.
        whole: False fetches config.json only, into the same folder, and checks it.

    Raises:
        BadInput: none of these; the message has the nearest known name, and advice on the path.
    """
    if (folder := local_folder(model)) is not None:
        return folder
    path, repository = Path(model), Repository.read(model, access)
    if repository is not None and not repository.file and not path.exists():
        try:
            return _fetch(repository, whole)
        except Unknown as error:
            advice = "; else ".join(filter(None, (_nearest(repository.name), error.advice)))
            raise BadInput(error.got, error.expected, advice) from error
    names = ", ".join(embedded()) or "none in this installation"
    expected = f"a name ({names}), a folder with config.json, or OWNER/NAME of the Hub"
    raise BadInput(f"model {shown(model, 200)}", expected, _advice(model))


def local_folder(model: str) -> Path | None:
    """Folder of a model given by name or path, as `model_folder` reads them; None where there is none.

    Raises:
        BadInput: a folder in the Hub's cache with several snapshots.
    """
    if model in embedded():
        return WEIGHTS / model
    try:
        path = Path(model).expanduser()
        if path.name == "config.json" and path.is_file():
            path = path.parent
        path = ar_folder(_snapshot(path) or path)
        return path if model.strip() and (path / "config.json").is_file() else None
    except (OSError, ValueError, RuntimeError) as error:  # an impossible name, no permission, no home folder
        if isinstance(error, BadInput):
            raise
        return None


def _fetch(repository: Repository, whole: bool) -> Path:
    """The files of a model that are read here, once config.json has shown which."""
    folder = repository.fetch(("config.json",))
    if not (folder / "config.json").is_file():
        listed = repository.files()
        if f"{AR_PART}/config.json" in listed:
            return _fetch_part(repository, whole)
        names = [name for name in listed if Path(name).suffix in PICKLES]
        holds = f" with {', '.join(names[:3])}" if names else ""
        source, meta = f"{repository.name}/{names[0]}" if names else "", any(n.startswith("models/") for n in names)
        advice = _convert(repository.name if meta else source) if names else "this is no model of a supported family"
        raise BadInput(f"{repository.name}{holds}", "a repository with config.json", advice)

    from spatialspec.targets.loading import kind_of
    from spatialspec.targets.model_files import INDEX as SHARDS
    from spatialspec.targets.model_files import SIDE, SINGLE

    kind = kind_of(read_config(folder / "config.json"), repository.name)
    if not whole:
        return folder
    files = kind.files or (SINGLE, SHARDS, "model-*-of-*.safetensors", *SIDE, *SMALL)
    return repository.fetch(("config.json", *files, *kind.optional_weights, *kind.optional_files, *BESIDE))


def _fetch_part(repository: Repository, whole: bool) -> Path:
    """The AR part of a pipeline of diffusers, and its processor."""
    from spatialspec.targets.loading import kind_of
    from spatialspec.targets.model_files import SIDE

    folder = repository.fetch((INDEX, f"{AR_PART}/*.json")) / AR_PART
    kind_of(read_config(folder / "config.json"), repository.name)
    if whole:
        repository.fetch((f"{AR_PART}/model*.safetensors", *(f"{PROCESSOR}/{name}" for name in (*SIDE, *SMALL))))
    return folder


def _nearest(model: str) -> str:
    """Advice with the known name that is most like a wrong one; "" where none is, or the name is known."""
    known = {name: name for name in embedded()}
    for family in FAMILIES.values():
        known |= {key.lower(): name for name in family.checkpoints for key in (name, name.rpartition("/")[2])}
    owned = [key for key in known if ("/" in key) == ("/" in model)]
    names = get_close_matches(model.lower(), owned, 1) or get_close_matches(model.rpartition("/")[2].lower(), known, 1)
    name = known[names[0]] if names else model
    if name == model:
        return ""
    return f"give {name}" + (f", or run `hf download {name}`" if "/" in name else "") + ", the nearest known name"


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


def _advice(model: str) -> str:
    """Advice on a path that is no model's folder."""
    if not model.strip():
        return "give one with --model, or leave it out for icons"
    try:
        return _advice_on(Path(model).expanduser()) or _nearest(model) or "there is no such folder"
    except (OSError, ValueError, RuntimeError) as error:  # an impossible name, no permission, no home folder
        return f"check the path ({getattr(error, 'strerror', None) or error})"


def _advice_on(path: Path) -> str:
    if path.is_file():
        return f"this is a file: {_convert(path) if path.suffix in PICKLES else f'give its folder, {path.parent}'}"
    if not path.is_dir():
        return ""
    names = sorted(child.name for child in path.iterdir())
    if not names:
        return "the folder is empty: fetch the files again"
    if INDEX in names:
        return "this is a pipeline of diffusers without the AR part of GLM-Image"
    if "adapter_config.json" in names:
        return "these are adapters of a model: merge them with it (merge_and_unload of peft) and save the whole"
    if {"models", "tokenizer"} <= {*names}:
        return f"this is the layout of Meta's Chameleon and of Anole: {_convert(path)}"
    if pickles := [name for name in names if Path(name).suffix in PICKLES]:
        return f"it has {', '.join(pickles[:3])}: {_convert(path)}"
    inner = [name for name in names if (path / name / "config.json").is_file() or (path / name / "snapshots").is_dir()]
    if inner:
        return f"give a folder inside it: {', '.join(inner[:3])}"
    return "fetch config.json too" if any(name.endswith(".safetensors") for name in names) else "check the path"


def _convert(source: object) -> str:
    return f"run `spatialspec convert {quote(str(source))} OUT`, then give OUT"


def draft_folder(model: str, draft: str | None, access: HubAccess = USUAL, drafts: HubAccess = USUAL) -> Path | None:
    """Folder of draft weights: `draft`, by default that in the model's folder, or None.

    Args:
        model: as for `model_folder`.
        draft: name in the model's folder, path, or name on the Hub, from where the files are fetched.
        access: to the Hub, for the model.
        drafts: to the Hub, for the drafts: a revision of the model is not one of theirs.

    Raises:
        BadInput: `draft` is none of these.
    """
    beside = model_folder(model, access, whole=draft is not None and "/" not in draft) / "drafts"
    if draft is None:
        return beside if beside.is_dir() else None
    with suppress(OSError, ValueError, RuntimeError):  # an impossible name
        for folder in (beside / draft, Path(draft).expanduser()):
            if draft.strip() and folder.is_dir():
                return folder
    repository = Repository.read(draft, drafts)
    if repository is not None and not repository.file and not Path(draft).exists():
        return repository.fetch((*DRAFT_FILES, *(f"*/{name}" for name in DRAFT_FILES)))
    names = ", ".join(sorted(f.name for f in beside.glob("*/"))) or "none"
    expected = f"the name of drafts of {shown(model, 200)} ({names}), a folder, or OWNER/NAME of the Hub"
    raise BadInput(f"draft {shown(draft, 200)}", expected)
