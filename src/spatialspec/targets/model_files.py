"""Checks a folder of transformers before anything is built: no path leads out of it, no number in it is trusted.

Sizes in config.json are compared with the headers of the weights, which match the sizes of their files. So memory and
time never grow with a number in a document.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spatialspec.core.errors import BadInput, shown
from spatialspec.io.files import inside, read_config
from spatialspec.io.tensors import read_shapes

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
SIDE = (  # JSON that transformers reads where it exists
    "generation_config.json", "preprocessor_config.json", "processor_config.json", "tokenizer_config.json",
    "special_tokens_map.json", "added_tokens.json", "chat_template.json", "tokenizer.json",
)  # fmt: skip
REFERENCES = ("adapter_config.json", "audio_tokenizer_config.json")  # files that name other models, to be loaded
REFUSED = {  # keys -> what to do
    "transformers_weights": "name the weights model.safetensors",
    "quantization_config": "load it with transformers and give model and processor to spatialspec.wrap",
    "audio_tokenizer": "delete it",
}
DROPPED = {  # keys of config.json that are ignored: the caller decides them
    "auto_map", "attn_implementation", "_attn_implementation", "_attn_implementation_internal",
    "experts_implementation", "_experts_implementation", "fusion_config", "distributed_config", "_name_or_path",
}  # fmt: skip
NAMES = {"vocabulary_map", "id2label", "label2id"}  # tables of names, which are no sizes
WIDTHS = {"num_embeddings", "num_image_tokens", "num_patches", "num_buckets"}  # these count numbers, not parts
OTHERS = (".bin", ".pt", ".pth", ".ckpt", ".gguf")  # weights in other formats
LARGEST = 2**31 - 1
FETCH = "fetch it again"


def shards(folder: Path, expected: str = "weights in safetensors") -> list[Path]:
    """The files of a model's weights.

    Raises:
        BadInput: no such files, one is outside the folder, or the index is damaged.
    """
    single, index = folder / SINGLE, folder / INDEX
    if single.is_file():
        return [single]
    if not index.is_file():
        others = sorted(path.name for path in folder.glob("*") if path.suffix in OTHERS)
        got, advice = f"no {SINGLE} and no {INDEX}", "fetch all files of the folder"
        if others:
            got += f", but {', '.join(others[:3])}"
            advice = (
                "fetch the safetensors of this model, or load it with transformers and call save_pretrained(FOLDER)"
            )
        raise BadInput(got, expected, advice, folder)
    whole = read_config(index, ("weight_map",))
    table = whole["weight_map"]
    if not isinstance(table, dict) or not table:
        raise BadInput(f"weight_map {shown(table)}", "a file name for each tensor", FETCH, index)
    if not isinstance(whole.get("metadata"), dict):  # transformers requires the key
        raise BadInput(f"metadata {shown(whole.get('metadata'))}", "an object", 'add "metadata": {} to it', index)
    where = f"{index}: weight_map"
    for name in table.values():
        inside(folder, name, where)
    return [folder / name for name in sorted(set(table.values()))]


def weight_shapes(folder: Path, expected: str = "weights in safetensors") -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor of a model, from the headers of its files.

    Raises:
        BadInput: as from `shards`, or a file is no safetensors.
    """
    return {name: shape for path in shards(folder, expected) for name, shape in read_shapes(path).items()}


def numbers(shapes: dict[str, tuple[int, ...]]) -> int:
    """Numbers in tensors of these shapes."""
    return sum(math.prod(shape) for shape in shapes.values())


def read_model_config(
    folder: Path, kind: type[PreTrainedConfig] | None = None
) -> tuple[dict[str, Any], dict[str, tuple[int, ...]]]:
    """config.json of a model, whose counts and sizes are possible with the weights beside it, and their shapes.

    Args:
        folder: of the checkpoint.
        kind: class that its configuration is for; by default that of its `model_type`.

    Returns:
        The configuration without the keys in DROPPED, and `weight_shapes`.

    Raises:
        BadInput: as from `weight_shapes`, or config.json is damaged, needs what is not supported, or has absurd sizes.
    """
    path = folder / "config.json"
    config = read_config(path)
    built = config.get("architectures")
    name = built[0] if isinstance(built, list) and built and isinstance(built[0], str) else "a model of transformers"
    shapes = weight_shapes(folder, f"a checkpoint of {name}, in safetensors")
    check_sizes(config, path, len(shapes), numbers(shapes), kind or _class_of(config))
    for name in REFERENCES:
        if (folder / name).exists():
            raise BadInput(f"{name}, which names another model", "none", "merge it with its model", folder)
    return _without(config), shapes


def check_sizes(
    config: dict[str, Any], where: Path, parts: int, most: int, kind: type[PreTrainedConfig] | None
) -> None:
    """Refuse counts of parts and sizes that do not fit the weights.

    Args:
        config: as read from a file.
        where: the file.
        parts: number of tensors; a layer, a block or a head has one at least.
        most: numbers in all of them.
        kind: class that it is for; keys that the class does not have may be anything. None: every key is looked at.

    Raises:
        BadInput: one of these, or a key that is not supported.
    """
    for key, value in _leaves(config, kind):
        if key in REFUSED and value not in (None, {}):
            raise BadInput(f"the key {key}", "none", REFUSED[key], where)
        if isinstance(value, bool) or not isinstance(value, int):
            continue
        counts = "layers" in key or "blocks" in key or "depth" in key or (key.startswith("num_") and key not in WIDTHS)
        limit = max(parts, 64) if counts else max(most, LARGEST)
        if not -limit <= value <= limit:
            raise BadInput(f"{key} {shown(value)}", f"at most {limit:,}, by the weights beside it", FETCH, where)
    names = config.get("vocabulary_map", {})
    ids = list(names.values()) if isinstance(names, dict) else [names]
    if wrong := [i for i in ids if isinstance(i, bool) or not isinstance(i, int) or not 0 <= i <= LARGEST]:
        raise BadInput(f"vocabulary_map with {shown(wrong[0])}", "an id for each name", FETCH, where)


def check_side_files(folder: Path) -> dict[str, dict[str, Any]]:
    """Read the JSON beside a model's weights; missing files are left out.

    Raises:
        BadInput: one is damaged, or needs what is not supported.
    """
    contents = {name: read_config(folder / name) for name in SIDE if (folder / name).exists()}
    for name, content in contents.items():
        for key in REFUSED:
            if content.get(key) is not None:
                raise BadInput(f"the key {key}", "none", REFUSED[key], folder / name)
    return contents


def _class_of(config: Any) -> type[PreTrainedConfig] | None:
    """The configuration class of transformers for a document, by its `model_type`."""
    from transformers import CONFIG_MAPPING

    name = config.get("model_type") if isinstance(config, dict) else None
    return CONFIG_MAPPING[name] if isinstance(name, str) and name in CONFIG_MAPPING else None


def _has(kind: type[PreTrainedConfig], key: str) -> bool:
    """Whether a configuration class has a setting of this name."""
    return key in kind.__dataclass_fields__ or key in kind.attribute_map or hasattr(kind, key)


def _leaves(value: Any, kind: type[PreTrainedConfig] | None, key: str = "") -> Iterator[tuple[str, Any]]:
    """Every key that a class has with its value, at any depth, but for tables of names; of a list its items."""
    if key and (key in REFUSED or not isinstance(value, (dict, list))):
        yield key, value
    if isinstance(value, dict):
        for name, inner in value.items():
            if name not in NAMES and (kind is None or name in REFUSED or _has(kind, name)):
                part = None if kind is None else kind.sub_configs.get(name)
                known = part is None or hasattr(part, "sub_configs")  # which AutoConfig has not
                yield from _leaves(inner, part if known else _class_of(inner), name)
    elif isinstance(value, list):
        if len(value) > 65536:
            raise BadInput(f"{key} with {len(value):,} items", "a shorter list", FETCH)
        for inner in value:
            yield from _leaves(inner, kind, key)


def _without(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            name: inner if name in NAMES else _without(inner) for name, inner in value.items() if name not in DROPPED
        }
    return value
