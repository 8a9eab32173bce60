"""From a folder, or a model of transformers that is already loaded, to a target: one class for each kind of model."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from spatialspec.core.errors import BadInput, shown
from spatialspec.core.interfaces import Target
from spatialspec.files import read_config
from spatialspec.targets.icons.target import IconsTarget

_T = "spatialspec.targets."
KINDS = {  # `model_type` of config.json -> module:Class
    "janus": _T + "janus:JanusTarget",
    "emu3": _T + "emu3:Emu3Target",
    "chameleon": _T + "chameleon.target:ChameleonTarget",
    "lumina_mgpt": _T + "chameleon.lumina:LuminaTarget",
    "llamagen": _T + "llamagen.target:LlamaGenTarget",
}
ARCHITECTURES = {"ChameleonXLLMXForConditionalGeneration": "lumina_mgpt"}  # these say "chameleon" for model_type

ELSEWHERE = {  # layouts of the authors' own code -> the same model in that of transformers
    "multi_modality": "DeepSeek's own layout: run `hf download deepseek-community/Janus-Pro-1B --local-dir Janus`",
    "Emu3": "BAAI's own layout: run `hf download BAAI/Emu3-Gen-hf --local-dir Emu3-Gen`",
    "spatialspec_draft": "these are drafts, give them with --draft",
}


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
    from spatialspec.targets.language_target import LanguageTarget  # with transformers behind it
    from spatialspec.targets.pretrained import whole

    kind = _class_of(config)
    target: Target = kind.from_folder(folder, device, dtype, device_map)
    if isinstance(target, LanguageTarget):
        with whole(f"what {type(target.model).__name__} can run", folder / "config.json"):
            target.try_out()
    return target


def wrap(model: Any, processor: Any) -> Target:
    """The target around a model of transformers and its processor, as `from_pretrained` of transformers gives them.

    The model stays as it is, but for evaluation mode, here and whenever images are begun. It may be changed afterwards:
    the next call draws from what it is then, or is refused.

    Raises:
        BadInput: an unknown kind of model or processor, or an attention that cannot take the masks of trees.
    """
    from transformers import PreTrainedConfig

    config = getattr(model, "config", None)
    if not isinstance(config, PreTrainedConfig):
        raise BadInput(f"a {type(model).__name__}", "a model of transformers", "give the model itself")
    name = Path(str(config.name_or_path)).name or str(config.model_type)
    target: Target = _class_of({"model_type": config.model_type, "architectures": config.architectures})(
        model, processor, name
    )
    model.eval()
    return target


def kind_of(config: Mapping[str, Any]) -> str:
    """Key of KINDS, of the content of a config.json.

    Raises:
        BadInput: an unknown kind; the message says where a model in the layout of its authors is to be had.
    """
    architectures, name = config.get("architectures"), config.get("model_type")
    built = architectures if isinstance(architectures, list) else []
    name = next((ARCHITECTURES[a] for a in built if isinstance(a, str) and a in ARCHITECTURES), name)
    if not isinstance(name, str) or name not in KINDS:
        advice = ELSEWHERE.get(str(name), "give another folder")
        raise BadInput(f"model_type {shown(name)} in config.json", f"icons or one of {', '.join(KINDS)}", advice)
    return name


def _class_of(config: Mapping[str, Any]) -> Any:
    module, _, kind = KINDS[kind_of(config)].partition(":")
    return getattr(import_module(module), kind)
