"""From a folder, or a model of transformers that is already loaded, to a target: one class for each kind of model."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from spatialspec.core.errors import BadInput
from spatialspec.core.protocols import Target
from spatialspec.files import read_config
from spatialspec.targets.icons import IconsTarget

_T = "spatialspec.targets."
KINDS = {  # `model_type` of config.json -> module:Class
    "janus": _T + "janus:JanusTarget",
    "emu3": _T + "emu3:Emu3Target",
    "chameleon": _T + "chameleon:ChameleonTarget",
    "lumina_mgpt": _T + "lumina:LuminaTarget",
    "llamagen": _T + "llamagen:LlamaGenTarget",
}
ARCHITECTURES = {"ChameleonXLLMXForConditionalGeneration": "lumina_mgpt"}  # these say "chameleon" for model_type


def load_target(
    folder: Path,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
    device_map: str | Mapping[str, int | str | torch.device] | None = None,
) -> Target:
    """Load the model in a folder.

    Args:
        folder: with config.json, weights in safetensors and, for a model of transformers, its processor.
        device: of PyTorch.
        dtype: of the weights.
        device_map: as in transformers, instead of `device`; for its models only.

    Raises:
        BadInput: an unknown kind of model, or a file or weight that is missing, damaged or left over.
    """
    config = read_config(folder / "config.json", ())
    if "transformer" in config:
        if device_map is not None:
            raise BadInput("a device map", "none", "this model is small, give a device", where=folder)
        return IconsTarget.from_folder(folder, device, dtype)
    target: Target = _kind(config.get("model_type"), config.get("architectures")).from_folder(
        folder, device, dtype, device_map
    )
    return target


def wrap(model: Any, processor: Any) -> Target:
    """The target around a model of transformers and its processor; the model stays as it is.

    Raises:
        BadInput: an unknown kind of model, or an attention that cannot take the masks of trees.
    """
    config = model.config
    name = Path(str(config.name_or_path)).name or str(config.model_type)
    target: Target = _kind(config.model_type, config.architectures)(model.eval(), processor, name)
    return target


def _kind(model_type: str | None, architectures: list[str] | None) -> Any:
    name = next((ARCHITECTURES[a] for a in architectures or () if a in ARCHITECTURES), model_type)
    if name not in KINDS:
        raise BadInput(f"model_type {name!r} in config.json", f"icons or one of {', '.join(KINDS)}")
    module, _, kind = KINDS[name].partition(":")
    return getattr(import_module(module), kind)
