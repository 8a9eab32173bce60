"""The table of kinds of targets: recognising and loading a folder, and wrapping a loaded model.

A new kind is one file or folder, and one line here if it is to ship with the package. Its class, and with it
transformers, is imported when a model of its kind is loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch

from spatialspec.core.errors import BadInput
from spatialspec.core.interfaces import Target
from spatialspec.plugins import Plugin, Registry

if TYPE_CHECKING:
    from spatialspec.targets.chameleon.lumina import LuminaTarget
    from spatialspec.targets.chameleon.lumina2 import Lumina2Target
    from spatialspec.targets.chameleon.target import ChameleonTarget
    from spatialspec.targets.emu3 import Emu3Target
    from spatialspec.targets.emu35 import Emu35Target
    from spatialspec.targets.glm_image import GlmImageTarget
    from spatialspec.targets.janus import JanusTarget
    from spatialspec.targets.liquid import LiquidTarget
    from spatialspec.targets.simplear import SimpleARTarget

Config = Mapping[str, Any]  # the content of a config.json
DeviceMap = str | Mapping[str, int | str | torch.device]
LUMINA2_IMAGES = 155_000  # id of the first image token of Lumina-mGPT 2.0; the vocabulary of 1.0 has 65,536
LUMINA = "ChameleonXLLMXForConditionalGeneration"  # its architecture; its model_type is Chameleon's


@dataclass(frozen=True)
class TargetKind(Plugin):
    """A kind of target.

    Attributes:
        name: for messages.
        matches: whether a folder with this config.json holds such a model. Kinds of this package are tried first.
        load: makes the target from a folder, a device, a dtype, and a device map (replaces the device) or None; in the
            layout of transformers also from further arguments of its `from_pretrained`, a mapping, if there are any.
        wrap: makes the target from a model of transformers, its processor and a name; None if unsupported.
        files: names of required files besides config.json; None for the layout of transformers.
        optional_weights: names of further weight files, read if they exist.
        optional_files: names of other files that are read if they exist.
    """

    name: str
    matches: Callable[[Config], bool]
    load: Callable[..., Target]
    wrap: Callable[[Any, Any, str], Target] | None = None
    files: tuple[str, ...] | None = ()
    optional_weights: tuple[str, ...] = ()
    optional_files: tuple[str, ...] = ()

    @staticmethod
    def registry() -> Registry[TargetKind]:
        """The table of kinds of targets."""
        return REGISTRY


class _Checkpoint(Target, Protocol):
    """A target around a model of transformers."""

    model: Any

    def __init__(self, model: Any, processor: Any, name: str) -> None: ...

    @classmethod
    def from_folder(
        cls, folder: Path, device: str, dtype: torch.dtype, device_map: DeviceMap | None, options: Mapping[str, Any]
    ) -> _Checkpoint: ...

    def try_out(self) -> None: ...


def _of_transformers(
    name: str, matches: Callable[[Config], bool], kind: Callable[[], type[_Checkpoint]], *optional_weights: str
) -> TargetKind:
    def load(
        folder: Path, device: str, dtype: torch.dtype, device_map: DeviceMap | None, options: Mapping[str, Any] = {}
    ) -> Target:
        from spatialspec.targets.pretrained import whole

        target = kind().from_folder(folder, device, dtype, device_map, options)
        with whole(f"what {type(target.model).__name__} can run", folder / "config.json"):
            target.try_out()
        return target

    def wrap(model: Any, processor: Any, title: str) -> Target:
        return kind()(model, processor, title)

    return TargetKind(name, matches, load, wrap, None, optional_weights)


def _janus() -> type[JanusTarget]:
    from spatialspec.targets.janus import JanusTarget

    return JanusTarget


def _emu3() -> type[Emu3Target]:
    from spatialspec.targets.emu3 import Emu3Target

    return Emu3Target


def _emu35() -> type[Emu35Target]:
    from spatialspec.targets.emu35 import Emu35Target

    return Emu35Target


def _glm_image() -> type[GlmImageTarget]:
    from spatialspec.targets.glm_image import GlmImageTarget

    return GlmImageTarget


def _lumina() -> type[LuminaTarget]:
    from spatialspec.targets.chameleon.lumina import LuminaTarget

    return LuminaTarget


def _lumina2() -> type[Lumina2Target]:
    from spatialspec.targets.chameleon.lumina2 import Lumina2Target

    return Lumina2Target


def _chameleon() -> type[ChameleonTarget]:
    from spatialspec.targets.chameleon.target import ChameleonTarget

    return ChameleonTarget


def _liquid() -> type[LiquidTarget]:
    from spatialspec.targets.liquid import LiquidTarget

    return LiquidTarget


def _simplear() -> type[SimpleARTarget]:
    from spatialspec.targets.simplear import SimpleARTarget

    return SimpleARTarget


def _load_icons(folder: Path, device: str, dtype: torch.dtype, device_map: DeviceMap | None) -> Target:
    from spatialspec.targets.icons.target import IconsTarget

    if device_map is not None:
        raise BadInput("a device map", "none", "this model is small, give a device", where=folder)
    return IconsTarget.from_folder(folder, device, dtype)


def _load_llamagen(folder: Path, device: str, dtype: torch.dtype, device_map: DeviceMap | None) -> Target:
    from spatialspec.targets.llamagen.target import LlamaGenTarget

    return LlamaGenTarget.from_folder(folder, device, dtype, device_map)


def _typed(name: str) -> Callable[[Config], bool]:
    return lambda config: config.get("model_type") == name


def _is_lumina(config: Config) -> bool:
    built = config.get("architectures")
    return config.get("model_type") == "lumina_mgpt" or (isinstance(built, list) and LUMINA in built)


def _is_lumina2(config: Config) -> bool:
    size = config.get("vocab_size")
    large = isinstance(size, int) and size > LUMINA2_IMAGES
    return large and (config.get("model_type") == "chameleon" or _is_lumina(config))


def shipped() -> tuple[TargetKind, ...]:
    """The kinds of the package; the first that matches is taken."""
    codec = "vq.safetensors"
    weights = "transformer.safetensors", codec
    return (
        TargetKind("icons", lambda config: "transformer" in config, _load_icons, files=(*weights, "tokenizer.json")),
        _of_transformers("lumina_mgpt_2", _is_lumina2, _lumina2, codec),
        _of_transformers("lumina_mgpt", _is_lumina, _lumina, codec),
        _of_transformers("janus", _typed("janus"), _janus),
        _of_transformers("emu3", _typed("emu3"), _emu3),
        _of_transformers("glm_image", _typed("glm_image"), _glm_image),
        _of_transformers("chameleon", _typed("chameleon"), _chameleon, codec),
        _of_transformers("liquid", _typed("gemma"), _liquid, codec),
        _of_transformers("simplear", _typed("qwen2"), _simplear, codec),
        _of_transformers("emu3_5", _typed("qwen3"), _emu35, codec),
        TargetKind(
            "llamagen",
            _typed("llamagen"),
            _load_llamagen,
            files=weights,
            optional_weights=("tatok.safetensors",),
            optional_files=("captions.safetensors",),
        ),
    )


REGISTRY = Registry(TargetKind, "spatialspec.targets", "docs/add-a-target.md", shipped)
