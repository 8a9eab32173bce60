"""Tiny random checkpoints in their authors' own layouts, and their twins of transformers with the same weights.

The names are written out here by hand, from those of transformers back to the published ones.
"""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import (
    ChameleonForConditionalGeneration,
    Emu3Config,
    Emu3ForConditionalGeneration,
    JanusForConditionalGeneration,
)

from helpers.tiny_chameleon import CODES, config_of, random_vq, randomise, vocabulary, vq_config, write_tokenizer
from helpers.tiny_checkpoints import TEXT, spread_norms, tiny_janus

Tensors = dict[str, Tensor]


def write_json(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def renamed(tensors: Tensors, rules: tuple[tuple[str, str], ...]) -> Tensors:
    made = {}
    for name, tensor in tensors.items():
        for pattern, new in rules:
            name = re.sub(pattern, new, name)
        made[name] = tensor
    return made


BACK_TO_JANUS = (
    (r"^lm_head\.", "language_model.lm_head."),
    (r"^model\.language_model\.", "language_model.model."),
    (r"^model\.generation_embeddings\.", "gen_embed."),
    (r"^model\.generation_head\.proj_out\.", "gen_head.output_mlp_projector."),
    (r"^model\.generation_head\.", "gen_head."),
    (r"^model\.(?:(gen)eration(_))?aligner\.fc1\.", r"\1\2aligner.layers.0."),
    (r"^model\.(?:(gen)eration(_))?aligner\.hidden_layers\.0\.", r"\1\2aligner.layers.2."),
    (r"^model\.vqmodel\.", "gen_vision_model."),
    (r"\.decoder\.up\.", ".decoder.conv_blocks."),
    (r"\.encoder\.down\.", ".encoder.conv_blocks."),
    (r"(conv_blocks\.\d+)\.block\.", r"\1.res."),
    (r"\.mid\.block_1\.", ".mid.0."),
    (r"\.mid\.attn_1\.", ".mid.1."),
    (r"\.mid\.block_2\.", ".mid.2."),
    (r"^model\.vision_model\.", "vision_model.vision_tower."),
    (r"tower\.embeddings\.patch_embedding\.", "tower.patch_embed.proj."),
    (r"tower\.embeddings\.position_embedding\.weight", "tower.pos_embed"),
    (r"tower\.encoder\.layers\.", "tower.blocks."),
    (r"\.self_attn\.projection_layer\.", ".attn.proj."),
    (r"\.layer_norm([12])\.", r".norm\1."),
    (r"tower\.post_layernorm\.", "tower.norm."),
)


def original_janus(folder: Path, twin: Path, shards: int = 1) -> Tensors:
    """Write DeepSeek's layout of a tiny Janus into `folder` and the twin into another; returns the twin's weights."""
    tiny_janus(twin)
    config = json.loads((twin / "config.json").read_text())
    config["vision_config"]["num_attention_heads"] = 1
    model = JanusForConditionalGeneration.from_pretrained(twin)
    model.lm_head.weight = nn.Parameter(torch.randn_like(model.lm_head.weight))
    weights = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
    back = renamed(weights, BACK_TO_JANUS)
    for name in [name for name in back if ".self_attn.q_proj." in name and "vision_tower" in name]:
        parts = [back.pop(name.replace("q_proj", f"{part}_proj")) for part in "qkv"]
        back[name.replace("self_attn.q_proj", "attn.qkv")] = torch.cat(parts)
    back["vision_model.vision_tower.pos_embed"] = back["vision_model.vision_tower.pos_embed"][None]
    back["vision_model.vision_tower.attn_pool.latent"] = torch.zeros(1, 1, 32)
    back["gen_vision_model.quantize.codebook_used"] = torch.zeros(9)
    folder.mkdir(parents=True)
    if shards == 1:
        torch.save(back, folder / "pytorch_model.bin")
    else:
        files = {name: f"pytorch_model-{i % shards + 1:05d}-of-{shards:05d}.bin" for i, name in enumerate(sorted(back))}
        for file in set(files.values()):
            torch.save({name: tensor for name, tensor in back.items() if files[name] == file}, folder / file)
        write_json(folder / "pytorch_model.bin.index.json", {"metadata": {}, "weight_map": files})
    write_json(folder / "config.json", {
        "model_type": "multi_modality", "auto_map": {"AutoModel": "own.Own"},
        "language_config": {key: value for key, value in config["text_config"].items() if "token_id" not in key},
        "vision_config": {"cls": "CLIPVisionTower", "params": {"image_size": 64, "model_name": "siglip_tiny"}},
        "gen_vision_config": {"cls": "VQ-16", "params": {"image_token_size": 64, "n_embed": 4}},
    })  # fmt: skip
    write_json(folder / "preprocessor_config.json", {"image_size": 64, "image_mean": [0.5] * 3, "image_std": [0.5] * 3})
    (folder / "tokenizer.json").write_text(_without_first(json.loads((twin / "tokenizer.json").read_text())))
    names = json.loads((twin / "tokenizer_config.json").read_text())
    tokens = {"bos_token": {"content": names["bos_token"]}, "eos_token": names["eos_token"]}
    write_json(folder / "tokenizer_config.json", tokens)
    return weights


def _without_first(tokenizer: dict[str, Any]) -> str:
    """As published: the class puts the first token in front, not the file."""
    return json.dumps(tokenizer | {"post_processor": None})


BACK_TO_EMU3_VQ = (
    (r"^model\.vqmodel\.", ""), (r"\.middle_block\.attn_norm\.", ".mid.attn_1.norm."), (r"\.middle_block\.", ".mid."),
    (r"\.down_block\.down\.", ".down."), (r"\.up_block\.up\.", ".up."), (r"\.attn_norms\.(\d+)\.", r".attn.\1.norm."),
    (r"\.([qkv])_proj\.", r".\1."), (r"\.out_proj\.", ".proj_out."),
)  # fmt: skip
PAIRS = [b"re", b"ed", b"red", b" red", b"ap", b"app", b"le", b"apple", b" apple", b"ca", b"cat", b" cat", b" a"]
RANKS = {token: rank for rank, token in enumerate([*(bytes([i]) for i in range(256)), *PAIRS])}
VISION = ("<|image token|>", "<|image start|>", "<|image end|>", *(f"<|visual token {i:06d}|>" for i in range(64)))
SPECIALS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", *(f"<|extra_{i}|>" for i in range(205)), *VISION)


def original_emu3(folder: Path, vq: Path) -> Emu3ForConditionalGeneration:
    """Write BAAI's layout of a tiny Emu3 into `folder`, its image decoder into `vq`; returns the twin."""
    torch.manual_seed(0)
    ids = {name: len(RANKS) + i for i, name in enumerate(SPECIALS)}
    special = dict(pad_token_id=len(RANKS), bos_token_id=ids["<|extra_203|>"], eos_token_id=ids["<|extra_204|>"])
    config = Emu3Config(
        text_config=dict(vocab_size=len(RANKS) + len(SPECIALS), max_position_embeddings=512, **TEXT, **special),
        vq_config=dict(
            codebook_size=64, embed_dim=4, latent_channels=4, base_channels=32, channel_multiplier=[1, 1, 1, 1],
            num_res_blocks=1, attn_resolutions=[3], hidden_size=32, temporal_downsample_factor=2,
        ),
        vocabulary_map=ids,
    )  # fmt: skip
    twin = Emu3ForConditionalGeneration(config).eval()
    spread_norms(twin)
    weights = {name: tensor.detach().contiguous() for name, tensor in twin.state_dict().items()}
    text = {name.replace("model.text_model.", "model."): t for name, t in weights.items() if "vqmodel" not in name}
    inner = renamed({name: t for name, t in weights.items() if "vqmodel" in name}, BACK_TO_EMU3_VQ)
    for name, tensor in inner.items():
        if re.search(r"\.(q|k|v|proj_out)\.weight$", name):
            inner[name] = tensor[:, :, None, None]  # a convolution
    for place, tensors in ((folder, text), (vq, inner)):
        place.mkdir(parents=True)
        save_file(tensors, place / "model.safetensors", metadata={"format": "pt"})
    kept = {key: value for key, value in config.text_config.to_dict().items() if key in TEXT or "token_id" in key}
    sizes = {"model_type": "Emu3", "auto_map": {"AutoConfig": "own.Own"}, "vocab_size": config.text_config.vocab_size}
    write_json(folder / "config.json", kept | sizes | {"max_position_embeddings": 512, "rope_theta": 1e6})
    (folder / "emu3.tiktoken").write_text("".join(f"{base64.b64encode(t).decode()} {r}\n" for t, r in RANKS.items()))
    (folder / "emu3_vision_tokens.txt").write_text("\n".join(VISION) + "\n")
    write_json(vq / "config.json", {
        "model_type": "Emu3VisionVQ", "codebook_size": 64, "embed_dim": 4, "z_channels": 4, "ch": 32,
        "ch_mult": [1, 1, 1, 1], "num_res_blocks": 1, "attn_resolutions": [3], "temporal_downsample_factor": 2,
    })  # fmt: skip
    write_json(vq / "preprocessor_config.json", {
        "image_processor_type": "Emu3VisionVQImageProcessor", "auto_map": {"AutoImageProcessor": "own.Own"},
        "image_mean": [0.5] * 3, "image_std": [0.5] * 3, "min_pixels": 64, "max_pixels": 4096, "spatial_factor": 8,
    })  # fmt: skip
    return twin


LAYER = {
    "self_attn.q_proj": "attention.wq", "self_attn.k_proj": "attention.wk", "self_attn.v_proj": "attention.wv",
    "self_attn.o_proj": "attention.wo", "mlp.gate_proj": "feed_forward.w1", "mlp.down_proj": "feed_forward.w2",
    "mlp.up_proj": "feed_forward.w3", "input_layernorm": "attention_norm", "post_attention_layernorm": "ffn_norm",
}  # fmt: skip


def neighbours(rows: Tensor, head: int) -> Tensor:
    """From halves to pairs of neighbours, row by row."""
    out = torch.empty_like(rows)
    for i in range(len(rows)):
        start, place = i - i % head, i % head
        out[start + 2 * (place % (head // 2)) + place // (head // 2)] = rows[i]
    return out


def original_chameleon(folder: Path, shards: int = 1) -> Tensors:
    """Write Meta's layout of a tiny Anole into `folder`; returns the twin's weights, image decoder included."""
    names = vocabulary(shuffled=True)
    names["<image>"] = names.pop("<reserved08707>")
    model = ChameleonForConditionalGeneration(config_of(names, swin_norm=shards > 1))
    randomise(model)
    for layer in model.model.layers:
        for norm in (layer.self_attn.q_norm, layer.self_attn.k_norm):
            for weight in (norm.weight, norm.bias):  # heads of a part share one
                weight.data = weight.data[:shards].repeat_interleave(len(weight) // shards, 0)
    vq = {f"model.vqmodel.{name}": tensor for name, tensor in random_vq().state_dict().items()}
    weights = {name: tensor.detach().clone() for name, tensor in (vq | model.state_dict()).items()}
    head, parts = model.config.hidden_size // model.config.num_attention_heads, [Tensors() for _ in range(shards)]

    def put(name: str, tensor: Tensor) -> None:
        dim = 1 if name.endswith(("wo.weight", "w2.weight", "tok_embeddings.weight")) else 0
        pieces = [tensor] * shards if tensor.dim() == 1 else tensor.chunk(shards, dim)
        for part, piece in zip(parts, pieces, strict=True):
            part[name] = piece.clone()

    put("tok_embeddings.weight", weights["model.embed_tokens.weight"])
    put("norm.weight", weights["model.norm.weight"])
    put("output.weight", weights["lm_head.weight"])
    for i in range(model.config.num_hidden_layers):
        for new, old in LAYER.items():
            tensor = weights[f"model.layers.{i}.{new}.weight"]
            rotated = old in ("attention.wq", "attention.wk")
            put(f"layers.{i}.{old}.weight", neighbours(tensor, head) if rotated else tensor)
        for name in "qk":
            for kind in ("weight", "bias"):
                rows = weights[f"model.layers.{i}.self_attn.{name}_norm.{kind}"]
                for part, row in zip(parts, rows[:: len(rows) // shards], strict=True):
                    part[f"layers.{i}.attention.{name}_normalization.{kind}"] = neighbours(row, head)
    place = folder / "models" / "7b"
    write_json(place / "params.json", {"model": {"swin_norm": shards > 1, "norm_eps": 1e-5, "rope_theta": 10000.0}})
    for i, part in enumerate(parts):
        torch.save(part, place / ("consolidated.pth" if shards == 1 else f"consolidated.{i:02d}.pth"))
    codec = {name.removeprefix("model.vqmodel."): t for name, t in weights.items() if "vqmodel" in name}
    (folder / "tokenizer").mkdir()
    torch.save({"state_dict": codec | {"loss.x": torch.zeros(1)}}, folder / "tokenizer" / "vqgan.ckpt")
    sizes = vq_config()
    inner = {
        "ch": sizes.base_channels, "ch_mult": list(sizes.channel_multiplier), "z_channels": sizes.latent_channels,
        "resolution": sizes.resolution, "in_channels": 3, "out_ch": 3, "double_z": False, "attn_resolutions": [],
        "num_res_blocks": sizes.num_res_blocks,
    }  # fmt: skip
    params = {"ddconfig": inner, "embed_dim": sizes.embed_dim, "n_embed": CODES}
    (folder / "tokenizer" / "vqgan.yaml").write_text(yaml.safe_dump({"model": {"params": params}}))
    published = vocabulary(shuffled=True)
    write_tokenizer(folder / "tokenizer", published)
    (folder / "tokenizer" / "tokenizer.json").rename(folder / "tokenizer" / "text_tokenizer.json")
    return weights
