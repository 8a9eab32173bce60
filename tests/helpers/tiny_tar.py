"""A tiny Tar as its authors publish it: AR-DTok, TA-Tok and LlamaGen's image decoder, in three files."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from transformers import Siglip2VisionConfig, Siglip2VisionModel

from helpers.llamagen_tiny import CAPTION, HEADS, PATCH, SIDE, Tensors, transformer_tensors, vq_tensors
from spatialspec.targets.layouts import AR_DTOK
from spatialspec.targets.llamagen.convert import convert
from spatialspec.targets.originals.tatok import convert as convert_tatok

CODES, CODE_WIDTH = 30, 10
PROMPTS = ("<im_start><S0>" + "".join(f"<I{code}>" for code in (3, 29, 0, 7, 7, 12, 1, 28, 5)), "<I4><I11><I2><I19>")


def siglip() -> Siglip2VisionModel:
    """The transformer of TA-Tok's decoder, with positions of a 4 x 4 grid."""
    torch.manual_seed(3)
    config = Siglip2VisionConfig(
        hidden_size=CAPTION,
        intermediate_size=40,
        num_hidden_layers=2,
        num_channels=CODE_WIDTH,
        patch_size=1,
        num_patches=16,
    )
    model = Siglip2VisionModel(config).eval()
    for weight in model.parameters():
        torch.nn.init.normal_(weight, mean=float(weight.ndim == 1), std=0.3)
    return model


def tatok_tensors() -> Tensors:
    """What `ta_tok.pth` holds, in small: names of transformers 4."""
    draw = torch.Generator().manual_seed(7)
    shapes: dict[str, tuple[int, ...]] = {
        "bottleneck.regularizer.embedding.weight": (CODES, CODE_WIDTH),
        "bottleneck.in_linear.weight": (CODE_WIDTH, CAPTION),
        "encode_task_layer.0.weight": (CAPTION, CAPTION),
        "encoder.post_layernorm.weight": (CAPTION,),
        "scale_layer.shift": (1, 3, 1, 1),
    }
    for name, width in (("bottleneck.regularizer.embedding_proj", CODE_WIDTH), ("bottleneck.out_linear", CODE_WIDTH)):
        shapes |= {f"{name}.weight": (width, width), f"{name}.bias": (width,)}
    for layer in (0, 2):
        shapes |= {
            f"decode_task_layer.{layer}.weight": (CAPTION, CAPTION),
            f"decode_task_layer.{layer}.bias": (CAPTION,),
        }
    made: dict[str, Tensor] = {name: 0.5 * torch.randn(shape, generator=draw) for name, shape in shapes.items()}
    return made | {f"decoder.vision_model.{name}": t.detach() for name, t in siglip().state_dict().items()}


def write_tar(folder: Path, normalised: bool = True, seed: int = 0) -> tuple[Path, Path, Path]:
    """AR-DTok, TA-Tok and the image decoder, as files."""
    folder.mkdir(parents=True, exist_ok=True)
    ar, tok, vq = folder / f"ar_dtok_lp_{SIDE * PATCH}px.pth", folder / "ta_tok.pth", folder / "vq_ds16_t2i.pt"
    about = {"model_type": "clip_cond", "cls_token_num": 9}
    torch.save({"model": {"name": "llama-abs-LP", "args": about, "sd": transformer_tensors("codes", seed)}}, ar)
    args = {"bottleneck": {"name": "bottleneck", "args": {"regularizer": {"args": {"l2_normalized": normalised}}}}}
    torch.save({"model": {"name": "ta_tok", "args": args, "sd": tatok_tensors()}}, tok)
    torch.save({"model": vq_tensors(seed)}, vq)
    return ar, tok, vq


def tiny_tar(folder: Path, normalised: bool = True) -> Path:
    """A converted model."""
    ar, tok, vq = write_tar(folder / "published", normalised)
    convert(ar, folder / "model", vq=vq, heads=HEADS, kind=AR_DTOK)
    convert_tatok(tok, folder / "model")
    return folder / "model"
