"""Tiny random checkpoints of the Chameleon family on disk, in the layout of the published ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from torch import nn
from transformers import ChameleonConfig, ChameleonForConditionalGeneration, ChameleonVQVAEConfig, PreTrainedModel

from spatialspec.methods.hawk import HawkConfig, HawkHeads
from spatialspec.targets.chameleon.lumina import ChameleonXLLMXForConditionalGeneration
from spatialspec.targets.chameleon.vq import ChameleonVQ

PROMPTS = ["a cat", "two dogs"]
CODES = 64
SIDE = 6  # cells a side of the square grid; 4 pixels a side of a cell
RESERVED = (8706, 8707, 8799, *range(8801, 8808))  # end of turn, <image>, row end, sizes of 1 to 7 patches


def vq_config(**changes: object) -> ChameleonVQVAEConfig:
    """Sizes of a picture decoder with three levels."""
    sizes = {"embed_dim": 8, "num_embeddings": CODES, "latent_channels": 16, "resolution": 4 * SIDE}
    return ChameleonVQVAEConfig(**sizes | {"base_channels": 32, "channel_multiplier": [1, 2, 1]} | changes)


def random_vq(config: ChameleonVQVAEConfig | None = None, seed: int = 0) -> ChameleonVQ:
    """A picture decoder with random weights everywhere."""
    torch.manual_seed(seed)
    vq = ChameleonVQ(config or vq_config()).eval().requires_grad_(False)
    for weight in vq.parameters():
        nn.init.normal_(weight, std=0.1)
    return vq


def vocabulary(shuffled: bool) -> dict[str, int]:
    """Name of every token -> id, named as published; image ids in the order of their codes, or not."""
    order = [(5 * code + 3) % CODES for code in range(CODES)] if shuffled else list(range(CODES))
    images = {4 + place: "".join("ABCDEFGHIJ"[int(digit)] for digit in str(code)) for code, place in enumerate(order)}
    names = ["<s>", "<pad>", "</s>", "<unk>", *(f"IMGIMG{images[4 + i]}Z" for i in range(CODES))]
    names += ["<eoss>", "<racm3:break>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    names += [f"<reserved{number:05d}>" for number in RESERVED]
    return {name: i for i, name in enumerate(names)}


def write_tokenizer(folder: Path, names: dict[str, int]) -> None:
    """tokenizer.json, byte level, and the class that published files name, which would build another one."""
    tokenizer = Tokenizer(models.BPE(vocab=names, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([name for name in names if name.startswith("<") and len(name) > 1])
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {"tokenizer_class": "LlamaTokenizerFast", "bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config | {"sep_token": "<reserved08706>"}))


def config_of(names: dict[str, int], **changes: object) -> ChameleonConfig:
    """A language model of two layers whose heads share keys and values, so that a mix-up of heads shows."""
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    special = {"bos_token_id": 1, "eos_token_id": 2, "vocab_size": len(names), "max_position_embeddings": 256}
    given = {"num_key_value_heads": 2, "vq_config": vq_config().to_dict(), "vocabulary_map": names}
    return ChameleonConfig(**sizes | special | given | changes)


def randomise(model: PreTrainedModel, seed: int = 0) -> None:
    """Random weights everywhere, so large that every token matters."""
    generator = torch.Generator().manual_seed(seed)
    for name, weight in model.named_parameters():
        centre = 1.0 if "norm" in name and name.endswith("weight") else 0.0
        weight.data.normal_(centre, 0.25, generator=generator)


def age(folder: Path) -> None:
    """config.json as the transformers of 2024 wrote it."""
    config = json.loads((folder / "config.json").read_text())
    config["rope_theta"] = config.pop("rope_parameters")["rope_theta"]
    config["torch_dtype"] = config.pop("dtype")
    (folder / "config.json").write_text(json.dumps(config | {"rope_scaling": None, "transformers_version": "4.43.0"}))


def write_anole(folder: Path, swin_norm: bool = False) -> Path:
    """Anole as transformers' converter wrote it with the picture decoder: all of it in the shards; ids shuffled."""
    folder.mkdir(parents=True)
    names = vocabulary(shuffled=True)
    model = ChameleonForConditionalGeneration(config_of(names, swin_norm=swin_norm))
    randomise(model)
    vq = {f"model.vqmodel.{name}": tensor for name, tensor in random_vq().state_dict().items()}
    model.save_pretrained(folder, state_dict=model.state_dict() | vq, max_shard_size="150KB")
    age(folder)
    write_tokenizer(folder, names)
    return folder


def write_lumina(folder: Path, shards: int = 2) -> Path:
    """Lumina-mGPT as published: norms of shards, no VQ tokenizer; the picture decoder in a file beside it."""
    folder.mkdir(parents=True)
    names = vocabulary(shuffled=False)
    config = config_of(names, model_parallel_size=shards, mask_image_logits=False, z_loss_weight=1e-5, dropout=0.05)
    model = ChameleonXLLMXForConditionalGeneration(config)
    randomise(model)
    model.save_pretrained(folder)
    age(folder)
    save_file(random_vq().state_dict(), folder / "vq.safetensors")
    write_tokenizer(folder, names)
    return folder


def drafts(width: int) -> list[Any]:
    """Random heads, so that drafts are mostly wrong."""
    torch.manual_seed(0)
    heads = HawkHeads(HawkConfig(width))
    for weight in (heads.horizontal, heads.vertical):
        nn.init.normal_(weight, std=0.05)
    return [heads.requires_grad_(False)]


def edit(path: Path, add: dict[str, torch.Tensor] | None = None, drop: str = "") -> None:
    """Add tensors to a file of weights, or drop one."""
    tensors = load_file(path) | (add or {})
    tensors.pop(drop, None)
    save_file(tensors, path, metadata={"format": "pt"})
