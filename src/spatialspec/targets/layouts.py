"""Kinds of published checkpoints, known by the names of their tensors."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

WRAPPERS = ("model", "module", "state_dict", "ema")  # keys of the dictionary of tensors, in LlamaGen's order
AVERAGE_FIRST = ("ema", "model", "state_dict")  # as in the published demo of the image decoder


@dataclass(frozen=True)
class CheckpointLayout:
    """A kind of checkpoint.

    Attributes:
        what: for messages.
        marks: beginnings of names, each of which some tensor has.
        advice: how to use such a file, for messages.
        wrappers: keys of the dictionary of tensors, in order.
    """

    what: str
    marks: tuple[str, ...]
    advice: str
    wrappers: tuple[str, ...] = WRAPPERS


LLAMAGEN = CheckpointLayout(
    "LlamaGen's transformer",
    ("tok_embeddings.", "layers.0.attention.wqkv.", "cls_embedding."),
    "give it as SOURCE, its image decoder with --vq",
)
AR_DTOK = CheckpointLayout(
    "Tar's AR-DTok",
    ("tok_embeddings.", "layers.0.attention.wqkv.", "clip_proj.", "abs_pe"),
    "give it as SOURCE, LlamaGen's image decoder with --vq",
)
TA_TOK = CheckpointLayout(
    "TA-Tok, Tar's tokenizer",
    ("bottleneck.regularizer.embedding.", "decode_task_layer."),
    "convert it into the folder of an AR-DTok: spatialspec convert ta_tok.pth FOLDER",
)
LLAMAGEN_VQ = CheckpointLayout(
    "LlamaGen's image decoder",
    ("quantize.embedding.", "decoder.conv_blocks."),
    "give it with --vq, and the transformer (c2i_*.pt, t2i_*.pt) as SOURCE",
    AVERAGE_FIRST,
)
EMU3_VQ = CheckpointLayout(
    "Emu3's image decoder in BAAI's own layout",
    ("quantize.embedding.", "decoder.time_res_stack."),
    "give it with --vq, and the folder of Emu3-Gen as SOURCE",
)
VQGAN = CheckpointLayout(
    "a VQGAN such as Meta's vqgan.ckpt, Chameleon's image decoder",
    ("quantize.embedding.", "decoder.up."),
    "convert it into the folder of a checkpoint, such as Lumina-mGPT or Liquid: spatialspec convert vqgan.ckpt FOLDER",
    ("state_dict", "model"),
)
MOVQGAN = CheckpointLayout(
    "MoVQGAN's image decoder, Lumina-mGPT 2.0's",
    ("quantize.embedding.", "decoder.up.0.block.0.norm1.conv_y."),
    "convert it into the folder of a checkpoint: spatialspec convert movqgan_270M.ckpt FOLDER, of Lumina-mGPT 2.0",
    ("state_dict", "model"),
)
COSMOS = CheckpointLayout(
    "NVIDIA's Cosmos image decoder, SimpleAR's",
    ("post_quant_conv.conv3d.", "decoder.conv_in.0.conv3d."),
    "convert it into the folder of a checkpoint: spatialspec convert decoder.jit FOLDER, of SimpleAR",
)
JANUS = CheckpointLayout("Janus in DeepSeek's own layout", ("language_model.", "gen_"), "give it as SOURCE")
CHAMELEON = CheckpointLayout(
    "Chameleon or Anole in Meta's own layout", ("tok_embeddings.", "layers.0.attention.wq."), "give it as SOURCE"
)
READY = "nothing is to be converted: give its folder, with safetensors, as --model"
LANGUAGE = CheckpointLayout(
    "a language model in the layout of transformers",
    ("model.",),
    f"{READY}; of Emu3-Gen in BAAI's own layout give the folder, with config.json, as SOURCE",
)
QWEN3 = CheckpointLayout(
    "a language model in the layout of transformers, with norms of queries and keys",
    ("model.embed_tokens.", "model.layers.0.self_attn.q_norm."),
    f"{READY}; of Emu3.5 in BAAI's own layout give the folder, with config.json, as SOURCE",
)
LAYOUTS = (
    LLAMAGEN,
    AR_DTOK,
    TA_TOK,
    LLAMAGEN_VQ,
    EMU3_VQ,
    MOVQGAN,
    VQGAN,
    COSMOS,
    CheckpointLayout("Janus in the layout of transformers", ("model.language_model.", "model.generation_"), READY),
    JANUS,
    CHAMELEON,
    CheckpointLayout("Emu3 in the layout of transformers", ("text_model.", "vqmodel."), READY),
    QWEN3,
    LANGUAGE,
    CheckpointLayout(
        "a model of this package", ("code_embedding.",), "nothing is to be converted: give its folder as --model"
    ),
)


def layout(names: Collection[str]) -> CheckpointLayout | None:
    """The kind of checkpoint that has tensors of these names; None where it is not known."""
    marked = (known for known in LAYOUTS if all(any(name.startswith(mark) for name in names) for mark in known.marks))
    return next(marked, None)
