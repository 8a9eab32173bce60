"""Where Chameleon's picture decoder and encoder are kept, and the converter for the file that Meta published.

A checkpoint that was converted with its picture decoder (Anole's) has it among its shards, as `model.vqmodel.*`. Others
(Lumina-mGPT's) have none; then `vq.safetensors` lies beside the shards, made from Meta's `vqgan.ckpt` by `convert`, and
`vq_encoder.safetensors`, for who wants to read pictures.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import safe_open
from torch import Tensor
from transformers import ChameleonConfig, ChameleonVQVAE, ChameleonVQVAEConfig

from spatialspec.core.errors import BadInput, shown
from spatialspec.files import read_config
from spatialspec.outputs import check_output
from spatialspec.targets.chameleon.vq import ChameleonVQ
from spatialspec.targets.model_files import LARGEST, check_sizes, shards
from spatialspec.targets.published import VQGAN, check_numbers, read
from spatialspec.tensors import read_shapes, read_weights, write_tensors

FILE = "vq.safetensors"
ENCODER = "vq_encoder.safetensors"
MOST = 64  # blocks of a level, levels
PREFIX = "model.vqmodel."
DRAWING = ("quantize.", "post_quant_conv.", "decoder.")  # parts that a code goes through on its way to pixels
READING = ("encoder.", "quant_conv.", "quantize.", "post_quant_conv.")  # those of transformers' class, the encoder


def load_vq(folder: Path) -> ChameleonVQ:
    """Load the picture decoder of a checkpoint, in fp32.

    Raises:
        BadInput: it is not there, or a weight is missing, left over or of another shape.
    """
    vq, own = _build(folder), folder / FILE
    if own.is_file():
        read_weights(vq, own, dtype=torch.float32)
    else:
        _read_shards(vq, folder)
    return vq.eval().requires_grad_(False)


def load_reader(folder: Path, device: torch.device) -> ChameleonVQVAE:
    """Load the encoder of pictures that lies beside a checkpoint, in fp32.

    Raises:
        BadInput: it is not there, or a weight is missing, left over or of another shape.
    """
    if not (folder / ENCODER).is_file():
        raise BadInput(
            "no encoder of pictures",
            ENCODER,
            f"make it with spatialspec convert vqgan.ckpt {folder}, or learn from pictures that the target draws, "
            "--self-distil PROMPTS",
            where=folder,
        )
    with torch.device("meta"):
        reader = ChameleonVQVAE(_sizes(folder))
    read_weights(reader, folder / ENCODER, device, torch.float32)
    return reader.eval().requires_grad_(False)


def convert(source: Path, out: Path) -> None:
    """Write `vq.safetensors` and `vq_encoder.safetensors` into the folder of a checkpoint from Meta's `vqgan.ckpt`.

    Args:
        source: the file that Meta published; a pickle, so only tensors are taken from it.
        out: folder of the checkpoint that wants it; its config.json has the sizes.

    Raises:
        BadInput: the file is damaged or foreign, or its sizes are not those of config.json.
    """
    if not (out / "config.json").is_file():
        raise BadInput(
            f"no config.json in {out}", "the folder of a checkpoint such as Anole or Lumina-mGPT", VQGAN.advice
        )
    with torch.device("meta"):
        reader = ChameleonVQVAE(_sizes(out))
    vq = _build(out)
    for file in (FILE, ENCODER):
        check_output(out / file, "", "OUT", [source])
    found = read(source, VQGAN)
    parts = {}
    for file, module, names in ((FILE, vq, DRAWING), (ENCODER, reader, READING)):
        parts[file] = {name: tensor.contiguous() for name, tensor in found.items() if name.startswith(names)}
        _check(_shapes(module.state_dict()), _shapes(parts[file]), source)
        check_numbers(parts[file], source)
    for file, tensors in parts.items():
        write_tensors(out / file, tensors)


def _build(folder: Path) -> ChameleonVQ:
    """On the meta device: sizes are of no weight yet."""
    sizes = _sizes(folder)
    try:
        with torch.device("meta"):
            return ChameleonVQ(sizes)
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        got, where = f"others ({shown(str(error))})", folder / "config.json"
        raise BadInput(got, "sizes of a picture decoder in vq_config", where=where) from error


def _sizes(folder: Path) -> ChameleonVQVAEConfig:
    path = folder / "config.json"
    config = read_config(path, ("vq_config", "vocabulary_map"))
    try:
        check_sizes({"vq_config": config["vq_config"]}, path, MOST, LARGEST, ChameleonConfig)
        sizes = ChameleonVQVAEConfig(**config["vq_config"])
    except (TypeError, ValueError, StrictDataclassError) as error:
        if isinstance(error, BadInput):
            raise
        got = f"others ({shown(' '.join(str(error).split()), 200)})"
        raise BadInput(got, "sizes of a picture decoder in vq_config", where=path) from error
    ranges = {"channel_multiplier": sizes.channel_multiplier, "resolution": [sizes.resolution]}
    for key, values in ranges.items():
        if not 1 <= len(values) <= MOST or not all(isinstance(x, int) and x >= 1 for x in values):
            raise BadInput(f"{key} {shown(values)}", "sizes of at least 1", "fetch it again", path)
    return sizes


def _read_shards(vq: ChameleonVQ, folder: Path) -> None:
    wanted, holds = _shapes(vq.state_dict()), {}
    for path in shards(folder):
        for key, shape in read_shapes(path).items():
            name = key.removeprefix(PREFIX)
            if key != name and (name in wanted or name.startswith("decoder.")):
                holds[name] = shape, path
    if not any(name.startswith("decoder.") for name in holds):
        raise BadInput(
            "no picture decoder",
            f"{FILE} there, or {PREFIX}decoder.* in the shards",
            f"make it with spatialspec convert vqgan.ckpt {folder} from the file that Meta published with Chameleon",
            where=folder,
        )
    _check(wanted, {name: shape for name, (shape, _) in holds.items()}, folder)
    got = {}
    for name, (_, path) in holds.items():
        with safe_open(path, "pt") as file:
            got[name] = file.get_tensor(PREFIX + name).float()
    vq.load_state_dict(got, assign=True)


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def _check(expected: Mapping[str, tuple[int, ...]], got: Mapping[str, tuple[int, ...]], where: Path) -> None:
    """Name the first difference."""
    for name in sorted(expected.keys() | got.keys()):
        if expected.get(name) != got.get(name):
            e, g = expected.get(name, "no such tensor"), got.get(name, "no such tensor")
            raise BadInput(f"{g}", f"{e}", "it is for another picture decoder", where=f"{where}: tensor {name}")
