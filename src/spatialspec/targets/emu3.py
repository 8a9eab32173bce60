"""Emu3-Gen (arXiv 2409.18869) in the checkpoints of transformers.

One language model over text and image tokens; image token k is the id named `<|visual token k|>`. The processor writes
the size of the image into the prompt, so any grid can be drawn. A row ends in the token `<|extra_200|>`; the three
tokens that close an image need no model.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unicodedata import normalize

import torch
from jaxtyping import Int, UInt8
from PIL import Image as PILImage
from torch import Tensor
from transformers import Emu3ForConditionalGeneration, Emu3Processor

from spatialspec.core.errors import BadInput
from spatialspec.core.grid import Grid
from spatialspec.core.sampling import Sampling
from spatialspec.targets.image_vocabulary import ImageVocabulary
from spatialspec.targets.images import finite, normalised
from spatialspec.targets.pretrained import check_kinds, load_processor
from spatialspec.targets.words import Words


class Emu3Target(ImageVocabulary):
    """An Emu3 model with its processor.

    Args:
        model: loaded model, which is not changed.
        processor: its `Emu3Processor`.
        name: shown in reports and errors.
    """

    kind = Emu3ForConditionalGeneration
    authors = Sampling(guidance=3.0, top_k=2048)

    def __init__(self, model: Emu3ForConditionalGeneration, processor: Any, name: str) -> None:
        check_kinds(model, Emu3ForConditionalGeneration, processor, Emu3Processor)
        words = Words(processor.tokenizer, model.config.vocabulary_map or ())
        self._begin_with(name, model, model.model.text_model, words)
        self.processor = processor
        self.grid = Grid(
            *processor.calculate_generate_size(processor.ratio, processor.image_area, processor.downsample_ratio)
        )
        names: Any = model.vocabulary_mapping
        if names.eol_token_id is None:
            raise BadInput("no <|extra_200|> in vocabulary_map", "the row end", "fetch config.json again")
        self._row_end = (int(names.eol_token_id),)
        self.take_ids(names.img2bpe, self.vq.config.codebook_size)

    @classmethod
    def read_parts(cls, folder: Path) -> dict[str, Any]:
        """Load the processor."""
        return {"processor": load_processor(Emu3Processor, folder)}

    @property
    def vq(self) -> Any:
        """The VQ tokenizer."""
        return self.model.model.vqmodel

    @property
    def row_end(self) -> tuple[int, ...]:
        """The token that ends a row."""
        return self._row_end

    def check_grid(self, grid: Grid) -> None:
        """See `check_length`."""
        self.check_length(grid)

    def prompt_ids(self, prompts: Sequence[str], negatives: Sequence[str], streams: int, grid: Grid) -> list[list[int]]:
        """Prompt, then what opens an image of this grid; the unconditional prompt has no words before that.

        Letters and accents are composed, as the published tokenizer does and its conversion for transformers does not.
        """
        p, images = self.processor, set(self.ids.tolist())
        opening = f"{p.image_start_token}{grid.rows}*{grid.columns}{p.fake_token_around_image}"
        first, last = self.words.id_of(p.bos_token), self.words.id_of(p.fake_token_around_image)
        sequences = []
        for words in (text for pair in zip(prompts, negatives, strict=True) for text in pair[:streams]):
            text = normalize("NFC", words)
            self.words.check(text, images)
            sequences.append(self.words.framed(f"{p.bos_token}{text}{opening}", first, last))
        return sequences

    @property
    def patch(self) -> int:
        """Pixels a side of one cell."""
        return int(self.vq.spatial_scale_factor)

    @torch.inference_mode()
    def codes(self, pixels: UInt8[Tensor, "B H W 3"]) -> Int[Tensor, "B cells"]:
        """Tokens of images, by the encoder of transformers, normalised by the processor's settings."""
        x = normalised(self.processor.image_processor, pixels, self.codebook)
        tokens = self.vq.encode(x, [x.shape[-2:]] * len(x)).image_tokens  # a list of (rows, columns)
        return torch.stack(tokens).flatten(1)

    @torch.no_grad()
    def pixels(self, tokens: Sequence[int], grid: Grid) -> PILImage.Image:
        """Image of a grid of tokens, 8 pixels a cell."""
        codes = torch.tensor(tokens, device=self.codebook.device).view(1, grid.rows, grid.columns)
        pixels = finite(self.vq.decode(codes)[0])
        image: PILImage.Image
        (image,) = self.processor.postprocess([pixels], return_tensors="PIL.Image.Image")["pixel_values"]
        return image
