"""LlamaGen (Sun et al., arXiv 2406.06525) from a folder that `spatialspec convert` has written.

Folder: `config.json`, `transformer.safetensors`, `vq.safetensors`; for captions also `t5/` or `captions.safetensors`.
A class-conditional model draws from an ImageNet class, a text-conditional one from a caption.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from spatialspec.core.errors import BadInput
from spatialspec.core.grid import Grid
from spatialspec.core.sampling import Sampling
from spatialspec.io.files import write_text
from spatialspec.io.tensors import write_tensors
from spatialspec.targets.engine import Prompt
from spatialspec.targets.grid_target import GridTarget
from spatialspec.targets.llamagen.captions import CaptionCondition
from spatialspec.targets.llamagen.classes import ClassCondition
from spatialspec.targets.llamagen.transformer import ClassEmbedding, LlamaGenConfig, LlamaGenTransformer
from spatialspec.targets.llamagen.vq import LlamaGenVQ, LlamaGenVQConfig

MODEL_TYPE = "llamagen"
SAMPLING = {  # defaults of the published samplers, sample_c2i.py and sample_t2i.py
    "class": Sampling(guidance=4.0, temperature=1.0, top_k=2000),
    "text": Sampling(guidance=7.5, temperature=1.0, top_k=1000),
}
Condition = ClassCondition | CaptionCondition


def config_text(name: str, sizes: LlamaGenConfig, vq: LlamaGenVQConfig, source: Mapping[str, str]) -> str:
    """What `config.json` holds; `source` names the files that the weights come from."""
    sampling = SAMPLING[sizes.kind].facts()
    config = {"model_type": MODEL_TYPE, "name": name, "sizes": asdict(sizes), "vq": asdict(vq), "sampling": sampling}
    return json.dumps({**config, "source": dict(source)}, indent=2) + "\n"


class LlamaGenTarget(GridTarget):
    """Frozen transformer and image decoder; prompts are classes or captions."""

    key = "sizes"
    classes = LlamaGenConfig, LlamaGenTransformer, LlamaGenVQConfig, LlamaGenVQ
    prompt_kind = "a class or a caption"
    model: LlamaGenTransformer
    vq: LlamaGenVQ
    prompts: Condition

    @classmethod
    def read_prompts(cls, folder: Path, model: LlamaGenTransformer) -> Condition:
        """Classes need no file; captions need `captions.safetensors` or `t5/`."""
        embedding = model.cls_embedding
        if isinstance(embedding, ClassEmbedding):
            return ClassCondition(embedding)
        return CaptionCondition.from_folder(embedding, folder)

    def save(self, folder: Path) -> None:
        """Write a folder that `from_folder` takes, with known captions and the text encoder."""
        for name, network in (("transformer", self.model), ("vq", self.vq)):
            tensors = {key: tensor.detach().cpu().contiguous() for key, tensor in network.state_dict().items()}
            write_tensors(folder / f"{name}.safetensors", tensors)
        self.prompts.save(folder)
        write_text(folder / "config.json", config_text(self.name, self.model.config, self.vq.config, {}))

    def check_grid(self, grid: Grid) -> None:
        """Refuse a grid beyond the one that the model was trained on.

        Raises:
            BadInput: more rows or columns.
        """
        if grid.rows > self.grid.rows or grid.columns > self.grid.columns:
            raise BadInput(f"size {grid}", f"at most {self.grid}, which {self.name} was trained on")

    def encode(self, images: Sequence[Sequence[str]], grid: Grid) -> list[Prompt]:
        """Prefix states of classes or captions."""
        return [Prompt(prefixes, grid) for prefixes in self.prompts(images)]
