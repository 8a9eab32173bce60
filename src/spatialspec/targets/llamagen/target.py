"""LlamaGen (Sun et al., arXiv 2406.06525) from a folder that `spatialspec convert` has written.

Folder: `config.json`, `transformer.safetensors`, `vq.safetensors`; for captions also `t5/` or `captions.safetensors`,
for codes `tatok.safetensors`. A class-conditional model draws from an ImageNet class, a text-conditional one from a
caption, Tar's AR-DTok (Han et al., arXiv 2506.18898) from codes of TA-Tok.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from torch import nn

from spatialspec.core.errors import BadInput
from spatialspec.core.grid import Grid
from spatialspec.core.sampling import Sampling
from spatialspec.io.files import write_text
from spatialspec.io.tensors import write_tensors
from spatialspec.targets.engine import Hidden, PassInputs, Prompt
from spatialspec.targets.grid_target import GridTarget
from spatialspec.targets.llamagen.captions import CaptionCondition
from spatialspec.targets.llamagen.classes import ClassCondition
from spatialspec.targets.llamagen.codes import FILE, CodeCondition
from spatialspec.targets.llamagen.transformer import ClassEmbedding, LlamaGenConfig, LlamaGenTransformer
from spatialspec.targets.llamagen.vq import LlamaGenVQ, LlamaGenVQConfig

MODEL_TYPE = "llamagen"
SAMPLING = {  # defaults of the published samplers, sample_c2i.py and sample_t2i.py of LlamaGen, t2i_inference.py of Tar
    "class": Sampling(guidance=4.0, temperature=1.0, top_k=2000),
    "text": Sampling(guidance=7.5, temperature=1.0, top_k=1000),
    "codes": Sampling(guidance=4.0),
}
Condition = ClassCondition | CaptionCondition | CodeCondition


def config_text(name: str, sizes: LlamaGenConfig, vq: LlamaGenVQConfig, source: Mapping[str, str]) -> str:
    """What `config.json` holds; `source` names the files that the weights come from."""
    sampling = SAMPLING[sizes.kind].facts()
    config = {"model_type": MODEL_TYPE, "name": name, "sizes": asdict(sizes), "vq": asdict(vq), "sampling": sampling}
    return json.dumps({**config, "source": dict(source)}, indent=2) + "\n"


class LlamaGenTarget(GridTarget):
    """Frozen transformer and image decoder; prompts are classes, captions or codes."""

    key = "sizes"
    classes = LlamaGenConfig, LlamaGenTransformer, LlamaGenVQConfig, LlamaGenVQ
    decoders = "vq.safetensors", FILE
    prompt_kind = "a class, a caption or codes"
    model: LlamaGenTransformer
    vq: LlamaGenVQ
    prompts: Condition

    @property
    def networks(self) -> tuple[nn.Module, ...]:
        """The transformer, the image decoder, and for codes the decoder of TA-Tok."""
        return (*super().networks, *((self.prompts.decoder,) if isinstance(self.prompts, CodeCondition) else ()))

    @classmethod
    def read_prompts(cls, folder: Path, model: LlamaGenTransformer) -> Condition:
        """Classes need no file; captions need `captions.safetensors` or `t5/`, codes `tatok.safetensors`."""
        if model.config.kind == "codes":
            return CodeCondition.from_folder(model, folder)
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
            BadInput: more rows or columns; or others at all, where positions are those of the sequence.
        """
        if self.model.config.kind == "codes" and grid != self.grid:
            raise BadInput(f"size {grid}", f"{self.grid}, the only one of {self.name}", "convert another AR-DTok")
        if grid.rows > self.grid.rows or grid.columns > self.grid.columns:
            raise BadInput(f"size {grid}", f"at most {self.grid}, which {self.name} was trained on")

    def encode(self, images: Sequence[Sequence[str]], grid: Grid) -> list[Prompt]:
        """Prefix states of classes, captions or codes."""
        return [Prompt(prefixes, grid) for prefixes in self.prompts(images)]

    def run(self, inputs: PassInputs) -> Hidden:
        """See :class:`GridEngine`. An AR-DTok embeds positions; the slot of the last cell has none and needs none."""
        if self.model.config.kind == "codes":
            table = self.model.abs_pe[0]
            inputs = replace(inputs, x=inputs.x + table[inputs.positions.clamp(max=len(table) - 1)])
        return super().run(inputs)
