"""A tiny random Emu3.5 in BAAI's own layout with its image decoder, and the folder that `convert` makes of both."""

from __future__ import annotations

import base64
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from safetensors.torch import save_file
from transformers import Qwen3Config, Qwen3ForCausalLM

from helpers.originals import RANKS, SPECIALS, VISION, write_json
from helpers.tiny_chameleon import random_vq
from helpers.tiny_checkpoints import TEXT, spread_norms
from spatialspec.targets.originals.emu35 import convert
from spatialspec.targets.originals.source import PublishedSource


def original_emu35(folder: Path, vq: Path) -> Qwen3ForCausalLM:
    """Write BAAI's layout into `folder`, the file of its image decoder into `vq`; returns a twin of transformers."""
    torch.manual_seed(0)
    sizes = {"vocab_size": len(RANKS) + len(SPECIALS), "max_position_embeddings": 512, "head_dim": 16}
    config = Qwen3Config(**TEXT | sizes, rms_norm_eps=1e-5, rope_parameters={"rope_type": "default", "rope_theta": 1e6})
    twin = Qwen3ForCausalLM(config).eval()
    spread_norms(twin)
    folder.mkdir(parents=True)
    weights = {name: tensor.detach().contiguous() for name, tensor in twin.state_dict().items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    written = {"model_type": "Emu3", "auto_map": {"AutoConfig": "own.Own"}, "eol_token_id": 7, "image_area": 64}
    write_json(folder / "config.json", TEXT | sizes | written | {"rope_theta": 1e6})
    (folder / "emu3.tiktoken").write_text("".join(f"{base64.b64encode(t).decode()} {r}\n" for t, r in RANKS.items()))
    (folder / "emu3_vision_tokens.txt").write_text("\n".join(VISION) + "\n")
    vq.mkdir(parents=True, exist_ok=True)
    others = {"encoder.conv_in.bias": torch.ones(2), "quant_conv.bias": torch.ones(2)}
    torch.save({"state_dict": dict(random_vq().state_dict()) | others}, vq / "model.ckpt")
    return twin


def tiny_emu35(folder: Path) -> Path:
    """Write the converted folder."""
    with TemporaryDirectory() as place:
        original, vq = Path(place, "Emu3.5-Image"), Path(place, "vq")
        original_emu35(original, vq)
        convert(PublishedSource.find(original), folder, PublishedSource.find(vq / "model.ckpt"))
    return folder
