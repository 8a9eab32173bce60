"""From published `.pt` files of LlamaGen, and `.pth` of Tar's AR-DTok, to a folder of safetensors and `config.json`.

Sizes are inferred from the shapes of tensors, then every name and shape is checked against a model of these sizes. Two
things are in no shape: the number of heads, known for the published widths, and the grid, named by the file
(`c2i_L_384.pt` and `ar_dtok_lp_512px.pth` draw 384 and 512 pixels a side, 24 x 24 and 32 x 32 tokens of 16 pixels).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from spatialspec.core.errors import BadInput
from spatialspec.core.grid import Grid
from spatialspec.core.sizes import LONGEST, read_sizes
from spatialspec.io.files import write_text
from spatialspec.io.outputs import check_folder, writing_folder
from spatialspec.io.tensors import build, check_shapes, shapes_of, write_tensors
from spatialspec.targets.layouts import LLAMAGEN, LLAMAGEN_VQ, CheckpointLayout
from spatialspec.targets.llamagen.target import config_text
from spatialspec.targets.llamagen.transformer import LlamaGenConfig, LlamaGenTransformer
from spatialspec.targets.llamagen.vq import LlamaGenVQ, LlamaGenVQConfig
from spatialspec.targets.published import check_numbers, read

HEADS = {768: 12, 1024: 16, 1280: 20, 1536: 24, 2048: 32, 2560: 40, 3200: 32, 4096: 32}  # by width, gpt.py of LlamaGen
LEFT_OUT = re.compile(r"freqs_cis|causal_mask|.*\.kv_cache\..*")  # tables and caches, computed for every session
VQ_LEFT_OUT = re.compile(r"encoder\..*|quant_conv\..*|quantize\.codebook_used")  # drawing needs no encoder


def convert(
    source: Path,
    out: Path,
    vq: Path | None = None,
    size: Grid | None = None,
    heads: int | None = None,
    kind: CheckpointLayout = LLAMAGEN,
) -> str:
    """Write a model folder, whole or not at all.

    Args:
        source: the transformer, `.pt`, `.pth` or `.safetensors`; of a pickle nothing but tensors is read.
        out: new folder.
        vq: the image decoder, `vq_ds16_c2i.pt`, `vq_ds8_c2i.pt` or `vq_ds16_t2i.pt`.
        size: grid of the model; None reads it from the name of `source`.
        heads: attention heads; None knows them for the published widths.
        kind: of the transformer, LLAMAGEN or AR_DTOK.

    Returns:
        One line on what it is.

    Raises:
        BadInput: a file that is missing, damaged or foreign, tensors that are missing, left over or of a wrong shape,
            a size that is not known, or a folder that exists.
    """
    if vq is None:
        raise BadInput("no image decoder", "--vq FILE", "fetch vq_ds16_c2i.pt or vq_ds16_t2i.pt too")
    check_folder(out, "OUT", new=True)
    pixels, tensors = read(vq, LLAMAGEN_VQ), read(source, kind)
    vq_sizes = infer_vq(pixels, vq)
    sizes = infer(tensors, source, size or _grid(source, vq_sizes.patch), heads)
    if sizes.codes != vq_sizes.codes:
        raise BadInput(f"{sizes.codes} tokens in {source} and {vq_sizes.codes} codes in {vq}", "as many")
    decoder, model = build(lambda: LlamaGenVQ(vq_sizes), vq), build(lambda: LlamaGenTransformer(sizes), source)
    parts = {"transformer": _select(model, tensors, LEFT_OUT, source), "vq": _select(decoder, pixels, VQ_LEFT_OUT, vq)}
    name = "".join(c for c in source.stem if c.isprintable())[:LONGEST].strip() or "LlamaGen"
    with writing_folder(out) as partial:
        for file, part in parts.items():
            write_tensors(partial / f"{file}.safetensors", part)
        text = config_text(name, sizes, vq_sizes, {"transformer": source.name, "vq": vq.name})
        write_text(partial / "config.json", text)
    count = sum(tensor.numel() for tensor in parts["transformer"].values())
    family = "AR-DTok" if sizes.kind == "codes" else "LlamaGen"
    return f"{family}, {sizes.kind}-conditional, {count / 1e6:.0f}M parameters, grid {sizes.rows}x{sizes.columns}"


def _grid(source: Path, patch: int) -> Grid:
    """The grid in the name of a published file."""
    pixels = re.search(r"_(\d{2,4})(?:px)?$", source.stem)
    if pixels is None or int(pixels[1]) % patch:
        raise BadInput(f"{source.name}, which has no image size", "--size, for example 24x24")
    return Grid(int(pixels[1]) // patch, int(pixels[1]) // patch)


def infer(tensors: Mapping[str, Tensor], path: Path, grid: Grid, heads: int | None) -> LlamaGenConfig:
    """Sizes of a transformer.

    Raises:
        BadInput: a tensor that has a size is missing, or the heads are not known.
    """
    codes, width = _shape(tensors, "tok_embeddings.weight", path, 2)
    inner, _ = _shape(tensors, "layers.0.feed_forward.w1.weight", path, 2)
    layers = 1 + max(int(m[1]) for name in tensors if (m := re.match(r"layers\.(\d{1,4})\.", name)))
    if heads is None and width not in HEADS:
        widths = ", ".join(map(str, HEADS))
        raise BadInput(f"width {width}", f"--heads, or a published width ({widths})", where=path)
    sizes: dict[str, Any] = {"kind": "class", "prefix": 1}
    if "cls_embedding.uncond_embedding" in tensors:
        prefix, caption = _shape(tensors, "cls_embedding.uncond_embedding", path, 2)
        sizes = {"kind": "text", "prefix": prefix, "caption_width": caption}
    elif "abs_pe" in tensors:
        _, positions, _ = _shape(tensors, "abs_pe", path, 3)
        _, features = _shape(tensors, "clip_proj.weight", path, 2)
        sizes = {"kind": "codes", "prefix": positions - grid.cells + 1, "caption_width": features}
    else:
        sizes["classes"] = _shape(tensors, "cls_embedding.embedding_table.weight", path, 2)[0] - 1
    sizes |= {"rows": grid.rows, "columns": grid.columns, "codes": codes, "width": width, "mlp_width": inner}
    sizes |= {"layers": layers, "heads": HEADS[width] if heads is None else heads}
    return read_sizes(LlamaGenConfig, sizes, path, "check --heads and --size, or fetch the file again")


def infer_vq(tensors: Mapping[str, Tensor], path: Path) -> LlamaGenVQConfig:
    """Sizes of an image decoder.

    Raises:
        BadInput: a tensor that has a size is missing.
    """
    codes, code_width = _shape(tensors, "quantize.embedding.weight", path, 2)
    latent = _shape(tensors, "post_quant_conv.weight", path, 4)[0]
    matches = [re.match(r"decoder\.conv_blocks\.(\d{1,2})\.res\.(\d{1,2})\.", name) for name in tensors]
    levels, blocks = (1 + max((int(match[i]) for match in matches if match), default=0) for i in (1, 2))
    names = [f"decoder.conv_blocks.{level}.res.0.conv1.weight" for level in reversed(range(levels))]
    channels = [_shape(tensors, name, path, 4)[0] for name in names]
    sizes = {"codes": codes, "code_width": code_width, "latent": latent, "channels": channels, "blocks": blocks}
    return read_sizes(LlamaGenVQConfig, sizes, path)


def _shape(tensors: Mapping[str, Tensor], name: str, path: Path, dimensions: int) -> tuple[int, ...]:
    if name not in tensors:
        raise BadInput(f"no tensor {name}", "it", "the file is no LlamaGen checkpoint of this kind", where=path)
    shape = tuple(tensors[name].shape)
    if len(shape) != dimensions:
        raise BadInput(f"{shape}", f"{dimensions} dimensions", "fetch it again", f"{path}: tensor {name}")
    return shape


def _select(module: nn.Module, tensors: Mapping[str, Tensor], out: re.Pattern[str], path: Path) -> dict[str, Tensor]:
    """The module's tensors, all of them and no others but those that are known to be unused."""
    chosen = {name: tensor.contiguous() for name, tensor in tensors.items() if not out.fullmatch(name)}
    check_shapes(shapes_of(module.state_dict()), shapes_of(chosen), path, "convert a published checkpoint")
    check_numbers(chosen, path)
    return chosen
