"""MoVQGAN as its authors published it, `movqgan_270M.ckpt`, into `vq.safetensors` beside a Lumina-mGPT 2.0.

Names are those of transformers for Emu3's image decoder, which is made of the same parts. The encoder is left out.
"""

from __future__ import annotations

from pathlib import Path

import torch

from spatialspec.core.errors import BadInput
from spatialspec.io.outputs import check_output
from spatialspec.io.tensors import build, check_shapes, shapes_of, write_tensors
from spatialspec.targets.chameleon.files import DRAWING, FILE
from spatialspec.targets.layouts import MOVQGAN
from spatialspec.targets.movqgan import MoVQ, movq_sizes
from spatialspec.targets.originals.emu3 import renamed
from spatialspec.targets.published import check_numbers, read


def convert(source: Path, out: Path) -> None:
    """Write `vq.safetensors` into the folder of a checkpoint.

    Args:
        source: `movqgan_270M.ckpt`; a pickle, so only tensors are taken from it.
        out: folder of the checkpoint.

    Raises:
        BadInput: the file is damaged or foreign, or the folder is no checkpoint.
    """
    if not (out / "config.json").is_file():
        raise BadInput(f"no config.json in {out}", "the folder of a Lumina-mGPT 2.0", MOVQGAN.advice)
    check_output(out / FILE, "", "OUT", [source])
    drawing = {name: t for name, t in read(source, MOVQGAN).items() if name.startswith(DRAWING)}
    tensors = {name: t.to(torch.float32).contiguous() for name, t in renamed(drawing).items()}
    sizes = movq_sizes(shapes_of(tensors), source)
    expected = shapes_of(build(lambda: MoVQ(sizes), source).state_dict())
    check_shapes(expected, shapes_of(tensors), source, "it is another image decoder")
    check_numbers(tensors, source)
    write_tensors(out / FILE, tensors)
