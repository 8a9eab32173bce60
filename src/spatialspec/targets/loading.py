"""Makes a target from a folder, or from a loaded model of transformers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from spatialspec.core.errors import BadInput, shown
from spatialspec.core.interfaces import Target
from spatialspec.io.files import read_config
from spatialspec.targets.registry import REGISTRY, DeviceMap, TargetKind

ELSEWHERE = {  # model_type of an unsupported layout -> advice
    "multi_modality": "DeepSeek's own layout: run `hf download deepseek-community/Janus-Pro-1B --local-dir Janus`",
    "Emu3": "BAAI's own layout: run `hf download BAAI/Emu3-Gen-hf --local-dir Emu3-Gen`",
    "spatialspec_draft": "these are drafts, give them with --draft",
}


def load_target(
    folder: Path,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
    device_map: DeviceMap | None = None,
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
    return kind_of(read_config(folder / "config.json", ())).load(folder, device, dtype, device_map)


def wrap(model: Any, processor: Any) -> Target:
    """Make a target from a model of transformers and its processor.

    The model is put into evaluation mode, here and by every session, and is not changed otherwise. If it is changed
    later, the next call draws from the changed model, or is refused.

    Raises:
        BadInput: an unknown kind of model or processor, or an attention that cannot take the masks of trees.
    """
    from transformers import PreTrainedConfig

    config = getattr(model, "config", None)
    if not isinstance(config, PreTrainedConfig):
        raise BadInput(f"a {type(model).__name__}", "a model of transformers", "give the model itself")
    kind = kind_of({"model_type": config.model_type, "architectures": config.architectures})
    if kind.wrap is None:
        raise BadInput(f"a loaded model of kind {kind.name}", "its folder", "use SpatialPipeline.from_pretrained")
    target = kind.wrap(model, processor, Path(str(config.name_or_path)).name or str(config.model_type))
    model.eval()
    return target


def kind_of(config: Mapping[str, Any]) -> TargetKind:
    """The kind of model of a config.json.

    Raises:
        BadInput: an unknown kind; the message has advice on unsupported layouts of known models.
    """
    kinds = REGISTRY.all()
    for kind in kinds.values():
        if kind.matches(config):
            return kind
    name = config.get("model_type")
    advice = ELSEWHERE.get(str(name), "give another folder, or the file that registers its kind with --plugin")
    raise BadInput(f"model_type {shown(name)} in config.json", f"one of {', '.join(kinds)}", advice)
