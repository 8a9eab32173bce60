"""Janus-Pro as DeepSeek published it (model_type `multi_modality`), into the layout of transformers.

Names map one to one. In the tower that reads images, queries, keys and values are one matrix there and three here; its
pooling layer is not used. Sizes are those of `config.json`, those of the image decoder come from shapes.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, processors
from torch import Tensor
from transformers import (
    GenerationConfig,
    JanusConfig,
    JanusForConditionalGeneration,
    JanusProcessor,
    PreTrainedTokenizerFast,
)
from transformers.models.janus.image_processing_pil_janus import JanusImageProcessorPil

from spatialspec.core.errors import BadInput, shown
from spatialspec.io.files import read_text
from spatialspec.targets.layouts import JANUS
from spatialspec.targets.originals.source import FETCH, PublishedSource, sizes_of, write_model

IMAGE, BEGIN, END = "<image_placeholder>", "<begin_of_image>", "<end_of_image>"
PAD = "<\uff5c\u2581pad\u2581\uff5c>"
TEMPLATE = (  # a message of each role, as Janus-Pro's own script writes them
    "{% for message in messages %}{{ '<|User|>: ' if message['role'] == 'user' else '<|Assistant|>: ' }}"
    "{% for part in message['content'] %}{{ part['text'] if part['type'] == 'text' else '<image_placeholder>\\n' }}"
    "{% endfor %}{{ '\\n\\n' }}{% endfor %}{% if add_generation_prompt %}<|Assistant|>:{% endif %}"
)
HEAD = 64  # width of a head of the tower that reads images (SigLIP), in no file
RULES = (  # beginning in DeepSeek's layout -> in that of transformers
    ("language_model.lm_head.", "lm_head."),
    ("language_model.model.", "model.language_model."),
    ("gen_embed.", "model.generation_embeddings."),
    ("gen_head.output_mlp_projector.", "model.generation_head.proj_out."),
    ("gen_head.", "model.generation_head."),
    ("gen_aligner.", "model.generation_aligner."),
    ("gen_vision_model.", "model.vqmodel."),
    ("aligner.", "model.aligner."),
    ("vision_model.vision_tower.patch_embed.proj.", "model.vision_model.embeddings.patch_embedding."),
    ("vision_model.vision_tower.pos_embed", "model.vision_model.embeddings.position_embedding.weight"),
    ("vision_model.vision_tower.blocks.", "model.vision_model.encoder.layers."),
    ("vision_model.vision_tower.norm.", "model.vision_model.post_layernorm."),
)
PARTS = {  # of the image decoder and encoder, and of the tower
    "model.vqmodel.": (
        (".decoder.conv_blocks.", ".decoder.up."), (".encoder.conv_blocks.", ".encoder.down."), (".res.", ".block."),
        (".mid.0.", ".mid.block_1."), (".mid.1.", ".mid.attn_1."), (".mid.2.", ".mid.block_2."),
    ),
    "model.vision_model.": ((".attn.proj.", ".self_attn.projection_layer."), (".norm", ".layer_norm")),
}  # fmt: skip
UNUSED = ("vision_model.vision_tower.attn_pool.", "gen_vision_model.quantize.codebook_used")


def convert(source: PublishedSource, out: Path) -> str:
    """Write a folder in the layout of transformers.

    Returns:
        One line on what it is.

    Raises:
        BadInput: it is Janus 1.3B, or a file is missing, damaged or not as published.
    """
    where = source.folder / "config.json"
    if "1.3b" in str(source.folder).lower():
        raise BadInput("Janus 1.3B", "Janus-Pro", "its authors draw with another template", source.folder)
    config = source.config("config.json", "language_config", "gen_vision_config", "vision_config")
    tensors = renamed(source.tensors(JANUS))
    tokenizer = _tokenizer(source)
    with sizes_of(where):
        sizes = _config(config, tensors, tokenizer)
    tower: Any = sizes.vision_config

    def others(folder: Path) -> None:
        side, pixels = tower.image_size, source.config("preprocessor_config.json")
        kept = {key: pixels[key] for key in ("image_mean", "image_std", "min_size", "do_normalize") if key in pixels}
        reader = JanusImageProcessorPil(size={"height": side, "width": side}, **kept)
        JanusProcessor(
            reader, tokenizer, chat_template=TEMPLATE, use_default_system_prompt=True,
            num_image_tokens=tower.num_image_tokens,
        ).save_pretrained(folder)  # fmt: skip
        GenerationConfig(
            guidance_scale=5, temperature=1, pad_token_id=tokenizer.pad_token_id, bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            generation_kwargs={"boi_token_id": tokenizer.convert_tokens_to_ids(BEGIN)},
        ).save_pretrained(folder)  # fmt: skip

    write_model(out, JanusForConditionalGeneration, sizes, tensors, source, others)
    return f"Janus in the layout of transformers, {sum(t.numel() for t in tensors.values()) / 1e6:,.0f}M parameters"


def renamed(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors under the names of transformers; matrices of queries, keys and values are split."""
    made = {}
    for old, tensor in tensors.items():
        if old.startswith(UNUSED):
            continue
        start, new = next((rule for rule in RULES if old.startswith(rule[0])), ("", ""))
        name = new + old.removeprefix(start)
        for part, rules in PARTS.items():
            if name.startswith(part):
                for before, after in rules:
                    name = name.replace(before, after)
        name = re.sub(r"(aligner\.)layers\.(\d+)\.", _layer, name)
        if old.endswith("tower.pos_embed"):
            tensor = tensor.squeeze(0)
        if ".attn.qkv." in name:
            for part, piece in zip("qkv", tensor.chunk(3), strict=True):
                made[name.replace(".attn.qkv.", f".self_attn.{part}_proj.")] = piece
        else:
            made[name] = tensor
    return made


def _layer(match: re.Match[str]) -> str:
    """Linear layers of an aligner, which have the even numbers: the first has a name of its own."""
    number = int(match[2]) // 2
    return match[1] + (f"hidden_layers.{number - 1}." if number else "fc1.")


def _config(config: dict[str, Any], t: dict[str, Tensor], tokenizer: PreTrainedTokenizerFast) -> JanusConfig:
    """The configuration, from the published one, from shapes and from the tokenizer."""
    ids = {key: getattr(tokenizer, key) for key in ("bos_token_id", "eos_token_id", "pad_token_id")}
    image: Any = tokenizer.convert_tokens_to_ids(IMAGE)
    text = {key: value for key, value in config["language_config"].items() if not key.startswith("_")}
    tower, vq = "model.vision_model.", "model.vqmodel."
    hidden, _, patch, _ = t[f"{tower}embeddings.patch_embedding.weight"].shape
    side = int(config["vision_config"]["params"]["image_size"])
    channels = [len(t[f"{vq}encoder.down.{i}.block.0.conv1.bias"]) for i in range(_count(t, f"{vq}encoder.down."))]
    base = len(t[f"{vq}encoder.conv_in.bias"])
    codes, width = t[f"{vq}quantize.embedding.weight"].shape
    return JanusConfig(
        text_config={**text, "model_type": "llama", "tie_word_embeddings": False, **ids},
        vision_config={
            "hidden_size": hidden, "patch_size": patch, "image_size": side,
            "num_attention_heads": max(1, hidden // HEAD),
            "num_hidden_layers": _count(t, f"{tower}encoder.layers."), "num_image_tokens": (side // patch) ** 2,
            "mlp_ratio": len(t[f"{tower}encoder.layers.0.mlp.fc1.bias"]) / hidden,
            "projection_dim": len(t["model.aligner.fc1.bias"]),
            "depth": 1 + _count(t, "model.aligner.hidden_layers."),
        },
        vq_config={
            "embed_dim": width, "num_embeddings": codes, "latent_channels": t[f"{vq}quant_conv.weight"].shape[1],
            "base_channels": base, "channel_multiplier": [count // base for count in channels],
            "num_res_blocks": _count(t, f"{vq}encoder.down.0.block."),
            "projection_dim": len(t["model.generation_aligner.fc1.bias"]),
            "num_hidden_layers": 1 + _count(t, "model.generation_aligner.hidden_layers."),
            "image_token_embed_dim": len(t["model.generation_head.proj_out.bias"]),
        },
        tie_word_embeddings=False, image_token_id=image,
    )  # fmt: skip


def _count(tensors: dict[str, Tensor], start: str) -> int:
    """Number of parts that are counted behind a name."""
    numbers = [name.removeprefix(start).partition(".")[0] for name in tensors if name.startswith(start)]
    return 1 + max(map(int, numbers), default=-1)


def _tokenizer(source: PublishedSource) -> PreTrainedTokenizerFast:
    """The tokenizer of tokenizer.json, which begins every text with the first token, as the published class does."""
    where = source.folder / "tokenizer.json"
    names = source.config("tokenizer_config.json")
    bos, eos = (_content(names.get(key)) for key in ("bos_token", "eos_token"))
    try:
        tokenizer = Tokenizer.from_str(read_text(where, "the tokenizer of prompts", FETCH))
    except BadInput:
        raise
    except Exception as error:  # the library raises nothing more special
        raise BadInput(f"a damaged file ({shown(str(error))})", "a tokenizer", FETCH, where) from error
    for name in (bos, eos, PAD, IMAGE, BEGIN, END):
        if tokenizer.token_to_id(name) is None:
            raise BadInput(f"no token {shown(name)}", "a tokenizer of Janus-Pro", FETCH, where)
    if tokenizer.encode("a").ids[0] != tokenizer.token_to_id(bos):
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A", special_tokens=[(bos, tokenizer.token_to_id(bos))]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=bos, eos_token=eos, pad_token=PAD,
        extra_special_tokens={"image_token": IMAGE, "boi_token": BEGIN, "eoi_token": END},
    )  # fmt: skip


def _content(token: object) -> str:
    """Name of a token in tokenizer_config.json: a text, or an object with one."""
    return str(token.get("content") if isinstance(token, dict) else token)
