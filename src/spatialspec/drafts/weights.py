"""Draft weights in a folder: `config.json` with a `speculators_config` block, `model.safetensors`, `README.md`."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import torch
from huggingface_hub import ModelHubMixin, snapshot_download

from spatialspec.core.context import Unfit
from spatialspec.core.errors import BadInput, shown
from spatialspec.core.grid import Grid
from spatialspec.core.interfaces import Target
from spatialspec.core.sizes import read_name, read_sizes
from spatialspec.io.files import read_config, read_text, write_text
from spatialspec.io.tensors import load_module, write_weights
from spatialspec.methods.hawk import HawkConfig, HawkHeads
from spatialspec.methods.predictors import SSDConfig, SSDPredictors
from spatialspec.methods.spatial_model.config import SpatialModelConfig
from spatialspec.methods.spatial_model.drafter import depth
from spatialspec.methods.spatial_model.network import SpatialNetwork
from spatialspec.methods.spatial_model.vocabulary import DraftVocabulary, output_rows

Drafts = HawkHeads | SSDPredictors | SpatialNetwork
KINDS: dict[str, tuple[type[Any], type[Any]]] = {
    "hawk": (HawkHeads, HawkConfig),
    "ssd": (SSDPredictors, SSDConfig),
    "spatial-model": (SpatialNetwork, SpatialModelConfig),
}
FILES = ("config.json", "model.safetensors", "README.md")
REQUIRED = ("sizes", "target_fingerprint", "speculators_config")
TRAIN = "train drafts for it with `spatialspec train draft`"


def build(algorithm: str, sizes: dict[str, Any]) -> Drafts:
    """Untrained drafts of an algorithm (key of KINDS), from the fields of its configuration."""
    kind, config = KINDS[algorithm]
    return kind(config(**sizes))


@dataclass
class DraftModel(ModelHubMixin, library_name="spatialspec", tags=["speculative-decoding", "text-to-image"]):
    """Drafts and the target that they are for, with `save_pretrained`, `from_pretrained` and `push_to_hub`.

    Attributes:
        drafts: the network, without any weight of the target.
        target: name of the target.
        fingerprint: of the target; the drafts cannot be used with another.
        grid: of the training; None where it is unknown.
        card: text of `README.md`; empty for none.
    """

    drafts: Drafts
    target: str
    fingerprint: str
    grid: Grid | None = None
    card: str = ""

    @property
    def algorithm(self) -> str:
        """Key of KINDS."""
        (name,) = (name for name, (kind, _) in KINDS.items() if isinstance(self.drafts, kind))
        return name

    @property
    def config(self) -> dict[str, Any]:
        """Contents of `config.json`."""
        sizes = asdict(self.drafts.config)
        method: dict[str, Any] = {"proposal_type": "spatial"}
        if "horizontal" in sizes:
            method["speculative_tokens"] = sizes["horizontal"] + sizes["vertical"]
        return {
            "model_type": "spatialspec_draft",
            "architectures": [type(self.drafts).__name__],
            "sizes": sizes,
            **({"grid": asdict(self.grid)} if self.grid else {}),
            "target_fingerprint": self.fingerprint,
            "speculators_config": {
                "algorithm": self.algorithm,
                "proposal_methods": [method],
                "default_proposal_method": "spatial",
                "verifier": {"name_or_path": self.target},
            },
        }

    def write(self, folder: Path) -> None:
        """Write weights (bfloat16), configuration and card, each atomically.

        Raises:
            OSError: a file could not be written.
        """
        folder.mkdir(parents=True, exist_ok=True)
        write_weights(self.drafts, folder / "model.safetensors")
        write_text(folder / "config.json", json.dumps(self.config, indent=2) + "\n")
        if self.card:
            write_text(folder / "README.md", self.card)

    def _save_pretrained(self, save_directory: Path) -> None:
        self.write(save_directory)

    @classmethod
    def _from_pretrained(cls, *, model_id: str, **options: Any) -> Self:
        if Path(model_id).is_dir():
            return cls.read(Path(model_id))
        names = ("revision", "cache_dir", "force_download", "local_files_only", "token")
        known = {name: options[name] for name in names}
        return cls.read(Path(snapshot_download(model_id, allow_patterns=list(FILES), **known)))

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read a folder.

        Raises:
            BadInput: a file is missing, damaged or foreign.
        """
        where, weights, card = (folder / name for name in FILES)
        if not where.is_file():
            raise BadInput(f"no file {where}", "a folder of draft weights", "check the path")
        config = read_config(where, REQUIRED, "give a folder of draft weights, as `train draft` writes them")
        block = config["speculators_config"] if isinstance(config["speculators_config"], dict) else {}
        verifier = block.get("verifier", {})
        target = verifier.get("name_or_path", "") if isinstance(verifier, dict) else ""
        name = _algorithm(config)
        if not name:
            got = f"drafts for the algorithm {shown(block.get('algorithm'))}"
            raise BadInput(got, f"one of {', '.join(KINDS)}", "fetch it again", where)
        kind, config_type = KINDS[name]
        sizes = read_sizes(config_type, config["sizes"], f"{where}: sizes")
        grid = read_sizes(Grid, config["grid"], f"{where}: grid") if "grid" in config else None
        fingerprint = read_name(config["target_fingerprint"], f"{where}: target_fingerprint")
        drafts = load_module(lambda: kind(sizes), weights, where, dtype=torch.float32)
        for part in drafts.modules():
            if isinstance(part, DraftVocabulary):
                part.check(weights)
        text = read_text(card) if card.is_file() else ""
        return cls(drafts, read_name(target, f"{where}: verifier") if target else "", fingerprint, grid, text)

    def check(self, target: Target) -> None:
        """Refuse drafts that do not fit a target.

        Raises:
            BadInput: they are for another target, have another width, need more tokens or layers than it has, or hold
                numbers that are not finite.
        """
        c, maker = self.drafts.config, f"{self.algorithm} for {self.target or 'a target'}"
        if self.fingerprint != target.fingerprint:
            got = f"drafts for target {self.fingerprint} ({maker})"
            raise BadInput(got, f"{target.fingerprint} ({target.name})", TRAIN)
        if c.width != target.width:
            raise BadInput(f"width {c.width} ({maker})", f"width {target.width} of {target.name}", TRAIN)
        if not all(bool(weight.isfinite().all()) for weight in self.drafts.parameters()):
            raise BadInput(f"numbers that are not finite ({maker})", "finite numbers", f"fetch them again, or {TRAIN}")
        if isinstance(c, SpatialModelConfig):
            c.layers_read(depth(target))
        for part in self.drafts.modules():
            if isinstance(part, DraftVocabulary) and part.tokens is not None:
                output_rows(target, int(part.tokens.max()) + 1)


def _algorithm(config: dict[str, Any]) -> str:
    """Key of KINDS in a configuration; "" for none."""
    block = config.get("speculators_config")
    name = block.get("algorithm") if isinstance(block, dict) else None
    return name if isinstance(name, str) and name in KINDS else ""


def save(drafts: Drafts, folder: Path, fingerprint: str, target: str, grid: Grid | None = None, card: str = "") -> None:
    """Write the drafts of a target; see :class:`DraftModel`."""
    DraftModel(drafts, target, fingerprint, grid, card).write(folder)


def load(folder: Path, target: Target) -> Drafts:
    """Read the drafts of a target, to its device and in its type.

    Raises:
        BadInput: a file is missing, damaged or foreign, or the drafts do not fit the target.
    """
    drafts = load_beside(folder, target)
    if isinstance(drafts, Unfit):
        raise drafts.error
    return drafts


def draft_folders(folder: Path) -> list[Path]:
    """The folder, if it holds drafts, else all folders of drafts directly inside it."""
    if (folder / "config.json").is_file():
        return [folder]
    return sorted(path.parent for path in folder.glob("*/config.json")) if folder.is_dir() else []


def load_all(folder: Path, target: Target) -> list[Drafts]:
    """Read a folder of drafts, or every folder of drafts directly inside it.

    Raises:
        BadInput: there are none, or some are damaged or do not fit the target.
    """
    folders = draft_folders(folder)
    if not folders:
        got = f"no draft weights in {shown(str(folder))}"
        raise BadInput(got, "config.json there, or in folders inside it", "check --draft")
    return [load(path, target) for path in folders]


def load_beside(folder: Path, target: Target) -> Drafts | Unfit:
    """Read drafts; damaged or foreign ones are returned as `Unfit`, an error only when a method needs them."""
    try:
        model = DraftModel.read(folder)
        model.check(target)
    except BadInput as error:
        name = ""
        with suppress(BadInput):
            name = _algorithm(read_config(folder / "config.json"))
        advice, where = error.advice or "fetch it again", error.where or folder
        return Unfit(name, BadInput(error.got, error.expected, advice, where))
    return model.drafts.to(device=target.device, dtype=target.dtype).eval().requires_grad_(False)
