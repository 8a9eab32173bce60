"""Emu3.5 as BAAI published it (model_type `Emu3`, with code of its own), into the layout of transformers' Qwen3.

It has all parts and names of Qwen3. The image decoder (BAAI/Emu3.5-VisionTokenizer) becomes `vq.safetensors`, with its
sizes in config.json; its encoder is left out. The tokenizer is that of Emu3 with more image tokens.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import ChameleonVQVAEConfig, PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from spatialspec.core.errors import BadInput
from spatialspec.io.tensors import build, check_shapes, shapes_of, write_tensors
from spatialspec.targets.chameleon.files import DRAWING, FILE
from spatialspec.targets.chameleon.vq import ChameleonVQ
from spatialspec.targets.layouts import QWEN3, VQGAN
from spatialspec.targets.originals.emu3 import TEXT, bare_tokenizer
from spatialspec.targets.originals.source import PublishedSource, sizes_of, write_model
from spatialspec.targets.published import check_numbers, identify
from spatialspec.targets.vqgan import read_levels

VQ = "BAAI/Emu3.5-VisionTokenizer/model.ckpt"
USUAL = {"head_dim": 128, "rms_norm_eps": 1e-5}  # what the published class takes where config.json has no such key
TOKENIZER = "copy its two files from src/tokenizer_emu3_ibq of github.com/baaivision/Emu3.5 into the folder"


def convert(source: PublishedSource, out: Path, vq: PublishedSource) -> str:
    """Write a folder in the layout of transformers, with the image decoder beside it.

    Args:
        source: the language model.
        out: new folder.
        vq: the image decoder.

    Returns:
        One line on what it is.

    Raises:
        BadInput: a file is missing, damaged or not as published.
    """
    config, where = source.config("config.json", "vocab_size"), vq.weights[0]
    known = identify(*vq.weights)
    if known is not VQGAN:
        raise BadInput(known.what, "Emu3.5's image decoder", f"give {VQ}", where)
    drawing = {name: t.to(torch.float32) for name, t in vq.tensors(VQGAN).items() if name.startswith(DRAWING)}
    drawing = {name: tensor.contiguous() for name, tensor in drawing.items()}
    sizes = decoder_sizes(drawing, where)
    check_shapes(shapes_of(build(lambda: ChameleonVQ(sizes), where).state_dict()), shapes_of(drawing), where)
    check_numbers(drawing, where)
    tokenizer = bare_tokenizer(source.folder, {}, TOKENIZER)
    with sizes_of(source.folder / "config.json"):
        rotation = {"rope_type": "default", "rope_theta": config.get("rope_theta", 1e6)}
        text: dict[str, Any] = {key: config[key] for key in (*TEXT, *USUAL) if key in config}
        text = USUAL | text | {"vq_config": sizes.to_dict()}
        made = Qwen3Config(**text, rope_parameters=rotation, tie_word_embeddings=False)

    def others(folder: Path) -> None:
        PreTrainedTokenizerFast(
            tokenizer_object=tokenizer, bos_token="<|extra_203|>", eos_token="<|extra_204|>", pad_token="<|endoftext|>"
        ).save_pretrained(folder)
        write_tensors(folder / FILE, drawing)

    tensors = source.tensors(QWEN3)
    write_model(out, Qwen3ForCausalLM, made, tensors, source, others)
    count = sum(tensor.numel() for tensor in tensors.values())
    return f"Emu3.5 in the layout of transformers' Qwen3, {count / 1e6:,.0f}M parameters"


def decoder_sizes(tensors: dict[str, Tensor], where: Path) -> ChameleonVQVAEConfig:
    """Sizes of the image decoder, from its tensors.

    Raises:
        BadInput: it is another one.
    """
    shapes = shapes_of(tensors)
    try:
        widths, blocks, attending = read_levels(shapes, "decoder.up", "q")
        base, side = math.gcd(*widths), 16 * 2 ** len(widths)
        codes, code_width = shapes["quantize.embedding.weight"]
        return ChameleonVQVAEConfig(
            num_embeddings=codes, embed_dim=code_width, latent_channels=shapes["post_quant_conv.weight"][0],
            base_channels=base, channel_multiplier=[width // base for width in widths], num_res_blocks=blocks - 1,
            attn_resolutions=[side // 2**level for level in attending], resolution=side, attn_type="vanilla",
        )  # fmt: skip
    except (KeyError, IndexError, ValueError, ZeroDivisionError) as error:
        raise BadInput(f"other tensors ({error})", "Emu3.5's image decoder", f"give {VQ}", where) from error
