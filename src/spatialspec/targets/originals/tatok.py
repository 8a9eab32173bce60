"""TA-Tok as Tar's authors published it, `ta_tok.pth`, into `tatok.safetensors` beside an AR-DTok.

Of it the half that reads codes is kept. Its codebook is stored behind the projections that every code passes through:

    E = W_o normalise(W_p C + b_p) + b_o        C: SimVQ's embedding; normalised where its settings say `l2_normalized`
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from spatialspec.core.errors import BadInput
from spatialspec.io.outputs import check_output
from spatialspec.io.tensors import build, check_shapes, shapes_of, write_tensors
from spatialspec.targets.layouts import TA_TOK
from spatialspec.targets.llamagen.codes import FILE, TATokDecoder, TATokSizes
from spatialspec.targets.published import check_numbers, read, read_settings

NAMES = (
    (r"decoder\.vision_model\.(?!head\.)", "siglip."),
    (r"decode_task_layer\.", "mlp."),
)  # of the half that is kept


def convert(source: Path, out: Path) -> None:
    """Write `tatok.safetensors` into the folder of an AR-DTok.

    Args:
        source: `ta_tok.pth`.
        out: folder of the AR-DTok.

    Raises:
        BadInput: the file is damaged or foreign, or the folder is no checkpoint.
    """
    if not (out / "config.json").is_file():
        raise BadInput(f"no config.json in {out}", "the folder of an AR-DTok", TA_TOK.advice)
    check_output(out / FILE, "", "OUT", [source])
    tensors = read(source, TA_TOK)
    kept = {re.sub(old, new, name): t for old, new in NAMES for name, t in tensors.items() if re.match(old, name)}
    kept["embedding.weight"] = _codebook(tensors, source)
    kept = {name: tensor.to(torch.float32).contiguous() for name, tensor in kept.items()}
    sizes = TATokSizes.of(shapes_of(kept), source)
    expected = shapes_of(build(lambda: TATokDecoder(sizes), source).state_dict())
    check_shapes(expected, shapes_of(kept), source, "it is another tokenizer")
    check_numbers(kept, source)
    write_tensors(out / FILE, kept)


def _codebook(tensors: dict[str, Tensor], source: Path) -> Tensor:
    """E of all codes."""
    linear = ("regularizer.embedding_proj", "out_linear")
    codes = tensors.get("bottleneck.regularizer.embedding.weight")
    if codes is None or codes.dim() != 2:
        raise BadInput("no codebook", "bottleneck.regularizer.embedding.weight", "it is another tokenizer", source)
    width = codes.shape[-1]
    sizes = {"weight": (width, width), "bias": (width,)}
    shapes = {f"bottleneck.{name}.{part}": size for name in linear for part, size in sizes.items()}
    parts = {name: tensors[name].float() for name in shapes if name in tensors}
    check_shapes(shapes, shapes_of(parts), source, "it is another tokenizer")
    inner, inner_bias, outer, outer_bias = parts.values()
    settings: Any = read_settings(source)
    for key in ("bottleneck", "args", "regularizer", "args"):
        settings = settings.get(key) if isinstance(settings.get(key), dict) else {}
    projected = F.linear(codes.float(), inner, inner_bias)
    return F.linear(F.normalize(projected, dim=-1) if settings.get("l2_normalized") else projected, outer, outer_bias)
