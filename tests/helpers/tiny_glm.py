"""Tiny random AR parts of GLM-Image, with the real classes, configurations and processor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from torch import nn
from transformers import (
    GlmImageConfig,
    GlmImageForConditionalGeneration,
    GlmImageProcessor,
    PreTrainedTokenizerFast,
)
from transformers.models.glm_image.image_processing_pil_glm_image import GlmImageImageProcessorPil

from helpers.tiny_checkpoints import spread_norms

CODES, HEAD = 64, 72  # the output layer has more tokens than the codebook
CHAT = (
    "{%- for m in messages -%}{%- for part in m.content -%}{%- if part.type == 'image' -%}"
    f"<|dit_token_{CODES}|><|image|><|dit_token_{CODES + 1}|>"
    "{%- elif part.type == 'text' -%}{{ part.text }}{%- endif -%}{%- endfor -%}{%- endfor -%}"
)


def processor() -> GlmImageProcessor:
    """Ids as published: image tokens first, with what starts and ends an image, then bytes of text."""
    images = [f"<|dit_token_{number}|>" for number in range(HEAD)]
    others = ["<|endoftext|>", "<|image|>", "<sop>", "<eop>"]
    names = [*images, *sorted(pre_tokenizers.ByteLevel.alphabet()), *others]
    bpe = Tokenizer(models.BPE(vocab={name: i for i, name in enumerate(names)}, merges=[]))
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    bpe.add_special_tokens([*images, *others])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe, bos_token=images[CODES], eos_token=images[CODES + 1], pad_token="<|endoftext|>",
        padding_side="left",
        extra_special_tokens={"image_token": "<|image|>", "grid_bos_token": "<sop>", "grid_eos_token": "<eop>"},
    )  # fmt: skip
    pixels = GlmImageImageProcessorPil(patch_size=16, merge_size=1, temporal_patch_size=1)
    return GlmImageProcessor(pixels, tokenizer, chat_template=CHAT)


def glm(tokenizer: Any, seed: int = 0, **sampling: Any) -> GlmImageForConditionalGeneration:
    """The AR part, rotated on three axes by a half of every head, of which two share keys and values."""
    torch.manual_seed(seed)
    rotation = {"rope_type": "default", "rope_theta": 100.0, "partial_rotary_factor": 0.5, "mrope_section": [1, 1, 2]}
    config = GlmImageConfig(
        text_config=dict(
            vocab_size=len(tokenizer), vision_vocab_size=HEAD, hidden_size=32, intermediate_size=48,
            num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1, max_position_embeddings=2048,
            rope_parameters=rotation, initializer_range=0.3, pad_token_id=tokenizer.pad_token_id,
            eos_token_id=CODES + 1,
        ),
        vision_config=dict(
            depth=1, hidden_size=32, num_heads=2, image_size=64, patch_size=16, intermediate_size=48,
        ),
        vq_config=dict(embed_dim=4, num_embeddings=CODES, latent_channels=32),
        image_token_id=tokenizer.convert_tokens_to_ids("<|image|>"),
        image_start_token_id=CODES,
        image_end_token_id=CODES + 1,
    )  # fmt: skip
    model = GlmImageForConditionalGeneration(config).eval()
    spread_norms(model.model.language_model)
    nn.init.normal_(model.model.vqmodel.quantize.embedding.weight)
    model.lm_head.weight.data[CODES:] = 0.0  # what is no code is never the best: `generate` masks nothing
    model.generation_config.update(
        do_sample=True, pad_token_id=tokenizer.pad_token_id, eos_token_id=CODES + 1, temperature=0.9, top_p=0.75
    )
    model.generation_config.update(**sampling)
    return model


def tiny_glm(folder: Path, seed: int = 0, **sampling: Any) -> Path:
    """Write the AR part and its processor into one folder, as `save_pretrained` of transformers does."""
    reader = processor()
    glm(reader.tokenizer, seed, **sampling).save_pretrained(folder)
    reader.save_pretrained(folder)
    return folder


def tiny_glm_parts(folder: Path) -> Path:
    """Write them as a pipeline of diffusers has them, without its other parts."""
    reader = processor()
    glm(reader.tokenizer).save_pretrained(folder / "vision_language_encoder")
    reader.save_pretrained(folder / "processor")
    (folder / "model_index.json").write_text('{"_class_name": "GlmImagePipeline"}')
    return folder


def shrink_previews(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the processor choose previews of 3 x 2 cells."""
    chosen = lambda self, height, width: (height // 32, width // 32, 3, 2)  # noqa: E731
    monkeypatch.setattr(GlmImageProcessor, "_get_target_shape", chosen)
