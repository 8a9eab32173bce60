"""What the converters share: the files of a checkpoint, sizes in documents, and shards of safetensors.

Of a pickle only tensors are read, and no code of a folder is run. Names and shapes are compared with a model of
transformers that has no memory before a shard is written.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub.errors import StrictDataclassError
from torch import Tensor
from transformers import PreTrainedConfig, PreTrainedModel

from spatialspec.core.errors import BadInput, shown
from spatialspec.io.files import inside, read_config, write_text
from spatialspec.io.hub import Repository
from spatialspec.io.outputs import check_folder, writing_folder
from spatialspec.io.tensors import build, check_shapes, shapes_of, write_tensors
from spatialspec.targets.layouts import CheckpointLayout
from spatialspec.targets.model_files import LARGEST, SINGLE, check_sizes
from spatialspec.targets.published import check_numbers, read

SHARD = 4 << 30  # bytes of a file of weights
SINGLES = (SINGLE, "pytorch_model.bin")
SHARDED = ("models/*/consolidated*.pth", "consolidated*.pth")  # of Meta's layout
FETCHED = ("*.json", "*.txt", "*.tiktoken", "*.yaml", "*.ckpt", "*.pth")  # of a repository, besides its weights
FETCH = "fetch all files of the folder"


@dataclass(frozen=True)
class PublishedSource:
    """A checkpoint on the disk.

    Attributes:
        folder: of the documents that belong to it.
        weights: its files of tensors, in order.
    """

    folder: Path
    weights: tuple[Path, ...]

    @classmethod
    def find(cls, text: str | Path) -> PublishedSource:
        """Find a checkpoint: a file of weights, a folder, OWNER/NAME or OWNER/NAME/FILE of the Hub, which is fetched.

        Raises:
            BadInput: none of these, or a folder without weights.
        """
        path, repository = Path(text).expanduser(), Repository.read(str(text))
        if repository is not None and not path.exists():
            if repository.file:
                path = repository.fetch((repository.file,)) / repository.file
            else:
                tensors = any(name.endswith(".safetensors") for name in repository.files())
                path = repository.fetch((*FETCHED, "*.safetensors" if tensors else "*.bin"))
        if path.is_dir():
            return cls(path, tuple(_weights(path)))
        root = next((folder for folder in path.parents if (folder / "tokenizer").is_dir()), path.parent)
        of_many = path.name.startswith("consolidated") or "-of-" in path.name
        return cls(root, tuple(_weights(root)) if of_many and path.is_file() else (path,))

    def config(self, name: str, *required: str) -> dict[str, Any]:
        """A document of the folder.

        Raises:
            BadInput: it is missing, damaged, or lacks a key.
        """
        if not (self.folder / name).is_file():
            raise BadInput(f"no {name} beside the weights", "all files of the folder", FETCH, self.weights[0])
        return read_config(self.folder / name, required, FETCH)

    def tensors(self, kind: CheckpointLayout) -> dict[str, Tensor]:
        """All tensors, from files that each hold some of them."""
        several = len(self.weights) > 1
        return {name: tensor for path in self.weights for name, tensor in read(path, kind, several).items()}


def _weights(folder: Path) -> list[Path]:
    """The files of weights in a folder."""
    for name in SINGLES:
        if (folder / name).is_file():
            return [folder / name]
        index = folder / f"{name}.index.json"
        if index.is_file():
            table = read_config(index, ("weight_map",), FETCH)["weight_map"]
            if not isinstance(table, dict) or not table:
                raise BadInput(f"weight_map {shown(table)}", "a file name for each tensor", FETCH, index)
            return sorted({inside(folder, part, index) for part in table.values()})
    for pattern in SHARDED:
        if found := sorted(folder.glob(pattern)):
            return found
    raise BadInput(f"no weights in {folder}", f"{', '.join(SINGLES)} or consolidated.pth", "name the file", folder)


@contextmanager
def sizes_of(where: Path) -> Any:
    """Turn errors of configuration classes, of values from a document, into BadInput."""
    try:
        yield
    except BadInput:
        raise
    except (TypeError, ValueError, KeyError, AttributeError, ArithmeticError, StrictDataclassError) as error:
        got = f"sizes that are none ({shown(' '.join(str(error).split()), 200)})"
        raise BadInput(got, "those of a published checkpoint", FETCH, where) from error


def write_model(
    out: Path,
    kind: type[PreTrainedModel],
    config: PreTrainedConfig,
    tensors: Mapping[str, Tensor],
    source: PublishedSource,
    others: Callable[[Path], object],
    beside: Mapping[str, Tensor] | None = None,
) -> None:
    """Write a folder in the layout of transformers, whole or not at all.

    Args:
        out: new folder.
        kind: class of the model.
        config: its configuration.
        tensors: its weights.
        source: where they come from, for messages.
        others: writes the other files into the folder that it is called with.
        beside: tensors that the class does not have.

    Raises:
        BadInput: a tensor is missing, left over, of another shape, or has numbers that are not finite.
    """
    check_folder(out, "OUT", new=True)
    where = source.weights[0]
    numbers = sum(tensor.numel() for tensor in tensors.values())
    check_sizes(config.to_dict(), source.folder / "config.json", max(len(tensors), 64), max(numbers, LARGEST), None)
    bare = build(lambda: kind(config), source.folder)
    buffers = {name for name, part in bare.named_buffers() if not part.dim()}  # counters of batches, as old files lack
    expected = {name: shape for name, shape in shapes_of(bare.state_dict()).items() if name not in buffers - {*tensors}}
    check_shapes(expected, shapes_of(tensors), where, f"{source.folder} is not what it seems, or incomplete")
    with writing_folder(out) as partial:
        config.architectures = [kind.__name__]
        config.save_pretrained(partial)
        others(partial)
        write_shards(partial, {**tensors, **(beside or {})}, where)


def write_shards(folder: Path, tensors: Mapping[str, Tensor], where: Path, most: int = SHARD) -> None:
    """Write tensors into files of at most so many bytes, and their index, as transformers does."""
    shards: list[dict[str, Tensor]] = [{}]
    filled = 0
    for name, tensor in tensors.items():
        size = tensor.numel() * tensor.element_size()
        if shards[-1] and filled + size > most:
            shards, filled = [*shards, {}], 0
        shards[-1][name], filled = tensor, filled + size
    table: dict[str, str] = {}
    for i, shard in enumerate(shards, start=1):
        file = SINGLE if len(shards) == 1 else f"model-{i:05d}-of-{len(shards):05d}.safetensors"
        check_numbers({name: tensor for name, tensor in shard.items() if tensor.is_floating_point()}, where)
        copies = {name: tensor.detach().contiguous() for name, tensor in shard.items()}
        write_tensors(folder / file, copies, {"format": "pt"})
        table |= dict.fromkeys(shard, file)
    if len(shards) > 1:
        total = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
        index = {"metadata": {"total_size": total}, "weight_map": table}
        write_text(folder / f"{SINGLE}.index.json", json.dumps(index, indent=2) + "\n")
