"""Janus and Janus-Pro (arXiv 2410.13848, 2501.17811) in the checkpoints of transformers.

The language model is a Llama; image tokens have an embedding (`generation_embeddings`, then an aligner) and a head
(`generation_head`) apart from its vocabulary. A prompt is a message of the user, the opening of the assistant's, and
the token that begins an image. In the unconditional prompt every token but the first and the last is padding, seen like
any other. The grid is fixed.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, UInt8
from PIL import Image as PILImage
from torch import Tensor
from transformers import JanusForConditionalGeneration, JanusProcessor

from spatialspec.core.errors import BadInput
from spatialspec.core.grid import Grid
from spatialspec.core.sampling import Sampling
from spatialspec.io.files import read_text
from spatialspec.targets.images import as_image, normalised
from spatialspec.targets.language_decoder import apply
from spatialspec.targets.language_target import LanguageTarget
from spatialspec.targets.pretrained import check_kinds, load_processor
from spatialspec.targets.words import Words

USER = "<|User|>"
CHAT = USER + ": {}\n\n<|Assistant|>:"  # of the published code; no template of a folder is run
TEMPLATES = ("chat_template.jinja", "chat_template.json")


class JanusTarget(LanguageTarget):
    """A Janus model with its processor.

    Args:
        model: loaded model, which is not changed.
        processor: its `JanusProcessor`.
        name: shown in reports and errors.
    """

    kind = JanusForConditionalGeneration
    authors = Sampling(guidance=5.0)

    def __init__(self, model: JanusForConditionalGeneration, processor: Any, name: str) -> None:
        check_kinds(model, JanusForConditionalGeneration, processor, JanusProcessor)
        template, tokenizer = getattr(processor, "chat_template", None), processor.tokenizer
        if isinstance(template, str):
            _check_template(template, name)
        self._begin_with(name, model, model.model.language_model, Words(tokenizer, _control(processor)))
        self.processor = processor
        side = self.vq.config.num_patches
        self.grid = Grid(side, side)
        generation = model.generation_config
        self._begin = tokenizer.convert_tokens_to_ids(processor.image_start_token)
        self._bos = _either(generation.bos_token_id, tokenizer.bos_token_id, "bos_token_id")
        self._pad = _either(generation.pad_token_id, tokenizer.pad_token_id, "pad_token_id")

    @classmethod
    def read_parts(cls, folder: Path) -> dict[str, Any]:
        """Load the processor."""
        for path in (folder / name for name in TEMPLATES):  # transformers ignores an empty one
            if path.exists():
                _check_template(read_text(path), path)
        return {"processor": load_processor(JanusProcessor, folder)}

    def prompt_ids(self, prompts: Sequence[str], negatives: Sequence[str], streams: int, grid: Grid) -> list[list[int]]:
        """Chat template and the token that begins an image; in the unconditional one the rest is padding."""
        sequences, control = [], (self._bos, self._begin)
        for prompt, negative in zip(prompts, negatives, strict=True):
            ids = self._chat(prompt)
            sequences.append(ids)
            if streams == 2:
                padded = [i if i in control else self._pad for i in ids]
                sequences.append(self._chat(negative) if negative else padded)
        return sequences

    def _chat(self, prompt: str) -> list[int]:
        self.words.check(prompt)
        text = CHAT.format(prompt.strip()) + self.processor.image_start_token
        return self.words.framed(text, self._bos, self._begin)

    @property
    def parts(self) -> Any:
        """The model without its text head."""
        return self.model.model

    @property
    def vq(self) -> Any:
        """The VQ tokenizer; it reads only the direction of an entry of its codebook."""
        return self.parts.vqmodel

    @property
    def vocabulary(self) -> int:
        """Number of image tokens V."""
        return int(self.parts.generation_embeddings.num_embeddings)

    @property
    def patch(self) -> int:
        """Pixels a side of one cell."""
        return int(2 ** (len(self.vq.config.channel_multiplier) - 1))

    @torch.inference_mode()
    def codes(self, pixels: UInt8[Tensor, "B H W 3"]) -> Int[Tensor, "B cells"]:
        """Tokens of images, normalised by the processor's settings, by the encoder of transformers.

        A code is the entry of the nearest direction, as in the published tokenizer and as the decoder reads codes;
        the quantizer of transformers takes the nearest by plain distance.
        """
        vq, entries = self.vq, F.normalize(self.codebook, dim=-1)
        latent = vq.quant_conv(vq.encoder(normalised(self.processor.image_processor, pixels, entries)))
        tokens = torch.einsum("bchw,vc->bhwv", latent, entries).argmax(-1)
        return tokens.view(len(pixels), -1)

    @property
    def weights(self) -> Sequence[Tensor]:
        """Of embedding, aligner and head of image tokens."""
        parts = (self.parts.generation_embeddings, self.parts.generation_aligner, self.parts.generation_head)
        return [weight for part in parts for weight in part.parameters()]

    def embed(self, tokens: Int[Tensor, "*N"]) -> Float[Tensor, "*N d"]:
        """Embedding of image tokens, through the aligner."""
        table = self.parts.generation_embeddings.weight
        return apply(self.parts.generation_aligner, table[tokens.to(table.device)]).to(self.device)

    def output(self, states: Float[Tensor, "*N d"]) -> Float[Tensor, "*N V"]:
        """Normed states -> logits of image tokens."""
        return apply(self.parts.generation_head, states)

    @torch.no_grad()
    def pixels(self, tokens: Sequence[int], grid: Grid) -> PILImage.Image:
        """Image of a grid of tokens, 16 pixels a cell; with fewer rows, the upper part of an image."""
        device, missing = self.codebook.device, self.grid.cells - len(tokens)
        last = list(tokens[-grid.columns :])  # repeated, as the decoder takes complete images only
        codes = torch.tensor([*tokens, *(last * self.grid.rows)[:missing]], device=device)[None]
        pixels = self.model.decode_image_tokens(codes)[0].float().clamp(-1, 1)
        return as_image(pixels[: pixels.shape[0] * grid.rows // self.grid.rows])


def _check_template(template: str, where: object) -> None:
    if USER not in template:
        raise BadInput(f"a chat template without {USER}", "that of Janus-Pro", "Janus 1.3B is not understood", where)


def _control(processor: Any) -> list[str]:
    """Names of the tokens around images."""
    tokens = (getattr(processor.tokenizer, name, None) for name in ("image_token", "boi_token", "eoi_token"))
    return [token for token in (processor.image_token, processor.image_start_token, *tokens) if isinstance(token, str)]


def _either(first: Any, second: Any, name: str) -> int:
    """A token id of the generation config, else of the tokenizer."""
    token = second if first is None else first
    if not isinstance(token, int):
        raise BadInput(f"{name}={token}", "one in generation_config.json or the tokenizer's files")
    return token
