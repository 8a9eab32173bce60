"""Base of targets with a transformer of this package and an image decoder, loaded from a folder.

Folder: `config.json`, `transformer.safetensors`, `vq.safetensors`, and files of the family for its prompts.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from jaxtyping import Float
from PIL import Image as PILImage
from torch import Tensor, nn

from spatialspec.core.errors import BadInput, printable
from spatialspec.core.grid import Grid
from spatialspec.core.sampling import Sampling
from spatialspec.core.sizes import read_name, read_sizes
from spatialspec.io.files import read_config
from spatialspec.io.hub import title
from spatialspec.io.tensors import load_module, read_shapes
from spatialspec.targets.engine import Prompt
from spatialspec.targets.grid_engine import GridEngine
from spatialspec.targets.images import decode_image
from spatialspec.targets.model_files import numbers
from spatialspec.targets.placing import check_weights, devices_of
from spatialspec.targets.session import TargetSession


class GridTarget(GridEngine, ABC):
    """Frozen transformer and image decoder.

    Attributes:
        key: key of the transformer's sizes in `config.json`.
        classes: of the transformer's sizes, the transformer, the decoder's sizes, and the decoder.
        decoders: files of networks in fp32, where they exist, the image decoder's first.
        prompt_kind: kind of prompts, for messages.
        name: shown in reports and errors.
        vq: the image decoder, with `codebook`, `decode` and `config.patch`.
        prompts: reads prompts.
        default: recommended sampling, from the folder.
    """

    key: ClassVar[str]
    classes: ClassVar[tuple[type[Any], type[Any], type[Any], type[Any]]]
    decoders: ClassVar[tuple[str, ...]] = ("vq.safetensors",)
    prompt_kind: ClassVar[str]
    vq: Any
    prompts: Any

    def __init__(self, name: str, model: Any, vq: Any, prompts: Any, default: Sampling) -> None:
        self.name, self.default, self.prompts = name, default, prompts
        self.model, self.vq = model.eval().requires_grad_(False), vq.eval().requires_grad_(False)

    @classmethod
    def from_folder(
        cls, folder: Path, device: str = "cpu", dtype: torch.dtype = torch.float32, device_map: Any = None
    ) -> Self:
        """Load a model, tensor by tensor to the device; the image decoder is in fp32.

        Raises:
            BadInput: a file is missing, truncated, foreign, or its shapes are not those of `config.json`; or the
                weights do not fit into memory.
        """
        if device_map is not None:
            raise BadInput("a device map", "none", "this model fits on one device, give a device", where=folder)
        where, weights = folder / "config.json", folder / "transformer.safetensors"
        config = read_config(where, (cls.key, "vq", "sampling"))
        kind, network, vq_kind, decoder = cls.classes
        name = read_name(config["name"], f"{where}: name") if "name" in config else printable(title(folder))
        sizes = read_sizes(kind, config[cls.key], f"{where}: {cls.key}")
        vq_sizes = read_sizes(vq_kind, config["vq"], f"{where}: vq")
        sampling = read_sizes(Sampling, config["sampling"], f"{where}: sampling")
        count, codec = numbers(read_shapes(weights)), folder / cls.decoders[0]
        others = [codec, *(path for name in cls.decoders[1:] if (path := folder / name).is_file())]
        needed = 4 * sum(numbers(read_shapes(path)) for path in others)
        check_weights(count, dtype, devices_of(device), folder, needed)
        model = load_module(lambda: network(sizes), weights, where, device, dtype)
        vq = load_module(lambda: decoder(vq_sizes), codec, where, device, torch.float32)
        target = cls(name, model, vq, cls.read_prompts(folder, model), sampling)
        target.check_grid(target.grid)
        if (codes := len(target.codebook)) != target.vocabulary:
            got = f"an image decoder of {codes} codes"
            raise BadInput(got, f"one of the {target.vocabulary} that are drawn", "fetch both again", where)
        target.read_fingerprint(weights)
        return target

    @classmethod
    @abstractmethod
    def read_prompts(cls, folder: Path, model: Any) -> Any:
        """Load the reader of prompts; its `check(prompts)` refuses those that cannot be drawn."""

    @abstractmethod
    def encode(self, images: Sequence[Sequence[str]], grid: Grid) -> list[Prompt]:
        """Prefix states from the prompts of every image, one per stream; "" is the unconditional prompt."""

    @abstractmethod
    def check_grid(self, grid: Grid) -> None:
        """Refuse a grid that the model cannot draw.

        Raises:
            BadInput: too many rows or columns.
        """

    @property
    def networks(self) -> tuple[nn.Module, ...]:
        """The transformer and the image decoder."""
        return self.model, self.vq

    @property
    def grid(self) -> Grid:
        """The grid that the model was trained on."""
        return Grid(self.model.config.rows, self.model.config.columns)

    @property
    def codebook(self) -> Float[Tensor, "V c"]:
        """Unit vectors of the image decoder, one for each image token."""
        codebook: Tensor = self.vq.codebook
        return codebook

    @property
    def patch(self) -> int:
        """Pixels a side of one cell."""
        return int(self.vq.config.patch)

    def check_prompts(self, prompts: Sequence[str], negatives: Sequence[str], grid: Grid) -> None:
        """Refuse prompts that are empty, or that the model cannot read.

        Raises:
            BadInput: there is such a prompt.
        """
        if not all(prompt.strip() for prompt in prompts):
            raise BadInput("an empty prompt", self.prompt_kind, "say what to draw")
        self.prompts.check([*prompts, *filter(None, negatives)])

    @torch.inference_mode()
    def session(
        self, prompts: Sequence[str], negatives: Sequence[str], sampling: Sampling, grid: Grid
    ) -> TargetSession:
        """Start images, one per prompt; see :class:`spatialspec.core.interfaces.Target`."""
        self.check_grid(grid)
        self.check_prompts(prompts, negatives, grid)
        streams = [pair[: sampling.streams] for pair in zip(prompts, negatives, strict=True)]
        return TargetSession(self, self.encode(streams, grid))

    @torch.inference_mode()
    def pixels(self, tokens: Sequence[int], grid: Grid) -> PILImage.Image:
        """Image of a complete grid of tokens.

        Raises:
            BadInput: pixels that are not finite.
        """
        return decode_image(self.vq, tokens, grid)
