"""Draft weights in a folder: `config.json` with a `speculators_config` block, `model.safetensors`, `README.md`."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import torch
from huggingface_hub import ModelHubMixin, snapshot_download

from spatialspec.core.errors import BadInput
from spatialspec.core.grid import Grid
from spatialspec.drafters.draft_vocabulary import DraftVocabulary
from spatialspec.drafters.hawk import HawkConfig, HawkHeads
from spatialspec.drafters.predictors import SSDConfig, SSDPredictors
from spatialspec.drafters.spatial_model_config import SpatialModelConfig
from spatialspec.drafters.spatial_model_network import SpatialNetwork
from spatialspec.files import read_config, write_text
from spatialspec.tensors import read_weights, write_weights

Drafts = HawkHeads | SSDPredictors | SpatialNetwork
KINDS: dict[str, tuple[type[Any], type[Any]]] = {
    "hawk": (HawkHeads, HawkConfig),
    "ssd": (SSDPredictors, SSDConfig),
    "spatial-model": (SpatialNetwork, SpatialModelConfig),
}
FILES = ("config.json", "model.safetensors", "README.md")


def build(algorithm: str, sizes: dict[str, Any]) -> Drafts:
    """Make untrained drafts.

    Args:
        algorithm: key of KINDS.
        sizes: fields of its configuration.
    """
    if algorithm not in KINDS:
        raise BadInput(f"drafts for the algorithm {algorithm!r}", f"one of {', '.join(KINDS)}")
    kind, config = KINDS[algorithm]
    return kind(config(**sizes))


@dataclass
class DraftModel(ModelHubMixin, library_name="spatialspec", tags=["speculative-decoding", "text-to-image"]):
    """Drafts and what they were made for, with `save_pretrained`, `from_pretrained` and `push_to_hub`.

    Attributes:
        drafts: the network, without any weight of the target.
        target: name of the target.
        fingerprint: of the target; they are of no use with another.
        grid: that they were trained on; None where that was not written down.
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
        """What `config.json` holds."""
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
        """Write weights (bfloat16), configuration and card, each whole or not at all.

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
    def _from_pretrained(
        cls,
        *,
        model_id: str,
        revision: str | None,
        cache_dir: str | Path | None,
        force_download: bool,
        local_files_only: bool,
        token: str | bool | None,
        **unknown: Any,
    ) -> Self:
        if Path(model_id).is_dir():
            return cls.read(Path(model_id))
        found = snapshot_download(
            model_id, revision=revision, cache_dir=cache_dir, force_download=force_download, token=token,
            local_files_only=local_files_only, allow_patterns=list(FILES),
        )  # fmt: skip
        return cls.read(Path(found))

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read a folder.

        Raises:
            BadInput: a file is missing, damaged or foreign.
        """
        config = read_config(folder / "config.json", ("sizes", "target_fingerprint", "speculators_config"))
        try:
            block = config["speculators_config"]
            drafts = build(block.get("algorithm", ""), config["sizes"])
            grid = Grid(**config["grid"]) if "grid" in config else None
            target = str(block.get("verifier", {}).get("name_or_path", ""))
        except (TypeError, AttributeError, RuntimeError, AssertionError, ZeroDivisionError) as error:
            raise BadInput(f"others ({error})", "sizes of such drafts", where=folder / "config.json") from error
        read_weights(drafts, folder / "model.safetensors")
        for part in drafts.modules():
            if isinstance(part, DraftVocabulary):
                part.check(folder / "model.safetensors")
        card = folder / "README.md"
        text = card.read_text(encoding="utf-8") if card.is_file() else ""
        return cls(drafts, target, config["target_fingerprint"], grid, text)


def save(drafts: Drafts, folder: Path, fingerprint: str, target: str, grid: Grid | None = None, card: str = "") -> None:
    """Write drafts made for a target; see :class:`DraftModel`."""
    DraftModel(drafts, target, fingerprint, grid, card).write(folder)


def load(folder: Path, fingerprint: str, device: str = "cpu", dtype: torch.dtype = torch.float32) -> Drafts:
    """Read drafts made for the target with this fingerprint.

    Raises:
        BadInput: a file is missing, damaged or foreign, or the drafts were made for another target.
    """
    made_for = read_config(folder / "config.json", ("target_fingerprint",))["target_fingerprint"]
    if made_for != fingerprint:
        raise BadInput(f"drafts for target {made_for}", f"{fingerprint}", "train drafts for it", where=folder)
    return DraftModel.read(folder).drafts.to(device=device, dtype=dtype).eval().requires_grad_(False)


def load_all(folder: Path, fingerprint: str, device: str = "cpu", dtype: torch.dtype = torch.float32) -> list[Drafts]:
    """Read a folder of drafts, or every folder of drafts directly inside it."""
    if not folder.is_dir():
        raise BadInput(f"no folder {folder}", "one with draft weights", "check --draft")
    folders = [folder] if (folder / "config.json").is_file() else sorted(f.parent for f in folder.glob("*/config.json"))
    return [load(f, fingerprint, device, dtype) for f in folders]
