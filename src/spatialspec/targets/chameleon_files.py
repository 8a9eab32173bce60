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
from safetensors import SafetensorError, safe_open
from torch import Tensor
from transformers import ChameleonVQVAE, ChameleonVQVAEConfig

from spatialspec.core.errors import BadInput
from spatialspec.files import check_output, read_config
from spatialspec.targets.chameleon_vq import ChameleonVQ
from spatialspec.targets.published import VQGAN, check_numbers, read
from spatialspec.tensors import read_weights, write_tensors

FILE = "vq.safetensors"
ENCODER = "vq_encoder.safetensors"
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
        read_weights(vq, own)
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
        reader, vq = ChameleonVQVAE(_sizes(out)), _build(out)
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
    return ChameleonVQ(_sizes(folder))


def _sizes(folder: Path) -> ChameleonVQVAEConfig:
    path = folder / "config.json"
    config = read_config(path, ("vq_config", "vocabulary_map"))
    try:
        return ChameleonVQVAEConfig(**config["vq_config"])
    except (TypeError, StrictDataclassError) as error:
        raise BadInput(f"others ({error})", "sizes of a picture decoder in vq_config", where=path) from error


def _read_shards(vq: ChameleonVQ, folder: Path) -> None:
    wanted, got = vq.state_dict(), {}
    for path in _shards(folder):
        if not path.is_file():
            raise BadInput(f"no file {path}", "weights", "fetch the checkpoint again")
        try:
            with safe_open(path, "pt") as file:
                for key in file.keys():  # noqa: SIM118
                    name = key.removeprefix(PREFIX)
                    if key != name and (name in wanted or name.startswith("decoder.")):
                        got[name] = file.get_tensor(key)
        except SafetensorError as error:
            raise BadInput(f"a damaged file ({error})", "safetensors", "fetch it again", where=path) from error
    if not any(name.startswith("decoder.") for name in got):
        raise BadInput(
            "no picture decoder",
            f"{FILE} there, or {PREFIX}decoder.* in the shards",
            f"make it with spatialspec convert vqgan.ckpt {folder} from the file that Meta published with Chameleon",
            where=folder,
        )
    _check(_shapes(wanted), _shapes(got), folder)
    vq.load_state_dict(got)


def _shards(folder: Path) -> list[Path]:
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        return [folder / "model.safetensors"]
    return [folder / name for name in sorted(set(read_config(index, ("weight_map",))["weight_map"].values()))]


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def _check(expected: Mapping[str, tuple[int, ...]], got: Mapping[str, tuple[int, ...]], where: Path) -> None:
    """Name the first difference."""
    for name in sorted(expected.keys() | got.keys()):
        if expected.get(name) != got.get(name):
            e, g = expected.get(name, "no such tensor"), got.get(name, "no such tensor")
            raise BadInput(f"{g}", f"{e}", "it is for another picture decoder", where=f"{where}: tensor {name}")
