"""The AR part of GLM-Image in the checkpoints of transformers and diffusers.

One language model over image tokens and text: image token k is the id k, and the output layer has image tokens and a
few others alone. A prompt names two grids, and the sequence draws the second, a small preview, before the first:

    words <sop>32 32<eop><sop>16 16<eop> start | preview, 16 x 16 | image, 32 x 32 | end

Cells are rotated on three axes, as `get_rope_index` of transformers has it: in a grid that begins at position s, the
cell of row r and column c has (s, s + r, s + c), and the next grid begins at s + max(rows, columns). The end of the
image is forced. There are no pixels: a diffusion model makes them of the tokens, see
`spatialspec.integrations.glm_image_pipeline`.
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
from transformers import GlmImageForConditionalGeneration, GlmImageProcessor

from spatialspec.core.errors import BadInput, shown
from spatialspec.core.grid import Grid, Grids, Layout
from spatialspec.core.sampling import Sampling
from spatialspec.targets.derived import Derived
from spatialspec.targets.engine import PassInputs
from spatialspec.targets.image_vocabulary import ImageVocabulary
from spatialspec.targets.images import finite
from spatialspec.targets.pretrained import check_kinds, load_processor, quiet
from spatialspec.targets.words import ANOTHERS, Words

PATCH = 32  # pixels a side of a cell, in the code of the processor; `layout` checks it
REMARK = (
    "cells are coloured by their codes, this is no image: the diffusion part of GLM-Image makes it, in "
    "diffusers with spatialspec.accelerate(pipe)"
)


class GlmImageTarget(ImageVocabulary):
    """The AR part of a GLM-Image model, with its processor.

    Args:
        model: loaded model, which is not changed.
        processor: its `GlmImageProcessor`.
        name: shown in reports and errors.

    Attributes:
        coloured: cells have the colours of their codes: `pixels` draws no image.
        image_end: id of the token that ends the image, which is forced.
    """

    coloured = True

    kind = GlmImageForConditionalGeneration
    authors = Sampling(temperature=0.9, top_p=0.75)
    patch = PATCH

    def __init__(self, model: GlmImageForConditionalGeneration, processor: Any, name: str) -> None:
        check_kinds(model, GlmImageForConditionalGeneration, processor, GlmImageProcessor)
        config = model.config
        control = [processor.image_token, processor.grid_bos_token, processor.grid_eos_token, processor.bos_token]
        words = Words(processor.tokenizer, control)
        words.check_ids(
            {processor.bos_token: config.image_start_token_id, processor.image_token: config.image_token_id}
        )
        self._begin_with(name, model, model.model.language_model, words)
        self.processor, self.image_end = processor, int(config.image_end_token_id)
        self._layouts: dict[Grid, Layout] = {}
        self._tables: dict[tuple[Layout, torch.device], Tensor] = {}  # kept: captured passes read them
        self._colours = Derived(colours)
        count = int(self.vq.config.num_embeddings)
        self.take_ids({code: code for code in range(count)}, count)
        self.grid = Grid(processor.target_h // PATCH, processor.target_w // PATCH)

    @classmethod
    def read_parts(cls, folder: Path) -> dict[str, Any]:
        """Load the processor."""
        return {"processor": load_processor(GlmImageProcessor, folder)}

    @property
    def vq(self) -> Any:
        """The VQ tokenizer, which has no decoder; it reads only the direction of an entry of its codebook."""
        return self.model.model.vqmodel

    def layout(self, grid: Grid) -> Layout:
        """The preview that the processor chooses for an image of this grid, then the image.

        Raises:
            BadInput: the image is too narrow for a preview, or the processor draws another one.
        """
        if grid not in self._layouts:
            (_, *image), (_, *preview) = self._read("", grid)["image_grid_thw"].tolist()
            if image != [grid.rows, grid.columns]:
                got = f"a processor that reads {grid.rows * PATCH}x{grid.columns * PATCH} pixels as {image} tokens"
                raise BadInput(got, f"{grid}", ANOTHERS)
            if min(preview) < 1:
                raise BadInput(f"size {grid}", "one whose preview has a row and a column", "make it less narrow")
            self._layouts[grid] = Grids((Grid(*preview), grid))
        return self._layouts[grid]

    def grid_of(self, grids: Sequence[Sequence[int]]) -> Grid:
        """The size of an image from `image_grid_thw` of its prompt: (1, rows, columns) of the image and its preview.

        Raises:
            BadInput: other grids than the processor has for a prompt of words.
        """
        given = [list(map(int, grid)) for grid in grids]
        size = Grid(*given[0][1:]) if [len(grid) for grid in given] == [3, 3] else self.grid
        expected = [[1, grid.rows, grid.columns] for grid in reversed(self.layout(size).grids)]
        if given != expected:
            raise BadInput(f"image_grid_thw {given}", f"{expected}, image and preview", "give those of the processor")
        return size

    def check_grid(self, grid: Grid) -> None:
        """Refuse a grid that is too narrow for a preview, or longer than the model's sequence.

        Raises:
            BadInput: it is.
        """
        cells, most = self.layout(grid).cells, self.decoder.positions
        if cells >= most:
            raise BadInput(f"size {grid}, {cells} tokens with its preview", f"fewer than {most}", "make it smaller")

    def prompt_ids(self, prompts: Sequence[str], negatives: Sequence[str], streams: int, grid: Grid) -> list[list[int]]:
        """Ids of the processor's chat template, with both grids; the unconditional prompt has no words before them."""
        sequences, start = [], self.model.config.image_start_token_id
        for words in (text for pair in zip(prompts, negatives, strict=True) for text in pair[:streams]):
            self.words.check(words, range(self.vocabulary))
            ids = self._read(words, grid)["input_ids"][0].tolist()
            if ids[-1:] != [start]:
                raise BadInput(f"a processor that ends a prompt with {ids[-1:]}", f"{start}", ANOTHERS)
            sequences.append(ids)
        return sequences

    def _read(self, words: str, grid: Grid) -> Any:
        """A prompt as the processor reads it, with the size of its image."""
        message = [{"role": "user", "content": [{"type": "text", "text": words}]}]
        size = {"target_h": grid.rows * PATCH, "target_w": grid.columns * PATCH}
        try:
            with quiet():
                return self.processor.apply_chat_template(
                    [message], tokenize=True, padding=False, return_dict=True, return_tensors="pt", **size
                )
        except Exception as error:  # its template comes from an unchecked file
            got = f"a processor that fails ({type(error).__name__}: {shown(str(error))})"
            raise BadInput(got, "one that reads a prompt", "fetch its files again") from error

    def rotary_positions(self, inputs: PassInputs) -> Int[Tensor, "3 B N"]:
        """Positions of the prompt in the sequence, the same on all axes; then those of the cells of every grid."""
        prompt = inputs.prompt_lengths[:, None]
        cells = inputs.positions - prompt
        key = inputs.layout, inputs.positions.device
        if key not in self._tables:
            self._tables[key] = cell_positions(inputs.layout).to(inputs.positions.device)
        within = prompt + self._tables[key][:, cells.clamp(min=0)]
        return torch.where(cells < 0, inputs.positions, within)

    def pixels(self, tokens: Sequence[int], grid: Grid) -> PILImage.Image:
        """Cells in the colours of their codes: see `colours`."""
        table = self._colours.of(self.codebook)
        cells = table[torch.tensor(tokens, dtype=torch.long)].view(grid.rows, grid.columns, 3)
        size = grid.columns * PATCH, grid.rows * PATCH
        return PILImage.fromarray(cells.numpy()).resize(size, PILImage.Resampling.NEAREST)

    def remarks(self, prompts: Sequence[str]) -> list[str]:
        """What `pixels` draws."""
        return [REMARK]


def cell_positions(layout: Layout) -> Int[Tensor, "3 cells"]:
    """Positions of cells behind the prompt: where their grid begins, and from there their row and their column."""
    start, axes = 0, []
    for grid in layout.grids:
        row, column = torch.meshgrid(torch.arange(grid.rows), torch.arange(grid.columns), indexing="ij")
        axes.append(start + torch.stack((torch.zeros_like(row), row, column)).flatten(1))
        start += max(grid.rows, grid.columns)
    return torch.cat(axes, 1)


def colours(codebook: Float[Tensor, "V c"]) -> UInt8[Tensor, "V 3"]:
    """A colour for every code, so that codes of like directions look alike: ranks along three fixed directions.

    Raises:
        NotFinite: an entry of the codebook is no number.
    """
    directions = torch.randn(codebook.shape[1], 3, generator=torch.Generator().manual_seed(0))
    along = finite(F.normalize(codebook.float(), dim=-1) @ directions.to(codebook.device))
    return (along.argsort(0).argsort(0) * 255 // max(len(codebook) - 1, 1)).to(torch.uint8)
