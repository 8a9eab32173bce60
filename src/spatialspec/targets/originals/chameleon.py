"""Chameleon and Anole as Meta and GAIR published them, into the layout of transformers with the image decoder.

Files: `models/7b/consolidated.pth` and `params.json`, `tokenizer/text_tokenizer.json`, `vqgan.ckpt` and `vqgan.yaml`.
Queries and keys are rotated in pairs of neighbours there, in halves here: their output rows, and the weights of their
norms, are permuted. A large model is in several files, each with a part of every matrix; a norm of a part is shared by
the heads in it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor
from transformers import ChameleonConfig, ChameleonForConditionalGeneration

from spatialspec.core.documents import parse_json
from spatialspec.core.errors import BadInput, shown
from spatialspec.io.files import read_text, write_text
from spatialspec.io.tensors import build
from spatialspec.targets.chameleon.files import DRAWING, PREFIX, READING
from spatialspec.targets.chameleon.vq import ChameleonVQ
from spatialspec.targets.layouts import CHAMELEON, VQGAN
from spatialspec.targets.originals.source import FETCH, PublishedSource, sizes_of, write_model
from spatialspec.targets.published import read

LAYERS = {  # name in a layer of Meta's layout -> that of transformers, and the dimension that parts split
    "attention.wq.weight": ("self_attn.q_proj.weight", 0), "attention.wk.weight": ("self_attn.k_proj.weight", 0),
    "attention.wv.weight": ("self_attn.v_proj.weight", 0), "attention.wo.weight": ("self_attn.o_proj.weight", 1),
    "feed_forward.w1.weight": ("mlp.gate_proj.weight", 0), "feed_forward.w3.weight": ("mlp.up_proj.weight", 0),
    "feed_forward.w2.weight": ("mlp.down_proj.weight", 1), "attention_norm.weight": ("input_layernorm.weight", None),
    "ffn_norm.weight": ("post_attention_layernorm.weight", None),
}  # fmt: skip
AROUND = {
    "tok_embeddings.weight": ("model.embed_tokens.weight", 1),
    "norm.weight": ("model.norm.weight", None),
    "output.weight": ("lm_head.weight", 0),
}
NORMS = {f"{part}_normalization.{kind}": f"{part}_norm.{kind}" for part in "qk" for kind in ("weight", "bias")}
DECODER = {  # key of vqgan.yaml -> of transformers
    "z_channels": "latent_channels", "resolution": "resolution", "in_channels": "in_channels", "ch": "base_channels",
    "ch_mult": "channel_multiplier", "num_res_blocks": "num_res_blocks", "attn_resolutions": "attn_resolutions",
    "double_z": "double_latent",
}  # fmt: skip
QUERY_KEY = ("self_attn.q_proj", "self_attn.k_proj")
PLACE, IMAGE = "<reserved08707>", "<image>"  # transformers gives the place of an image in a prompt a name of its own
POSITIONS = 4096


def convert(source: PublishedSource, out: Path) -> str:
    """Write a folder in the layout of transformers, with the image decoder in its shards.

    Returns:
        One line on what it is.

    Raises:
        BadInput: a file is missing, damaged or not as published.
    """
    params = _params(source)
    names, tokenizer = _vocabulary(source.folder / "tokenizer" / "text_tokenizer.json")
    parts = [read(path, CHAMELEON) for path in source.weights]
    where = source.weights[0]
    with sizes_of(where):
        layers = 1 + max(int(name.split(".")[1]) for name in parts[0] if name.startswith("layers."))
        head = len(parts[0]["layers.0.attention.q_normalization.weight"])
        heads, shared = (
            sum(len(part[f"layers.0.attention.{name}.weight"]) for part in parts) // head for name in ("wq", "wk")
        )
        tensors = _renamed(parts, layers, head)
        vq = _decoder_sizes(source.folder / "tokenizer" / "vqgan.yaml")
        vocabulary, width = tensors["model.embed_tokens.weight"].shape
        config = ChameleonConfig(
            vocab_size=vocabulary, hidden_size=width, num_hidden_layers=layers, num_attention_heads=heads,
            intermediate_size=len(tensors["model.layers.0.mlp.gate_proj.weight"]), num_key_value_heads=shared,
            max_position_embeddings=POSITIONS, rms_norm_eps=params.get("norm_eps", 1e-5),
            rope_parameters={"rope_type": "default", "rope_theta": params.get("rope_theta", 1e4)},
            swin_norm=bool(params.get("swin_norm", False)), model_parallel_size=len(parts), vq_config=vq,
            vocabulary_map=names, tie_word_embeddings=False,
        )  # fmt: skip
    published = read(source.folder / "tokenizer" / "vqgan.ckpt", VQGAN)
    codec_config: Any = config.vq_config
    decoder = build(lambda: ChameleonVQ(codec_config), where).state_dict().keys()
    codec = {name: tensor for name, tensor in published.items() if name.startswith((*READING, *DRAWING))}
    if missing := decoder - codec.keys():
        raise BadInput(f"no tensor {min(missing)}", "a whole image decoder", FETCH, source.folder / "tokenizer")
    drawn = {PREFIX + name: tensor for name, tensor in codec.items() if name.startswith("decoder.")}
    tensors |= {PREFIX + name: tensor for name, tensor in codec.items() if PREFIX + name not in drawn}

    def others(folder: Path) -> None:
        write_text(folder / "tokenizer.json", json.dumps(tokenizer, ensure_ascii=False))

    write_model(out, ChameleonForConditionalGeneration, config, tensors, source, others, drawn)
    count = sum(tensor.numel() for tensor in tensors.values())
    return f"Chameleon or Anole in the layout of transformers, with its image decoder, {count / 1e6:,.0f}M parameters"


def halves(rows: Tensor, head: int) -> Tensor:
    """Rows of queries or keys, or weights of their norms, from pairs of neighbours to halves, head by head.

    Args:
        rows: (heads * head, ...).
        head: width of a head.
    """
    return rows.unflatten(0, (-1, head // 2, 2)).transpose(1, 2).flatten(0, 2)


def _renamed(parts: list[dict[str, Tensor]], layers: int, head: int) -> dict[str, Tensor]:
    """Tensors of the language model, of all parts together."""

    def joined(name: str, dim: int | None) -> Tensor:
        if dim is None:
            return parts[0][name]
        pieces = [part[name] for part in parts]
        return pieces[0] if len(pieces) == 1 else torch.cat(pieces, dim)

    made = {new: joined(old, dim) for old, (new, dim) in AROUND.items()}
    for i in range(layers):
        for old, (new, dim) in LAYERS.items():
            tensor = joined(f"layers.{i}.{old}", dim)
            made[f"model.layers.{i}.{new}"] = halves(tensor, head) if new.startswith(QUERY_KEY) else tensor
        for old, new in NORMS.items():
            rows = []
            for part in parts:
                count = len(part[f"layers.{i}.attention.w{old[0]}.weight"]) // head
                rows += [halves(part[f"layers.{i}.attention.{old}"], head)] * count
            made[f"model.layers.{i}.self_attn.{new}"] = torch.stack(rows)
    return made


def _params(source: PublishedSource) -> dict[str, Any]:
    """Settings of the model, in one or two documents beside the weights."""
    params: dict[str, Any] = {}
    for name in ("params.json", "consolidate_params.json"):
        path = source.weights[0].parent / name
        if path.is_file() or name == "params.json":
            params |= PublishedSource(path.parent, source.weights).config(name)
    inner = params.get("model", params)
    return inner if isinstance(inner, dict) else params


def _vocabulary(path: Path) -> tuple[dict[str, int], dict[str, Any]]:
    """Names of all tokens and the tokenizer, in which the place of an image has the name of transformers."""
    text = read_text(path, "the tokenizer of prompts", FETCH).replace(json.dumps(PLACE), json.dumps(IMAGE))
    tokenizer = parse_json(text, path, FETCH)
    names = tokenizer.get("model", {}).get("vocab") if isinstance(tokenizer, dict) else None
    if not isinstance(names, dict) or IMAGE not in names:
        raise BadInput("a tokenizer of another model", f"one with a vocabulary and {PLACE}", FETCH, path)
    return names, tokenizer


def _decoder_sizes(path: Path) -> dict[str, Any]:
    """Sizes of the image decoder."""
    try:
        params = yaml.safe_load(read_text(path, "sizes of the image decoder", FETCH))["model"]["params"]
        inner = params["ddconfig"]
        made = {new: inner[old] for old, new in DECODER.items() if old in inner}
        return made | {"embed_dim": params["embed_dim"], "num_embeddings": params["n_embed"], "attn_type": "vanilla"}
    except (yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        raise BadInput(f"{shown(str(error))}", "model, params and ddconfig of a VQGAN", FETCH, path) from error
