"""A toy with a small transformer: its session has a cache, masks and two streams; its images are enumerated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from spatialspec.audit.enumeration import distribution, joint_distribution
from spatialspec.audit.toys import random_drafts
from spatialspec.core.grid import Grid
from spatialspec.core.sampling import Sampling
from spatialspec.methods.network import DraftNetwork
from spatialspec.targets.engine import Prompt
from spatialspec.targets.grid_engine import GridEngine
from spatialspec.targets.icons.transformer import GridTransformer, GridTransformerConfig
from spatialspec.targets.session import TargetSession

WORDS = 7  # text vocabulary


@dataclass(frozen=True)
class GridToy(GridEngine):
    """A `GridTransformer` with random weights and one prompt. It implements `Head`.

    Attributes:
        grid: its cells.
        model: the transformer.
        text: (2, P), tokens of the prompt and of the unconditional stream.
        codebook: (V, c).
    """

    grid: Grid
    model: GridTransformer
    text: Int[Tensor, "2 P"]
    codebook: Float[Tensor, "V c"]

    @classmethod
    def random(cls, grid: str, vocabulary: int, seed: int, width: int = 16) -> GridToy:
        """All weights from a seed, including those that the transformer initialises to 0."""
        shape, draw = Grid.parse(grid), torch.Generator().manual_seed(seed)
        config = GridTransformerConfig(
            codes=vocabulary, width=width, layers=2, heads=2, mlp_width=width, rows=shape.rows, columns=shape.columns,
            prefix=3, text_vocabulary=WORDS, text_layers=1, sketch_width=24, sketch_layers=1,
        )  # fmt: skip
        model = GridTransformer(config).eval().requires_grad_(False)
        for module in model.modules():
            for weight in module.parameters(recurse=False):
                if not isinstance(module, (nn.RMSNorm, nn.LayerNorm)):
                    weight.normal_(std=weight.shape[-1] ** -0.5, generator=draw)
        model.code_embedding.weight.normal_(generator=draw)
        text = torch.stack((torch.arange(3), torch.full((3,), WORDS - 1)))
        return cls(shape, model, text, torch.randn(vocabulary, 2, generator=draw))

    @cached_property
    def _prefix(self) -> Float[Tensor, "2 P d"]:
        return self.model.encode_text(self.text)

    @cached_property
    def _conditioning(self) -> Float[Tensor, "2 slots d"]:
        return self.model.conditioning(self.text, self.grid.rows, self.grid.columns)

    def session(
        self, prompts: Sequence[str], negatives: Sequence[str], sampling: Sampling, grid: Grid
    ) -> TargetSession:
        """Start one image per prompt; all have the prompt of the toy."""
        prompt = Prompt(list(self._prefix[: sampling.streams]), grid, self._conditioning[: sampling.streams])
        return TargetSession(self, [prompt] * len(prompts))

    @torch.inference_mode()
    def joint(self, sampling: Sampling) -> Float[np.ndarray, "images"]:
        """Joint probabilities of all V^cells images by teacher forcing, without a cache; cell 0 is the first digit."""
        v, cells = self.vocabulary, self.grid.cells
        conditionals = []
        images = torch.cartesian_prod(*[torch.arange(v)] * cells)
        logits = []
        for text in self.text[: sampling.streams]:
            hidden = self.model.teacher_forced(text.expand(len(images), -1), images, self.grid.rows, self.grid.columns)
            logits.append(self.model.head(hidden))
        for cell in range(cells):
            first = slice(None, None, v ** (cells - cell))  # one image for each prefix of this length
            conditionals.append(distribution(torch.stack(logits)[:, first, cell].numpy(), sampling))
        return joint_distribution(conditionals)

    def sibling(self, seed: int) -> GridToy:
        """A draft model: a smaller transformer with random weights."""
        return replace(GridToy.random(str(self.grid), self.vocabulary, seed + 1, width=8), codebook=self.codebook)

    def drafts(self, kind: str, seed: int, count: int = 3) -> DraftNetwork:
        """Draft weights drawn at random."""
        return random_drafts(kind, self.width, seed, count)
