"""From LlamaGen's published `.pt` files to a folder of safetensors and `config.json`.

Sizes are inferred from the shapes of tensors, then every name and shape is checked against a model of these sizes. Two
things are in no shape: the number of heads, known for the published widths, and the grid, named by the file
(`c2i_L_384.pt` draws 384 pixels, 24 x 24 tokens of 16 pixels).
"""

from __future__ import annotations

import argparse
import os
import pickle
import re
import shutil
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from spatialspec.core.errors import BadInput
from spatialspec.core.grid import Grid
from spatialspec.files import write_text
from spatialspec.targets.llamagen import config_text
from spatialspec.targets.llamagen_transformer import LlamaGenConfig, LlamaGenTransformer
from spatialspec.targets.llamagen_vq import LlamaGenVQ, LlamaGenVQConfig

HEADS = {768: 12, 1024: 16, 1280: 20, 1536: 24, 2048: 32, 2560: 40, 3200: 32, 4096: 32}  # by width, gpt.py of LlamaGen
WRAPPERS = ("model", "module", "state_dict", "ema")  # where a checkpoint keeps its tensors, in the sampler's order
VQ_WRAPPERS = ("ema", "model", "state_dict")  # the published demo of the picture decoder prefers the average
LEFT_OUT = re.compile(r"freqs_cis|causal_mask|.*\.kv_cache\..*")  # tables and caches, made again for every session
VQ_LEFT_OUT = re.compile(r"encoder\..*|quant_conv\..*|quantize\.codebook_used")  # drawing needs no encoder


def convert(source: Path, out: Path, vq: Path | None = None, size: Grid | None = None, heads: int | None = None) -> str:
    """Write a model folder, whole or not at all.

    Args:
        source: the transformer, `.pt`, `.pth` or `.safetensors`; of a pickle nothing but tensors is read.
        out: new folder.
        vq: the picture decoder, `vq_ds16_c2i.pt`, `vq_ds8_c2i.pt` or `vq_ds16_t2i.pt`.
        size: grid of the model; None reads it from the name of `source`.
        heads: attention heads; None knows them for the published widths.

    Returns:
        One line on what it is.

    Raises:
        BadInput: a file that is missing, damaged or foreign, tensors that are missing, left over or of a wrong shape,
            a size that cannot be told, or a folder that exists.
    """
    if vq is None:
        raise BadInput("no picture decoder", "--vq FILE", "fetch vq_ds16_c2i.pt or vq_ds16_t2i.pt too")
    if out.exists():
        raise BadInput(f"{out}, which exists", "a new folder", "choose another name")
    pixels, tensors = read_tensors(vq, VQ_WRAPPERS), read_tensors(source, WRAPPERS)
    vq_sizes = infer_vq(pixels, vq)
    sizes = infer(tensors, source, size or _grid(source, vq_sizes.patch), heads)
    with torch.device("meta"):
        decoder, model = LlamaGenVQ(vq_sizes), LlamaGenTransformer(sizes)
    if sizes.codes != vq_sizes.codes:
        raise BadInput(f"{sizes.codes} tokens in {source} and {vq_sizes.codes} codes in {vq}", "as many")
    parts = {"transformer": _select(model, tensors, LEFT_OUT, source), "vq": _select(decoder, pixels, VQ_LEFT_OUT, vq)}
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(f".{out.name}.{os.getpid()}.partial")
    partial.mkdir()
    try:
        for name, part in parts.items():
            save_file(part, partial / f"{name}.safetensors")
        text = config_text(source.stem, sizes, vq_sizes, {"transformer": source.name, "vq": vq.name})
        write_text(partial / "config.json", text)
        partial.rename(out)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    count = sum(tensor.numel() for tensor in parts["transformer"].values())
    return f"LlamaGen, {sizes.kind}-conditional, {count / 1e6:.0f}M parameters, grid {sizes.rows}x{sizes.columns}"


def read_tensors(path: Path, wrappers: Sequence[str]) -> dict[str, Tensor]:
    """Tensors of a checkpoint by name, mapped from the file where its format allows.

    Raises:
        BadInput: no such file, a damaged one, one with code or other objects in it, or one without tensors.
    """
    if not path.is_file():
        raise BadInput(f"no file {path}", "a published checkpoint", "check the path")
    try:
        found = load_file(path) if path.suffix == ".safetensors" else _load_pickle(path)
    except pickle.UnpicklingError as error:
        reason = str(error).partition("\n")[0]
        raise BadInput(f"a file with other objects or code ({reason})", "tensors only", where=path) from error
    except OSError:
        raise
    except Exception as error:  # a damaged pickle may raise anything
        reason = str(error).partition("\n")[0]
        raise BadInput(f"a damaged file ({reason})", "a checkpoint", "fetch it again", where=path) from error
    if isinstance(found, dict):
        found = next((found[key] for key in wrappers if isinstance(found.get(key), dict)), found)
    tensors = {name: t for name, t in found.items() if isinstance(t, Tensor)} if isinstance(found, dict) else {}
    if not tensors:
        raise BadInput("no tensors", f"some, alone or under one of {', '.join(wrappers)}", where=path)
    return tensors


def _load_pickle(path: Path) -> Any:
    """Tensors, plain containers and the arguments of a training run; nothing that runs."""
    with torch.serialization.safe_globals([argparse.Namespace]), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))


def _grid(source: Path, patch: int) -> Grid:
    """The grid that the name of a published file says."""
    pixels = re.search(r"_(\d{2,4})$", source.stem)
    if pixels is None or int(pixels[1]) % patch:
        raise BadInput(f"{source.name}, which says no picture size", "--size, for example 24x24")
    return Grid(int(pixels[1]) // patch, int(pixels[1]) // patch)


def infer(tensors: Mapping[str, Tensor], path: Path, grid: Grid, heads: int | None) -> LlamaGenConfig:
    """Sizes of a transformer.

    Raises:
        BadInput: a tensor that tells a size is missing, or the heads are not known.
    """
    codes, width = _shape(tensors, "tok_embeddings.weight", path)
    inner, _ = _shape(tensors, "layers.0.feed_forward.w1.weight", path)
    layers = 1 + max(int(m[1]) for name in tensors if (m := re.match(r"layers\.(\d+)\.", name)))
    if heads is None and width not in HEADS:
        widths = ", ".join(map(str, HEADS))
        raise BadInput(f"width {width}", f"--heads, or a published width ({widths})", where=path)
    sizes: dict[str, Any] = {"kind": "class", "prefix": 1}
    if "cls_embedding.uncond_embedding" in tensors:
        prefix, caption = _shape(tensors, "cls_embedding.uncond_embedding", path)
        sizes = {"kind": "text", "prefix": prefix, "caption_width": caption}
    else:
        sizes["classes"] = _shape(tensors, "cls_embedding.embedding_table.weight", path)[0] - 1
    return LlamaGenConfig(
        width=width, layers=layers, heads=heads or HEADS[width], mlp_width=inner, rows=grid.rows, columns=grid.columns,
        codes=codes, **sizes,
    )  # fmt: skip


def infer_vq(tensors: Mapping[str, Tensor], path: Path) -> LlamaGenVQConfig:
    """Sizes of a picture decoder.

    Raises:
        BadInput: a tensor that tells a size is missing.
    """
    codes, code_width = _shape(tensors, "quantize.embedding.weight", path)
    latent = _shape(tensors, "post_quant_conv.weight", path)[0]
    places = [re.match(r"decoder\.conv_blocks\.(\d+)\.res\.(\d+)\.", name) for name in tensors]
    pairs = {(int(place[1]), int(place[2])) for place in places if place}
    levels, blocks = (1 + max((pair[i] for pair in pairs), default=0) for i in (0, 1))
    names = [f"decoder.conv_blocks.{level}.res.0.conv1.weight" for level in reversed(range(levels))]
    channels = tuple(_shape(tensors, name, path)[0] for name in names)
    return LlamaGenVQConfig(codes, code_width, latent, channels, blocks)


def _shape(tensors: Mapping[str, Tensor], name: str, path: Path) -> tuple[int, ...]:
    if name not in tensors:
        raise BadInput(f"no tensor {name}", "it", "the file is no LlamaGen checkpoint of this kind", where=path)
    return tuple(tensors[name].shape)


def _select(module: nn.Module, tensors: Mapping[str, Tensor], out: re.Pattern[str], path: Path) -> dict[str, Tensor]:
    """The module's tensors, all of them and no others but those that are known to be of no use."""
    expected = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    kept = {name: tensor.contiguous() for name, tensor in tensors.items() if not out.fullmatch(name)}
    got = {name: tuple(tensor.shape) for name, tensor in kept.items()}
    wrong = [n for n in expected if n in got and got[n] != expected[n]]
    for what, names in (("missing", expected.keys() - got.keys()), ("surplus", got.keys() - expected.keys())):
        if names:
            some = ", ".join(sorted(names)[:5]) + (", ..." if len(names) > 5 else "")
            raise BadInput(f"{len(names)} {what} tensors ({some})", "a published checkpoint", where=path)
    if wrong:
        raise BadInput(f"{got[wrong[0]]}", f"{expected[wrong[0]]}", where=f"{path}: tensor {wrong[0]}")
    return kept
