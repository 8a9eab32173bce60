"""The embedded text-to-image model `icons`, and any model of the same recipe, from a folder.

Folder: `config.json`, `transformer.safetensors`, `vq.safetensors`, `tokenizer.json`, `README.md` (the card).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from spatialspec.core.errors import BadInput, printable
from spatialspec.core.grid import Grid
from spatialspec.core.sampling import Sampling
from spatialspec.core.sizes import read_name, read_sizes
from spatialspec.files import read_config, write_text
from spatialspec.targets.engine import Prompt
from spatialspec.targets.icons.head import GridHead
from spatialspec.targets.icons.text import PromptTokenizer
from spatialspec.targets.icons.transformer import GridTransformer, GridTransformerConfig
from spatialspec.targets.icons.vq import VQConfig, VQTokenizer
from spatialspec.targets.pictures import signed
from spatialspec.targets.session import Session
from spatialspec.tensors import load_module, write_weights


class IconsTarget(GridHead):
    """Frozen transformer, VQ tokenizer and prompt tokenizer.

    Attributes:
        name: shown in reports and errors.
        default: sampling that the card recommends.
    """

    def __init__(
        self, name: str, model: GridTransformer, vq: VQTokenizer, prompts: PromptTokenizer, default: Sampling
    ) -> None:
        self.name, self.default, self.prompts = name, default, prompts
        self.model: GridTransformer = model.eval().requires_grad_(False)
        self.vq: VQTokenizer = vq.eval().requires_grad_(False)

    @classmethod
    def from_folder(cls, folder: Path, device: str = "cpu", dtype: torch.dtype = torch.float32) -> IconsTarget:
        """Load a model.

        Raises:
            BadInput: a file is missing, truncated, foreign, or its shapes are not those of `config.json`.
        """
        config = read_config(folder / "config.json", ("transformer", "vq", "sampling"))
        where = folder / "config.json"
        name = read_name(config["name"], f"{where}: name") if "name" in config else printable(folder.name)
        sizes = read_sizes(GridTransformerConfig, config["transformer"], f"{where}: transformer")
        vq_sizes = read_sizes(VQConfig, config["vq"], f"{where}: vq")
        sampling = read_sizes(Sampling, config["sampling"], f"{where}: sampling")
        weights = folder / "transformer.safetensors"
        prompts = PromptTokenizer.from_file(folder / "tokenizer.json", sizes.prefix, sizes.text_vocabulary)
        model = load_module(lambda: GridTransformer(sizes), weights, where, device, dtype)
        vq = load_module(lambda: VQTokenizer(vq_sizes), folder / "vq.safetensors", where, device, torch.float32)
        target = cls(name, model, vq, prompts, sampling)
        target.check_grid(target.grid)
        target.check_codes(where)
        target.read_fingerprint(weights)
        return target

    def save(self, folder: Path) -> None:
        """Write the folder, weights in bfloat16, every file atomically."""
        folder.mkdir(parents=True, exist_ok=True)
        write_weights(self.model, folder / "transformer.safetensors")
        write_weights(self.vq, folder / "vq.safetensors")
        write_text(folder / "tokenizer.json", self.prompts.tokenizer.to_str(pretty=True))
        config = {
            "name": self.name,
            "transformer": asdict(self.model.config),
            "vq": asdict(self.vq.config),
            "sampling": asdict(self.default),
        }
        write_text(folder / "config.json", json.dumps(config, indent=2) + "\n")

    @property
    def grid(self) -> Grid:
        """The grid that the model was made for."""
        return Grid(self.model.config.rows, self.model.config.columns)

    @property
    def codebook(self) -> Float[Tensor, "V c"]:
        """Unit vectors of the VQ tokenizer, one for each image token."""
        return self.vq.codebook

    @property
    def patch(self) -> int:
        """Pixels a side of one cell."""
        return self.vq.config.patch

    @torch.inference_mode()
    def codes(self, pixels: UInt8[Tensor, "B H W 3"]) -> Int[Tensor, "B cells"]:
        """Image tokens of pictures."""
        return self.vq.encode(signed(pixels).to(self.codebook)).flatten(1)

    def check_grid(self, grid: Grid) -> None:
        """Refuse a grid that is too large.

        Raises:
            BadInput: more than 64 rows or columns.
        """
        if max(grid.rows, grid.columns) > 64:
            raise BadInput(f"size {grid}", "at most 64x64", "make it smaller")

    def check_prompts(self, prompts: Sequence[str], negatives: Sequence[str], grid: Grid) -> None:
        """Refuse prompts that are empty or too long.

        Raises:
            BadInput: one is.
        """
        if not all(prompt.strip() for prompt in prompts):
            raise BadInput("an empty prompt", "words", "say what to draw")
        self.prompts([*prompts, *negatives])

    @torch.inference_mode()
    def session(self, prompts: Sequence[str], negatives: Sequence[str], sampling: Sampling, grid: Grid) -> Session:
        """Start images, one per prompt.

        Args:
            prompts: what to draw; none may be empty.
            negatives: prompts of the unconditional stream, one per prompt; "" for none.
            sampling: its guidance decides the number of streams.
            grid: of every image.

        Raises:
            BadInput: a prompt is empty or too long.
        """
        self.check_prompts(prompts, negatives, grid)
        streams = sampling.streams
        words = [row for pair in zip(prompts, negatives, strict=True) for row in pair[:streams]]
        tokens = self.prompts(words).to(self.device)
        text, conditioning = self.model.encode_text(tokens), self.model.told(tokens, grid.rows, grid.columns)
        images = [slice(i, i + streams) for i in range(0, len(words), streams)]
        return Session(self, [Prompt(list(text[image]), grid, conditioning[image]) for image in images])
