"""Tiny random checkpoints of language models that draw: Liquid and SimpleAR in the published layout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn
from transformers import GemmaConfig, GemmaForCausalLM, PreTrainedModel, Qwen2Config, Qwen2ForCausalLM

from helpers.tiny_chameleon import CODES, random_vq, vq_config
from helpers.tiny_checkpoints import TEXT, spread_norms, tokenizer_of
from spatialspec.targets.cosmos import CosmosSizes, CosmosVQ

FSQ_CODES = 240
SOFT = TEXT | {"initializer_range": 0.15}  # so that guidance leaves more than one token
COSMOS = CosmosSizes(dimensions=3, latent=4, widths=(32, 32, 32), blocks=1)


def tiny_liquid(folder: Path) -> Path:
    """A Gemma with the codes of Chameleon behind its tokens; the image decoder in a file beside it."""
    names = ["<boi>", "<eoi>", "<unconditional>"]
    tokenizer = tokenizer_of("<bos>", "<eos>", "<pad>", {}, names, begins=True)
    sizes = {"vocab_size": len(tokenizer) + CODES, "max_position_embeddings": 256, "head_dim": 8}
    vq = vq_config(resolution=16)
    config = GemmaConfig(**SOFT | sizes | {"vq_config": vq.to_dict()})
    save_file(random_vq(vq).state_dict(), _save(folder, GemmaForCausalLM, config, tokenizer) / "vq.safetensors")
    return folder


def tiny_simplear(folder: Path, decoder: bool = True, codes: int = FSQ_CODES, positions: int = 512) -> Path:
    """A Qwen2 with the codes of an FSQ behind its tokens."""
    names = [f"<|{name}|>" for name in ("t2i", "i2t", "soi", "vtokens", "t2v", "v2t", "sov")]
    tokenizer = tokenizer_of("<|im_start|>", "<|im_end|>", "<|endoftext|>", {}, names, begins=False)
    sizes: dict[str, Any] = {
        "vocab_size": len(tokenizer) + codes,
        "max_position_embeddings": positions,
        "tie_word_embeddings": True,
    }
    _save(folder, Qwen2ForCausalLM, Qwen2Config(**SOFT | sizes), tokenizer)
    if decoder:
        save_file(random_cosmos().state_dict(), folder / "vq.safetensors")
    return folder


def random_cosmos() -> CosmosVQ:
    """An image decoder with random weights everywhere."""
    torch.manual_seed(0)
    vq = CosmosVQ(COSMOS, FSQ_CODES).eval().requires_grad_(False)
    for weight in vq.parameters():
        nn.init.normal_(weight, std=0.1)
    return vq


def _save(folder: Path, kind: type[PreTrainedModel], config: Any, tokenizer: Any) -> Path:
    torch.manual_seed(0)
    made: Any = kind
    model = made(config).eval()
    spread_norms(model.model)
    for name, weight in model.named_parameters():
        if name.endswith("bias"):
            nn.init.normal_(weight, std=0.3)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
