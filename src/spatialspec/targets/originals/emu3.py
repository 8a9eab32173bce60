"""Emu3-Gen as BAAI published it (model_type `Emu3`, with code of its own), into the layout of transformers.

The language model is in one repository, the image decoder with its encoder in another (BAAI/Emu3-VisionTokenizer). In
its attention, 1x1 convolutions there are matrices here. The tokenizer is a table of byte sequences and their ranks, and
a list of special tokens; its pattern, which code there holds, is written here.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from torch import Tensor
from transformers import (
    Emu3Config,
    Emu3ForConditionalGeneration,
    Emu3Processor,
    GenerationConfig,
    PreTrainedTokenizerFast,
)
from transformers.convert_slow_tokenizer import bytes_to_unicode
from transformers.models.emu3.image_processing_emu3 import Emu3ImageProcessor

from spatialspec.core.errors import BadInput, shown
from spatialspec.io.files import read_text
from spatialspec.targets.layouts import EMU3_VQ, LANGUAGE
from spatialspec.targets.originals.source import FETCH, PublishedSource, sizes_of, write_model
from spatialspec.targets.published import identify

VQ = "BAAI/Emu3-VisionTokenizer"
RANKS, SPECIAL = "emu3.tiktoken", "emu3_vision_tokens.txt"
FIRST = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", *(f"<|extra_{i}|>" for i in range(205)))  # before SPECIAL's
IMAGE = "<image>"  # what transformers calls the place of an image in a prompt: an unused token becomes it
UNUSED = "<|extra_0|>"
PIECES = (  # how the published tokenizer cuts a text before it merges bytes
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
TEXT = (
    "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads",
    "hidden_act", "max_position_embeddings", "rms_norm_eps", "pad_token_id", "bos_token_id", "eos_token_id",
)  # fmt: skip
DECODER = {  # key of the image decoder's config.json -> of transformers
    "codebook_size": "codebook_size", "embed_dim": "embed_dim", "z_channels": "latent_channels",
    "double_z": "double_latent", "in_channels": "in_channels", "out_channels": "out_channels",
    "temporal_downsample_factor": "temporal_downsample_factor", "ch": "base_channels", "ch_mult": "channel_multiplier",
    "num_res_blocks": "num_res_blocks", "attn_resolutions": "attn_resolutions",
}  # fmt: skip
RULES = (
    (r"^(encoder|decoder)\.mid\.attn_1\.norm\.", r"\1.middle_block.attn_norm."),
    (r"^(encoder|decoder)\.mid\.", r"\1.middle_block."),
    (r"^encoder\.down\.", "encoder.down_block.down."),
    (r"^decoder\.up\.", "decoder.up_block.up."),
    (r"\.attn\.(\d+)\.norm\.", r".attn_norms.\1."),
    (r"\.(attn_1|attn\.\d+)\.([qkv])\.", r".\1.\2_proj."),
    (r"\.(attn_1|attn\.\d+)\.proj_out\.", r".\1.out_proj."),
)


def convert(source: PublishedSource, out: Path, vq: PublishedSource) -> str:
    """Write a folder in the layout of transformers.

    Args:
        source: the language model.
        out: new folder.
        vq: the image decoder.

    Returns:
        One line on what it is.

    Raises:
        BadInput: a file is missing, damaged or not as published.
    """
    config, sizes = source.config("config.json", "vocab_size"), vq.config("config.json", "codebook_size")
    known = identify(*vq.weights)
    if known is not EMU3_VQ:
        raise BadInput(known.what, EMU3_VQ.what, known.advice, vq.folder)
    tokenizer = _tokenizer(source.folder)
    text = {key: config[key] for key in TEXT if key in config}
    rotation = {"rope_type": "default", "rope_theta": config.get("rope_theta", 1e6)}
    with sizes_of(source.folder / "config.json"):
        made = Emu3Config(
            text_config={**text, "rope_parameters": rotation},
            vq_config={new: sizes[old] for old, new in DECODER.items() if old in sizes} | _width(sizes),
            vocabulary_map=tokenizer.get_vocab(),
        )
    tensors = {_name(name): tensor for name, tensor in source.tensors(LANGUAGE).items()}
    tensors |= {f"model.vqmodel.{name}": tensor for name, tensor in renamed(vq.tensors(EMU3_VQ)).items()}

    def others(folder: Path) -> None:
        pixels = {name: value for name, value in vq.config("preprocessor_config.json").items() if _is_setting(name)}
        Emu3Processor(Emu3ImageProcessor(**pixels), tokenizer, chat_template="").save_pretrained(folder)
        GenerationConfig(
            **{key: config[key] for key in ("pad_token_id", "bos_token_id", "eos_token_id") if key in config}
        ).save_pretrained(folder)

    write_model(out, Emu3ForConditionalGeneration, made, tensors, source, others)
    return f"Emu3 in the layout of transformers, {sum(t.numel() for t in tensors.values()) / 1e6:,.0f}M parameters"


def renamed(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of an image decoder under the names of transformers."""
    made = {}
    for name, tensor in tensors.items():
        for pattern, new in RULES:
            name = re.sub(pattern, new, name)
        matrix = re.search(r"\.(q|k|v|out)_proj\.weight$", name) and tensor.dim() == 4
        made[name] = tensor.flatten(1) if matrix else tensor
    return made


def _name(name: str) -> str:
    return f"model.text_model.{name.removeprefix('model.')}" if name.startswith("model.") else name


def _width(sizes: dict[str, Any]) -> dict[str, int]:
    """The width of the attention in the image decoder: that of its innermost level."""
    return {"hidden_size": sizes.get("ch", 256) * sizes.get("ch_mult", (4,))[-1]}


def _is_setting(name: str) -> bool:
    return name.startswith(("do_", "image_mean", "image_std", "rescale_", "resample", "min_", "max_", "spatial_"))


def _tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """The published tokenizer, in the form of transformers."""
    made = bare_tokenizer(folder, {UNUSED: IMAGE})
    extra = {
        "image_token": IMAGE, "boi_token": "<|image start|>", "eoi_token": "<|image end|>",
        "image_wrapper_token": "<|image token|>", "eof_token": "<|extra_201|>",
    }  # fmt: skip
    if missing := [name for name in extra.values() if made.token_to_id(name) is None]:
        raise BadInput(f"no token {missing[0]}", "the special tokens of Emu3-Gen", FETCH, folder / SPECIAL)
    return PreTrainedTokenizerFast(
        tokenizer_object=made, bos_token="<|extra_203|>", eos_token="<|extra_204|>", pad_token="<|endoftext|>",
        extra_special_tokens=extra,
    )  # fmt: skip


def bare_tokenizer(folder: Path, names: Mapping[str, str], advice: str = FETCH) -> Tokenizer:
    """The published tokenizer, in the form of `tokenizers`.

    Args:
        folder: of its two files.
        names: of special tokens that get another name -> that name.
        advice: where a file is missing.

    Raises:
        BadInput: a file is missing or damaged.
    """
    ranks = read_ranks(folder / RANKS, advice)
    special = read_text(folder / SPECIAL, "special tokens", advice).split("\n")
    letters = bytes_to_unicode()
    spelled = {token: "".join(letters[byte] for byte in token) for token in ranks}
    merges = [
        (rank, ranks[token[:cut]], ranks[token[cut:]], spelled[token[:cut]], spelled[token[cut:]])
        for token, rank in ranks.items()
        for cut in range(1, len(token))
        if token[:cut] in ranks and token[cut:] in ranks
    ]
    vocab = {spelled[token]: rank for token, rank in ranks.items()}
    merged = [(left, right) for *_, left, right in sorted(merges)]
    made = Tokenizer(models.BPE(vocab=vocab, merges=merged, ignore_merges=True))
    made.normalizer = normalizers.NFC()
    cut = pre_tokenizers.Split(Regex(PIECES), "isolated")
    made.pre_tokenizer = pre_tokenizers.Sequence([cut, pre_tokenizers.ByteLevel(False, use_regex=False)])
    made.decoder = decoders.ByteLevel()
    tokens = [*FIRST, *(name.strip() for name in special if name.strip())]
    made.add_special_tokens([AddedToken(names.get(name, name), special=True, normalized=False) for name in tokens])
    return made


def read_ranks(path: Path, advice: str = FETCH) -> dict[bytes, int]:
    """Byte sequences and their ranks, from 0 without gaps: lines of a sequence in base64 and its rank.

    Raises:
        BadInput: the file is missing or damaged.
    """
    ranks = {}
    for number, line in enumerate(read_text(path, "ranks of byte sequences", advice).splitlines(), start=1):
        if not line.strip():
            continue
        try:
            token, rank = line.split()
            ranks[base64.b64decode(token, validate=True)] = int(rank)
        except (ValueError, binascii.Error) as error:
            raise BadInput(shown(line), "a sequence in base64 and its rank", FETCH, f"{path}: line {number}") from error
    if sorted(ranks.values()) != list(range(len(ranks))) or not ranks.keys() >= {bytes([i]) for i in range(256)}:
        raise BadInput("ranks with gaps, or without all single bytes", "a whole table", FETCH, path)
    return ranks
