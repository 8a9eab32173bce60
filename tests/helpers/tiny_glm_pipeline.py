"""A tiny random GLM-Image of diffusers, whole: AR part, glyph encoder, diffusion model and image decoder."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, GlmImagePipeline, GlmImageTransformer2DModel
from transformers import ByT5Tokenizer, T5Config, T5EncoderModel

from helpers.tiny_glm import CODES, glm, processor


def tiny_glm_pipeline(**sampling: Any) -> GlmImagePipeline:
    """A pipeline that draws, 8 pixels a latent and 16 a token of its diffusion model."""
    reader = processor()
    ar = glm(reader.tokenizer, **sampling)
    torch.manual_seed(1)
    kinds = {"down_block_types": ["DownEncoderBlock2D"] * 4, "up_block_types": ["UpDecoderBlock2D"] * 4}
    vae = AutoencoderKL(
        **kinds, block_out_channels=[4, 4, 8, 8], layers_per_block=1, latent_channels=4, norm_num_groups=2,
        latents_mean=[0.0] * 4, latents_std=[1.0] * 4, sample_size=128, use_quant_conv=False, use_post_quant_conv=False,
    )  # fmt: skip
    sizes = {"d_model": 16, "d_ff": 16, "d_kv": 8, "num_heads": 2, "num_layers": 1}
    tokenizer = ByT5Tokenizer()
    text = T5EncoderModel(T5Config(vocab_size=len(tokenizer), **sizes))
    dit = GlmImageTransformer2DModel(
        in_channels=4, out_channels=4, num_layers=2, attention_head_dim=8, num_attention_heads=2, text_embed_dim=16,
        time_embed_dim=16, condition_dim=8, prior_vq_quantizer_codebook_size=CODES,
    )  # fmt: skip
    pipe = GlmImagePipeline(
        tokenizer=tokenizer, processor=reader, text_encoder=text.eval(), vision_language_encoder=ar, vae=vae.eval(),
        transformer=dit.eval(), scheduler=FlowMatchEulerDiscreteScheduler(),
    )  # fmt: skip
    pipe.set_progress_bar_config(disable=True)
    return pipe
