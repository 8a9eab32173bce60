"""The Cosmos decoder as NVIDIA published it, `decoder.jit`, into `vq.safetensors` beside a SimpleAR.

Of the TorchScript file only tensors are read; its code is not run. Weights of convolutions are summed over time, as the
decoder sees one frame; what that leaves without effect is left out.
"""

from __future__ import annotations

import re
from pathlib import Path

import torch

from spatialspec.core.errors import BadInput
from spatialspec.io.outputs import check_output
from spatialspec.io.tensors import build, check_shapes, shapes_of, write_tensors
from spatialspec.targets.cosmos import FILE, CosmosSizes, CosmosVQ
from spatialspec.targets.layouts import COSMOS
from spatialspec.targets.published import check_numbers, read

NORM = re.compile(r"(norm\w*)\.norm\.")  # a norm of each frame, which wraps that of PyTorch


def convert(source: Path, out: Path) -> None:
    """Write `vq.safetensors` into the folder of a checkpoint.

    Args:
        source: `decoder.jit` of Cosmos-1.0-Tokenizer-DV8x16x16.
        out: folder of the checkpoint.

    Raises:
        BadInput: the file is damaged or foreign, or the folder is no checkpoint.
    """
    if not (out / "config.json").is_file():
        raise BadInput(f"no config.json in {out}", "the folder of a SimpleAR", COSMOS.advice)
    check_output(out / FILE, "", "OUT", [source])
    tensors = {}
    for name, tensor in read(source, COSMOS).items():
        folded = tensor.float().sum(2) if tensor.dim() == 5 else tensor
        tensors[NORM.sub(r"\1.", name.replace(".conv3d.", "."))] = folded.contiguous()
    sizes = CosmosSizes.of(shapes_of(tensors), source)
    expected = shapes_of(build(lambda: CosmosVQ(sizes, 1), source).state_dict())
    kept = {name: tensors[name].to(torch.float32) for name in expected if name in tensors}
    check_shapes(expected, shapes_of(kept), source, "it is another image decoder")
    check_numbers(kept, source)
    write_tensors(out / FILE, kept)
