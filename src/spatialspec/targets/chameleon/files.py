"""Files of Chameleon's image decoder and encoder, and the converter for the file that Meta published.

A checkpoint that was converted with its image decoder (Anole's) has it in its shards, as `model.vqmodel.*`. Others
(Lumina-mGPT's, Liquid's) have none; then `vq.safetensors` lies beside the shards, written by `convert` from Meta's
`vqgan.ckpt`, and `vq_encoder.safetensors`, the encoder of images. Its sizes are in config.json, or the published ones.
"""

from __future__ import annotations

from pathlib import Path

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import safe_open
from transformers import ChameleonConfig, ChameleonVQVAE, ChameleonVQVAEConfig

from spatialspec.core.errors import BadInput, shown
from spatialspec.io.files import read_config
from spatialspec.io.outputs import check_output
from spatialspec.io.tensors import build, check_shapes, read_shapes, read_weights, shapes_of, write_tensors
from spatialspec.targets.chameleon.vq import ChameleonVQ
from spatialspec.targets.layouts import VQGAN
from spatialspec.targets.model_files import LARGEST, check_sizes, shards
from spatialspec.targets.published import check_numbers, read

FILE = "vq.safetensors"
ENCODER = "vq_encoder.safetensors"
MOST = 64  # blocks of a level; levels
PREFIX = "model.vqmodel."
BARE = ("gemma", "qwen3")  # models whose config.json need have no vocabulary_map, nor vq_config: then as Chameleon's
ANOTHER = "it is for another image decoder"
DRAWING = ("quantize.", "post_quant_conv.", "decoder.")  # parts that a code goes through on its way to pixels
READING = ("encoder.", "quant_conv.", "quantize.", "post_quant_conv.")  # those of transformers' class, the encoder


def load_vq(folder: Path) -> ChameleonVQ:
    """Load the image decoder of a checkpoint, in fp32.

    Raises:
        BadInput: no such file, or a weight is missing, left over or of another shape.
    """
    vq, path = _build(folder), folder / FILE
    if path.is_file():
        read_weights(vq, path, dtype=torch.float32)
    else:
        _read_shards(vq, folder)
    return vq.eval().requires_grad_(False)


def load_reader(folder: Path, device: torch.device) -> ChameleonVQVAE:
    """Load the encoder of images that lies beside a checkpoint, in fp32.

    Raises:
        BadInput: no such file, or a weight is missing, left over or of another shape.
    """
    if not (folder / ENCODER).is_file():
        raise BadInput(
            "no encoder of images",
            ENCODER,
            f"make it with spatialspec convert vqgan.ckpt {folder}, or learn from images that the target draws, "
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
            f"no config.json in {out}", "the folder of a checkpoint such as Lumina-mGPT or Liquid", VQGAN.advice
        )
    with torch.device("meta"):
        reader = ChameleonVQVAE(_sizes(out))
    vq = _build(out)
    for file in (FILE, ENCODER):
        check_output(out / file, "", "OUT", [source])
    published, parts = read(source, VQGAN), {}
    for file, module, names in ((FILE, vq, DRAWING), (ENCODER, reader, READING)):
        parts[file] = {name: tensor.contiguous() for name, tensor in published.items() if name.startswith(names)}
        check_shapes(shapes_of(module.state_dict()), shapes_of(parts[file]), source, ANOTHER)
        check_numbers(parts[file], source)
    for file, tensors in parts.items():
        write_tensors(out / file, tensors)


def _build(folder: Path) -> ChameleonVQ:
    sizes = _sizes(folder)
    return build(lambda: ChameleonVQ(sizes), folder / "config.json")


def _sizes(folder: Path) -> ChameleonVQVAEConfig:
    path = folder / "config.json"
    bare = read_config(path).get("model_type") in BARE
    given = read_config(path, () if bare else ("vq_config", "vocabulary_map")).get("vq_config", {})
    try:
        check_sizes({"vq_config": given}, path, MOST, LARGEST, ChameleonConfig)
        sizes = ChameleonVQVAEConfig(**given)
    except (TypeError, ValueError, StrictDataclassError) as error:
        if isinstance(error, BadInput):
            raise
        got = f"others ({shown(' '.join(str(error).split()), 200)})"
        raise BadInput(got, "sizes of an image decoder in vq_config", where=path) from error
    ranges = {"channel_multiplier": sizes.channel_multiplier, "resolution": [sizes.resolution]}
    for key, values in ranges.items():
        if not 1 <= len(values) <= MOST or not all(isinstance(x, int) and x >= 1 for x in values):
            raise BadInput(f"{key} {shown(values)}", "sizes of at least 1", "fetch it again", path)
    return sizes


def _read_shards(vq: ChameleonVQ, folder: Path) -> None:
    expected = shapes_of(vq.state_dict())
    shapes: dict[str, tuple[int, ...]] = {}
    paths: dict[str, Path] = {}
    for path in shards(folder):
        for key, shape in read_shapes(path).items():
            name = key.removeprefix(PREFIX)
            if key != name and (name in expected or name.startswith("decoder.")):
                shapes[name], paths[name] = shape, path
    if not any(name.startswith("decoder.") for name in shapes):
        raise BadInput(
            "no image decoder",
            f"{FILE} there, or {PREFIX}decoder.* in the shards",
            f"make it with spatialspec convert vqgan.ckpt {folder} from the file that Meta published with Chameleon",
            where=folder,
        )
    check_shapes(expected, shapes, folder, ANOTHER)
    weights = {}
    for name, path in paths.items():
        with safe_open(path, "pt") as file:
            weights[name] = file.get_tensor(PREFIX + name).float()
    vq.load_state_dict(weights, assign=True)
