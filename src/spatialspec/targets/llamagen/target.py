"""LlamaGen (Sun et al., arXiv 2406.06525) from a folder that `spatialspec convert` has written.

Folder: `config.json`, `transformer.safetensors`, `vq.safetensors`; for captions also `t5/` or `captions.safetensors`.
A class-conditional model draws from an ImageNet class, a text-conditional one from a caption.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from spatialspec.core.errors import BadInput, printable
from spatialspec.core.grid import Grid
from spatialspec.core.sampling import Sampling
from spatialspec.core.sizes import read_name, read_sizes
from spatialspec.files import read_config
from spatialspec.targets.engine import Prompt
from spatialspec.targets.icons.head import GridHead
from spatialspec.targets.llamagen.captions import CaptionCondition
from spatialspec.targets.llamagen.classes import ClassCondition
from spatialspec.targets.llamagen.transformer import ClassEmbedding, LlamaGenConfig, LlamaGenTransformer
from spatialspec.targets.llamagen.vq import LlamaGenVQ, LlamaGenVQConfig
from spatialspec.targets.session import Session
from spatialspec.tensors import load_module

MODEL_TYPE = "llamagen"
SAMPLING = {  # defaults of the published samplers, sample_c2i.py and sample_t2i.py
    "class": Sampling(guidance=4.0, temperature=1.0, top_k=2000),
    "text": Sampling(guidance=7.5, temperature=1.0, top_k=1000),
}
Condition = ClassCondition | CaptionCondition


def config_text(name: str, sizes: LlamaGenConfig, vq: LlamaGenVQConfig, source: Mapping[str, str]) -> str:
    """What `config.json` holds; `source` names the files that the weights come from."""
    sampling = asdict(SAMPLING[sizes.kind])
    config = {"model_type": MODEL_TYPE, "name": name, "sizes": asdict(sizes), "vq": asdict(vq), "sampling": sampling}
    return json.dumps({**config, "source": dict(source)}, indent=2) + "\n"


class LlamaGenTarget(GridHead):
    """Frozen transformer and picture decoder.

    Attributes:
        name: shown in reports and errors.
        default: sampling of the published sampler.
    """

    def __init__(
        self, name: str, model: LlamaGenTransformer, vq: LlamaGenVQ, condition: Condition, default: Sampling
    ) -> None:
        self.name, self.default, self.condition = name, default, condition
        self.model: LlamaGenTransformer = model.eval().requires_grad_(False)
        self.vq: LlamaGenVQ = vq.eval().requires_grad_(False)

    @classmethod
    def from_folder(
        cls, folder: Path, device: str = "cpu", dtype: torch.dtype = torch.float32, device_map: Any = None
    ) -> LlamaGenTarget:
        """Load a model; weights go to the device tensor by tensor, the picture decoder in fp32.

        Raises:
            BadInput: a file is missing, truncated, foreign, or its shapes are not those of `config.json`.
        """
        if device_map is not None:
            raise BadInput("a device map", "none", "LlamaGen fits on one device, give a device", where=folder)
        config = read_config(folder / "config.json", ("sizes", "vq", "sampling"))
        where, weights = folder / "config.json", folder / "transformer.safetensors"
        name = read_name(config["name"], f"{where}: name") if "name" in config else printable(folder.name)
        sizes = read_sizes(LlamaGenConfig, config["sizes"], f"{where}: sizes")
        vq_sizes = read_sizes(LlamaGenVQConfig, config["vq"], f"{where}: vq")
        sampling = read_sizes(Sampling, config["sampling"], f"{where}: sampling")
        model = load_module(lambda: LlamaGenTransformer(sizes), weights, where, device, dtype)
        vq = load_module(lambda: LlamaGenVQ(vq_sizes), folder / "vq.safetensors", where, device, torch.float32)
        embedding = model.cls_embedding
        condition: Condition
        if isinstance(embedding, ClassEmbedding):
            condition = ClassCondition(embedding)
        else:
            condition = CaptionCondition.from_folder(embedding, folder)
        target = cls(name, model, vq, condition, sampling)
        target.check_codes(where)
        target.read_fingerprint(weights)
        return target

    @property
    def grid(self) -> Grid:
        """The grid that the model was trained on."""
        return Grid(self.model.config.rows, self.model.config.columns)

    @property
    def patch(self) -> int:
        """Pixels a side of one cell."""
        return self.vq.config.patch

    @property
    def codebook(self) -> Float[Tensor, "V c"]:
        """Unit vectors of the picture decoder, one for each image token."""
        return self.vq.codebook

    def check_grid(self, grid: Grid) -> None:
        """Refuse a grid beyond the one that the model was trained on: it knows no places there.

        Raises:
            BadInput: more rows or columns.
        """
        if grid.rows > self.grid.rows or grid.columns > self.grid.columns:
            raise BadInput(f"size {grid}", f"at most {self.grid}, which {self.name} was trained on")

    def check_prompts(self, prompts: Sequence[str], negatives: Sequence[str], grid: Grid) -> None:
        """Refuse prompts that are empty, mean no class, or are captions that there are no features of.

        Raises:
            BadInput: one is.
        """
        if not all(prompt.strip() for prompt in prompts):
            raise BadInput("an empty prompt", "a class or a caption", "say what to draw")
        self.condition.check([*prompts, *filter(None, negatives)])

    @torch.inference_mode()
    def session(self, prompts: Sequence[str], negatives: Sequence[str], sampling: Sampling, grid: Grid) -> Session:
        """Start images, one per prompt.

        Args:
            prompts: classes or captions; none may be empty.
            negatives: of the unconditional stream, one per prompt; "" for none, as published.
            sampling: its guidance decides the number of streams.
            grid: of every image.

        Raises:
            BadInput: a prompt that `check_prompts` refuses, or a grid that the model was not trained on.
        """
        self.check_grid(grid)
        self.check_prompts(prompts, negatives, grid)
        states = self.condition([pair[: sampling.streams] for pair in zip(prompts, negatives, strict=True)])
        return Session(self, [Prompt(prefixes, grid) for prefixes in states])
