"""SimpleAR 0.5B and 1.5B (arXiv 2504.11455): Qwen2 trained to draw, in its published checkpoints.

The 64,000 codes of NVIDIA's Cosmos tokenizer DV8x16x16 follow the 151,672 tokens of text; an image is a square of them.
The unconditional stream reads a fixed negative prompt. Prompts, sampling and the offset are those of the published code
(wdrink/SimpleAR: generate.py, simpar/model/language_model/simpar_qwen2.py), which may draw a token of text in the place
of a code; here codes alone are drawn. Its guidance of log-probabilities differs from that of logits by a constant.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from PIL import Image as PILImage
from torch import Tensor, nn
from transformers import PreTrainedModel, Qwen2ForCausalLM

from spatialspec.core.errors import BadInput
from spatialspec.core.grid import Grid
from spatialspec.core.sampling import Sampling
from spatialspec.io.files import write_text
from spatialspec.io.tensors import write_tensors
from spatialspec.targets.causal_target import CausalTarget
from spatialspec.targets.cosmos import FILE, LEVELS, CosmosVQ, load_cosmos, vectors
from spatialspec.targets.derived import Derived
from spatialspec.targets.images import as_image
from spatialspec.targets.words import read_tokenizer

SIDE = 64  # cells a side of an image of 1024 pixels, the size that the published checkpoints draw


class SimpleARTarget(CausalTarget):
    """A SimpleAR model with its tokenizer and, if it was converted, Cosmos' image decoder.

    Args:
        model: loaded model, which is not changed.
        processor: its tokenizer.
        name: shown in reports and errors.

    Raises:
        BadInput: the tokenizer is not SimpleAR's, or the image decoder is damaged or another's.
    """

    kind: ClassVar[type[PreTrainedModel]] = Qwen2ForCausalLM
    authors = Sampling(guidance=6.0)
    first, last = "<|t2i|>", "<|soi|>"
    prompt, negative = "A highly realistic image of {}", "{}"
    unconditional = (
        "An image of aerial view, overexposed, low quality, deformation, a poor composition, bad hands, bad teeth, "
        "bad eyes, bad limbs, distortion"
    )

    def __init__(self, model: PreTrainedModel, processor: Any, name: str) -> None:
        count = self.take_model(model, processor, name)
        if count not in LEVELS:
            got, known = f"{count:,} image tokens behind {self.offset:,} of text", ", ".join(map(str, LEVELS))
            raise BadInput(got, f"one of {known}", "this is no SimpleAR, or its tokenizer is another model's", name)
        self.grid = Grid(SIDE, SIDE)
        self.take_codes(count, count)
        self.vq: CosmosVQ | None = load_cosmos(Path(str(model.config.name_or_path)), count)
        codes = torch.arange(count)
        self._vectors = Derived(lambda weight: vectors(codes.to(weight.device), count))

    @classmethod
    def read_parts(cls, folder: Path) -> dict[str, Any]:
        """Load the tokenizer."""
        return {"processor": read_tokenizer(folder)}

    def save(self, folder: Path) -> None:
        """As in the base, with the tokenizer and the image decoder."""
        super().save(folder)
        tokenizer = self.words.tokenizer
        write_text(folder / "tokenizer.json", getattr(tokenizer, "backend_tokenizer", tokenizer).to_str())
        if self.vq is not None:
            write_tensors(folder / FILE, {name: t.cpu().contiguous() for name, t in self.vq.state_dict().items()})

    def check_grid(self, grid: Grid) -> None:
        """Refuse all but squares, and a grid that is longer than the model's sequence.

        Raises:
            BadInput: it is one of these.
        """
        if grid.rows != grid.columns:
            raise BadInput(f"size {grid}", "as many rows as columns", f"{self.name} draws squares")
        self.check_length(grid)

    @property
    def networks(self) -> tuple[nn.Module, ...]:
        """The model and its image decoder."""
        return (self.model,) if self.vq is None else (self.model, self.vq)

    @property
    def codebook(self) -> Float[Tensor, "V c"]:
        """The vector of every code, always the same object."""
        return self._vectors.of(self.decoder.embedding.weight)

    @property
    def patch(self) -> int:
        """Pixels a side of one cell."""
        return CosmosVQ.patch

    def check_pixels(self) -> None:
        """Refuse to draw pixels without the image decoder.

        Raises:
            BadInput: there is none.
        """
        if self.vq is None:
            raise BadInput(
                f"{self.name} without an image decoder",
                f"{FILE} beside it, or output_type='tokens'",
                "make it with spatialspec convert nvidia/Cosmos-1.0-Tokenizer-DV8x16x16/decoder.jit FOLDER",
            )

    @torch.no_grad()
    def pixels(self, tokens: Sequence[int], grid: Grid) -> PILImage.Image:
        """Image of a grid of tokens, 16 pixels a cell.

        Raises:
            BadInput: there is no image decoder.
        """
        self.check_pixels()
        assert self.vq is not None
        self.vq.to(self.device)
        codes = torch.tensor(tokens, device=self.device).view(1, grid.rows, grid.columns)
        return as_image(self.vq.decode(codes)[0].permute(1, 2, 0))
