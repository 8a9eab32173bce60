"""A tiny random Lumina-mGPT 2.0 in the published layout, and its image decoder in its authors'."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import Emu3VQVAEConfig

from helpers.originals import BACK_TO_EMU3_VQ, renamed
from helpers.tiny_chameleon import CODES, age, config_of, randomise
from helpers.tiny_checkpoints import tokenizer_of
from spatialspec.targets.chameleon.lumina import ChameleonXLLMXForConditionalGeneration
from spatialspec.targets.movqgan import MoVQ

FIRST = 155_000  # id of image token 0: MultiModalLogitsProcessor in inference_solver.py of Alpha-VLLM/Lumina-mGPT-2.0
NAMES = ["<racm3:break>", "<eoss>", *(f"<reserved{n:05d}>" for n in (8706, 8799, *range(8801, 8804)))]


def tiny_lumina2(folder: Path) -> Path:
    """Write the checkpoint, whose tokenizer has no first token, and the converted image decoder beside it."""
    tokenizer = tokenizer_of("<|im_start|>", "<|im_end|>", "<|endoftext|>", {}, NAMES, begins=False)
    tokenizer.bos_token = None
    sizes = {"hidden_size": 16, "num_attention_heads": 2, "num_key_value_heads": 2, "vocab_size": FIRST + CODES}
    names = {"<image>": 3} | {f"<MOVQGAN{code}>": FIRST + code for code in range(CODES)}
    config = config_of(names, **sizes, model_parallel_size=1, mask_image_logits=False, z_loss_weight=0.0)
    model = ChameleonXLLMXForConditionalGeneration(config)
    randomise(model)
    model.save_pretrained(folder)
    age(folder)
    tokenizer.save_pretrained(folder)
    save_file(random_movq().state_dict(), folder / "vq.safetensors")
    return folder


def random_movq() -> MoVQ:
    """An image decoder with random weights everywhere; 4 pixels a side of a cell."""
    torch.manual_seed(0)
    sizes: dict[str, Any] = {
        "codebook_size": CODES,
        "embed_dim": 4,
        "latent_channels": 8,
        "base_channels": 32,
        "num_res_blocks": 1,
    }
    sizes |= {"channel_multiplier": [1, 1, 2], "attn_resolutions": [2], "hidden_size": 64, "num_attention_heads": 1}
    vq = MoVQ(Emu3VQVAEConfig(**sizes))
    for weight in vq.parameters():
        nn.init.normal_(weight, std=0.2)
    return vq.eval().requires_grad_(False)


def original_movq(vq: MoVQ) -> dict[str, Tensor]:
    """Its tensors under the names of its authors, whose attention has 1x1 convolutions."""
    inner = renamed(dict(vq.state_dict()), BACK_TO_EMU3_VQ)
    matrices = [name for name in inner if re.search(r"\.(q|k|v|proj_out)\.weight$", name)]
    return inner | {name: inner[name][:, :, None, None] for name in matrices}
