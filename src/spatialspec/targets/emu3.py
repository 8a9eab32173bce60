"""Emu3-Gen (arXiv 2409.18869) in the checkpoints of transformers.

One language model over text and image tokens; image token k is the id named `<|visual token k|>`. The processor writes
the size of the picture into the prompt, so any grid can be drawn. A row ends in the token `<|extra_200|>`; the three
tokens that close a picture need no model.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unicodedata import normalize

import torch
from jaxtyping import Float, Int, UInt8
from PIL import Image as PILImage
from torch import Tensor
from transformers import Emu3ForConditionalGeneration, Emu3Processor

from spatialspec.core.errors import BadInput
from spatialspec.core.grid import Grid
from spatialspec.core.sampling import Sampling
from spatialspec.targets.derived import Derived
from spatialspec.targets.image_vocabulary import ImageVocabulary
from spatialspec.targets.language_decoder import Decoder
from spatialspec.targets.pictures import finite, normalised
from spatialspec.targets.pretrained import DeviceMap, check_kinds, load_model, load_processor, recommended, tell_ignored
from spatialspec.targets.words import Words

AUTHORS = Sampling(guidance=3.0, top_k=2048)  # of the published code, where generation_config.json says nothing


class Emu3Target(ImageVocabulary):
    """An Emu3 model with its processor.

    Args:
        model: loaded model, which stays as it is.
        processor: its `Emu3Processor`.
        name: shown in reports and errors.
    """

    def __init__(self, model: Emu3ForConditionalGeneration, processor: Any, name: str) -> None:
        check_kinds(model, Emu3ForConditionalGeneration, processor, Emu3Processor)
        self.name, self.model, self.processor = name, model, processor
        self.decoder, self.words = (
            Decoder(model.model.text_model),
            Words(processor.tokenizer, model.config.vocabulary_map or ()),
        )
        tell_ignored(model.generation_config, name)
        _ = self.default
        self.grid = Grid(
            *processor.calculate_generate_size(processor.ratio, processor.image_area, processor.downsample_ratio)
        )
        names: Any = model.vocabulary_mapping
        if names.eol_token_id is None:
            raise BadInput("no <|extra_200|> in vocabulary_map", "the row end", "fetch config.json again")
        self._row_end = (int(names.eol_token_id),)
        self._codebook = Derived[Tensor](lambda weight: weight)
        self.take_ids(names.img2bpe, self.vq.config.codebook_size)

    @classmethod
    def from_folder(
        cls,
        folder: Path,
        device: str = "cpu",
        dtype: torch.dtype = torch.float32,
        device_map: DeviceMap | None = None,
    ) -> Emu3Target:
        """Load a checkpoint.

        Raises:
            BadInput: a file is missing or damaged, or a weight is missing, left over or of another shape.
        """
        processor = load_processor(Emu3Processor, folder)
        model = load_model(Emu3ForConditionalGeneration, folder, device, dtype, device_map)
        return cls(model, processor, folder.name)

    @property
    def vq(self) -> Any:
        """The VQ tokenizer."""
        return self.model.model.vqmodel

    @property
    def default(self) -> Sampling:
        """As generation_config.json has it, else the published code."""
        return recommended(self.model, AUTHORS)

    @property
    def row_end(self) -> tuple[int, ...]:
        """The token that ends a row."""
        return self._row_end

    def check_grid(self, grid: Grid) -> None:
        """Refuse a grid that is longer than the model's sequence.

        Raises:
            BadInput: it is.
        """
        length, most = grid.rows * (grid.columns + 1), self.decoder.positions
        if length >= most:
            raise BadInput(f"size {grid}, {length} tokens with row ends", f"fewer than {most}", "make it smaller")

    def prompt_ids(self, prompts: Sequence[str], negatives: Sequence[str], streams: int, grid: Grid) -> list[list[int]]:
        """Prompt, then what opens an image of this grid; the unconditional prompt has no words before that.

        Letters and accents are composed, as Emu3's own tokenizer does and its conversion for transformers does not.
        """
        p, images = self.processor, set(self.ids.tolist())
        opening = f"{p.image_start_token}{grid.rows}*{grid.columns}{p.fake_token_around_image}"
        first, last = self.words.id_of(p.bos_token), self.words.id_of(p.fake_token_around_image)
        rows = []
        for words in (text for pair in zip(prompts, negatives, strict=True) for text in pair[:streams]):
            text = normalize("NFC", words)
            self.words.check(text, images)
            rows.append(self.words.framed(f"{p.bos_token}{text}{opening}", first, last))
        return rows

    @property
    def codebook(self) -> Float[Tensor, "V c"]:
        """Entries of the VQ tokenizer."""
        return self._codebook.of(self.vq.quantize.embedding.weight)

    @property
    def patch(self) -> int:
        """Pixels a side of one cell."""
        return int(self.vq.spatial_scale_factor)

    @torch.inference_mode()
    def codes(self, pixels: UInt8[Tensor, "B H W 3"]) -> Int[Tensor, "B cells"]:
        """Image tokens of pictures, by the encoder of transformers, normalised as the processor says."""
        x = normalised(self.processor.image_processor, pixels, self.codebook)
        tokens = self.vq.encode(x, [x.shape[-2:]] * len(x)).image_tokens  # a list of (rows, columns)
        return torch.stack(tokens).flatten(1)

    @torch.no_grad()
    def pixels(self, tokens: Sequence[int], grid: Grid) -> PILImage.Image:
        """Picture of a grid of tokens, 8 pixels a cell."""
        codes = torch.tensor(tokens, device=self.codebook.device).view(1, grid.rows, grid.columns)
        picture = finite(self.vq.decode(codes)[0])
        shown: PILImage.Image = self.processor.postprocess([picture], return_tensors="PIL.Image.Image")["pixel_values"][
            0
        ]
        return shown
