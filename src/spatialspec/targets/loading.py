"""Makes a target from a folder, or from a loaded model of transformers."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from spatialspec.core.errors import BadInput, shown
from spatialspec.core.interfaces import Target
from spatialspec.io.files import read_config
from spatialspec.targets.registry import REGISTRY, DeviceMap, TargetKind

ELSEWHERE = {  # model_type of a layout that is not loaded -> advice; SOURCE is the folder, or the name on the Hub
    "multi_modality": "this is DeepSeek's own layout: run `spatialspec convert SOURCE OUT`, then give OUT, or give "
    "deepseek-community/Janus-Pro-1B or -7B, the same in that of transformers",
    "Emu3": "this is BAAI's own layout: run `spatialspec convert SOURCE OUT --vq BAAI/Emu3-VisionTokenizer`, then give "
    "OUT (of Emu3.5: --vq BAAI/Emu3.5-VisionTokenizer/model.ckpt), or give BAAI/Emu3-Gen-hf, the same in that of "
    "transformers",
    "Emu3VisionVQ": "this is Emu3's image decoder alone: run `spatialspec convert BAAI/Emu3-Gen OUT --vq SOURCE`",
    "spatialspec_draft": "these are drafts, give them with --draft",
}

PASSED = ("attn_implementation", "max_memory", "quantization_config")  # arguments that transformers gets
ALWAYS = {  # others of diffusers and transformers -> the value that changes nothing
    "use_safetensors": True, "low_cpu_mem_usage": True, "trust_remote_code": False, "variant": None,
}  # fmt: skip


def options_of_transformers(given: Mapping[str, object]) -> dict[str, object]:
    """Those of further arguments of `from_pretrained` that go to transformers; None is none.

    Raises:
        BadInput: one that is unknown, or would change what is never changed.
    """
    for key, value in given.items():
        if key not in {*PASSED, *ALWAYS}:
            raise BadInput(f"the argument {shown(key)}", f"one of from_pretrained, or {', '.join(PASSED)}")
        if key in ALWAYS and value not in (None, ALWAYS[key]):
            raise BadInput(f"{key} {shown(value)}", f"{ALWAYS[key]}, always", "leave it out")
    return {key: value for key, value in given.items() if key in PASSED and value is not None}


def load_target(
    folder: Path,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
    device_map: DeviceMap | None = None,
    options: Mapping[str, Any] | None = None,
) -> Target:
    """Load the model in a folder.

    Args:
        folder: with config.json, weights in safetensors and, for a model of transformers, its processor.
        device: of PyTorch.
        dtype: of the weights.
        device_map: as in transformers, instead of `device`; for its models only.
        options: further arguments of `from_pretrained` of transformers, by name; for its models only.

    Raises:
        BadInput: an unknown kind of model, or a file or weight that is missing, damaged or left over.
    """
    kind = kind_of(read_config(folder / "config.json", ()), folder)
    if isinstance(device_map, Mapping) and device_map.keys() == {""}:  # one device for all, which every kind takes
        device, device_map = str(torch.device(device_map[""])), None
    if not options:
        return kind.load(folder, device, dtype, device_map)
    if kind.files is not None:
        raise BadInput(", ".join(options), f"none of it for {kind.name}", "it is for models of transformers", folder)
    return kind.load(folder, device, dtype, device_map, options)


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
    sizes = {"vocab_size": getattr(config, "vocab_size", 0)}
    kind = kind_of({"model_type": config.model_type, "architectures": config.architectures} | sizes)
    if kind.wrap is None:
        raise BadInput(f"a loaded model of kind {kind.name}", "its folder", "use SpatialPipeline.from_pretrained")
    target = kind.wrap(model, processor, Path(str(config.name_or_path)).name or str(config.model_type))
    model.eval()
    return target


def kind_of(config: Mapping[str, Any], source: object = "SOURCE") -> TargetKind:
    """The kind of model of a config.json; `source` is its folder or its name on the Hub, for messages.

    Raises:
        BadInput: an unknown kind; the message has advice on unsupported layouts of known models.
    """
    kinds = REGISTRY.all()
    for kind in kinds.values():
        if kind.matches(config):
            return kind
    name = config.get("model_type")
    advice = ELSEWHERE.get(str(name), "give another folder, or the file that registers its kind with --plugin")
    advice = advice.replace("SOURCE", shlex.quote(str(source)))
    raise BadInput(f"model_type {shown(name)} in config.json", f"one of {', '.join(kinds)}", advice)
