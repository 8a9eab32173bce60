"""Tiny random checkpoints of transformers on disk: real classes, configurations, processors, the published layout."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from torch import nn
from transformers import (
    Emu3Config,
    Emu3ForConditionalGeneration,
    Emu3Processor,
    JanusConfig,
    JanusForConditionalGeneration,
    JanusProcessor,
    PreTrainedTokenizerFast,
)
from transformers.models.emu3.image_processing_emu3 import Emu3ImageProcessor
from transformers.models.janus.image_processing_pil_janus import JanusImageProcessorPil

CODES = 64
WORDS = ["a red apple", "two cats on a mat", "a blue house by the sea", "<|User|>: \n\n<|Assistant|>: 0123456789*"]
TEXT = dict(
    hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
    initializer_range=0.3, attention_dropout=0.0,
)  # fmt: skip

# Of the published processor (deepseek-community/Janus-Pro-1B), for turns of plain text.
CHAT = (
    "{% for message in messages %}{% if message['role'] == 'user' %}<|User|>: {% else %}<|Assistant|>: {% endif %}"
    "{% for part in message['content'] %}{{ part['text'] }}{% endfor %}{{ '\n\n' }}{% endfor %}"
    "{% if add_generation_prompt %}<|Assistant|>:{% endif %}"
)


def tokenizer_of(bos: str, eos: str, pad: str, extra: dict[str, str], names: list[str], begins: bool) -> Tokenizer:
    """A byte-level BPE; `begins`: it puts the first token in front of every text by itself."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    bpe.train_from_iterator(WORDS, trainer)
    specials = [bos, eos, pad, *extra.values(), *names]
    bpe.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in specials])
    if begins:
        bpe.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A", special_tokens=[(bos, bpe.token_to_id(bos))]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe, bos_token=bos, eos_token=eos, pad_token=pad, extra_special_tokens=extra
    )


def spread_norms(model: nn.Module) -> None:
    """Norms that are not idempotent: all of them start as ones."""
    for name, weight in model.named_parameters():
        if "norm" in name:
            nn.init.uniform_(weight, 0.3, 1.7)


def tiny_janus(folder: Path, seed: int = 0, side: int = 4) -> Path:
    """Write a Janus of `side` x `side` cells into `folder`."""
    torch.manual_seed(seed)
    extra = {"image_token": "<image_placeholder>", "boi_token": "<begin_of_image>", "eoi_token": "<end_of_image>"}
    tokenizer = tokenizer_of(
        "<\uff5cbegin\u2581of\u2581sentence\uff5c>", "<\uff5cend\u2581of\u2581sentence\uff5c>",
        "<\uff5c\u2581pad\u2581\uff5c>", extra, [], begins=True,
    )  # fmt: skip
    processor = JanusProcessor(
        JanusImageProcessorPil(size={"height": 16 * side, "width": 16 * side}),
        tokenizer,
        chat_template=CHAT,
        use_default_system_prompt=True,
        num_image_tokens=side * side,
    )
    ids = dict(
        pad_token_id=tokenizer.pad_token_id, bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id
    )
    config = JanusConfig(
        text_config=dict(model_type="llama", vocab_size=len(tokenizer), max_position_embeddings=256, **TEXT, **ids),
        vision_config=dict(
            hidden_size=32, num_hidden_layers=1, num_attention_heads=2, image_size=16 * side, patch_size=16,
            projection_dim=32, num_image_tokens=side * side,
        ),
        vq_config=dict(
            embed_dim=4, num_embeddings=CODES, latent_channels=32, base_channels=32,
            channel_multiplier=[1, 1, 1, 1, 1], num_res_blocks=1, projection_dim=32, num_hidden_layers=2,
            image_token_embed_dim=32, initializer_range=0.3,
        ),
        image_token_id=tokenizer.convert_tokens_to_ids(extra["image_token"]),
    )  # fmt: skip
    model = JanusForConditionalGeneration(config).eval()
    for part in (model.model.generation_embeddings, model.model.generation_aligner, model.model.generation_head):
        for weight in part.parameters():
            nn.init.normal_(weight, std=0.4)
    spread_norms(model.model.language_model)
    model.generation_config._from_model_config = False  # as the converter of transformers does: nothing is dropped
    model.generation_config.guidance_scale = 5
    model.generation_config.temperature = 1
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.generation_config.bos_token_id = tokenizer.bos_token_id
    model.generation_config.generation_kwargs = {"boi_token_id": tokenizer.convert_tokens_to_ids(extra["boi_token"])}
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def tiny_emu3(folder: Path, seed: int = 0) -> Path:
    """Write an Emu3 into `folder`."""
    torch.manual_seed(seed)
    extra = {
        "image_token": "<image>", "boi_token": "<|image start|>", "eoi_token": "<|image end|>",
        "image_wrapper_token": "<|image token|>", "eof_token": "<|extra_201|>",
    }  # fmt: skip
    names = ["<|extra_200|>", *(f"<|visual token {code:06d}|>" for code in range(CODES))]
    tokenizer = tokenizer_of("<|extra_203|>", "<|extra_204|>", "<|endoftext|>", extra, names, begins=False)
    processor = Emu3Processor(Emu3ImageProcessor(), tokenizer, chat_template="TODO")
    config = Emu3Config(
        text_config=dict(
            vocab_size=len(tokenizer), max_position_embeddings=512, pad_token_id=tokenizer.pad_token_id,
            bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, **TEXT,
        ),
        vq_config=dict(
            codebook_size=CODES, embed_dim=4, latent_channels=4, base_channels=32, channel_multiplier=[1, 1, 1, 1],
            num_res_blocks=1, attn_resolutions=[3], hidden_size=32, temporal_downsample_factor=2,
        ),
        vocabulary_map=tokenizer.get_vocab(),
    )  # fmt: skip
    model = Emu3ForConditionalGeneration(config).eval()
    spread_norms(model.model.text_model)
    model.generation_config.do_sample, model.generation_config.top_k = True, 32
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder
