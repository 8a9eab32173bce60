"""Small random decoders of transformers with prompts of several lengths, and what they say without any cache."""

from __future__ import annotations

import copy
from functools import cache, lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from transformers import ChameleonConfig, Emu3TextConfig, LlamaConfig
from transformers.models.chameleon.modeling_chameleon import ChameleonModel
from transformers.models.emu3.modeling_emu3 import Emu3TextModel
from transformers.models.llama.modeling_llama import LlamaModel

from spatialspec.core.grid import Grid, Layout
from spatialspec.targets.engine import Prompt
from spatialspec.targets.language_decoder import LanguageDecoder
from spatialspec.targets.language_target import LanguageTarget
from spatialspec.targets.session import TargetSession

CODES, WIDTH, WORDS = 13, 32, 7  # text tokens are 0 .. 6, row ends 7 and 8, image token k is 9 + k
FIRST = 9
LENGTHS = (5, 2, 3, 3, 1, 6)  # of the prompts of image 0 (conditional, unconditional), image 1, image 2
SIZES = dict(
    vocab_size=FIRST + CODES, hidden_size=WIDTH, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
    num_key_value_heads=2, max_position_embeddings=128, initializer_range=0.15, attention_dropout=0.0,
    pad_token_id=0,
)  # fmt: skip
VQ = dict(
    base_channels=32, channel_multiplier=[1, 1], num_res_blocks=1, num_embeddings=4, embed_dim=4, latent_channels=4,
    resolution=8,
)  # fmt: skip


@cache
def decoder_of(kind: str, attention: str) -> nn.Module:
    """One of three architectures, the same weights every time."""
    torch.manual_seed(0)
    made: Any
    if kind == "llama":
        made = LlamaModel(LlamaConfig(**SIZES))
    elif kind == "emu3":
        made = Emu3TextModel(Emu3TextConfig(**SIZES))
    else:
        made = ChameleonModel(ChameleonConfig(**SIZES, vq_config=VQ, vocabulary_map={"<image>": 0}, swin_norm=True))
    made.set_attn_implementation(attention)
    return made.eval().requires_grad_(False)


class Toy:
    """What a session needs, around one decoder."""

    vocabulary = CODES
    forced: Tensor
    between: Tensor
    causal_alone, runner = False, LanguageTarget.runner
    cache, run, rotary_positions = LanguageTarget.cache, LanguageTarget.run, LanguageTarget.rotary_positions

    def __init__(self, kind: str, attention: str = "sdpa") -> None:
        self.model = decoder_of(kind, attention)
        self.networks = (self.model,)
        self.decoder = LanguageDecoder(self.model)
        self.device = torch.device("cpu")
        self.table = 0.3 * torch.randn(CODES, WIDTH, generator=torch.Generator().manual_seed(1))

    def embed(self, tokens: Tensor) -> Tensor:
        return self.decoder.embedding(tokens + FIRST)

    def norm(self, hidden: Tensor) -> Tensor:
        return self.decoder.norm(hidden)

    def output(self, states: Tensor) -> Tensor:
        return states @ self.table.T

    def prompt(self, row: int) -> Tensor:
        ids = torch.randint(WORDS, (LENGTHS[row],), generator=torch.Generator().manual_seed(row))
        return self.decoder.embedding(ids)

    def row_end(self, forced: int) -> Tensor:
        return self.decoder.embedding(torch.arange(WORDS, WORDS + forced))

    def grid_end(self) -> Tensor:
        """Three tokens, one of them a row end."""
        return self.decoder.embedding(torch.tensor([3, WORDS, 5]))

    def behind(self, grid: Grid, index: int, forced: int) -> Tensor:
        """Embedded tokens that follow a cell of a grid that is not the last, or not its last cell."""
        if index + 1 == grid.cells:
            return self.grid_end()
        return self.row_end(forced if (index + 1) % grid.columns == 0 else 0)

    def session(self, layout: Layout, images: list[int], forced: int) -> TargetSession:
        engine = copy.copy(self)
        engine.forced, engine.between = self.row_end(forced), self.grid_end()[: 3 * (len(layout.grids) > 1)]
        return TargetSession(engine, [Prompt([self.prompt(2 * i), self.prompt(2 * i + 1)], layout) for i in images])

    def sequence(self, row: int, tokens: tuple[int, ...], layout: Layout, forced: int) -> Tensor:
        """Embedded prompt and tokens with all row and grid ends, as the model was trained on it."""
        parts, left = [self.prompt(row)], list(tokens)
        for grid in layout.grids:
            for cell in range(grid.cells):
                if not left:
                    return torch.cat(parts)
                parts += [self.embed(torch.tensor([left.pop(0)])), self.behind(grid, cell, forced)]
        return torch.cat(parts)


@lru_cache(maxsize=4000)
def after(kind: str, attention: str, row: int, tokens: tuple[int, ...], layout: Layout, forced: int) -> Tensor:
    """The pre-norm state that outputs the cell behind `tokens`: the whole sequence, one row, no cache, no mask."""
    toy, seen = Toy(kind, attention), []
    hook = toy.model.norm.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    try:
        with torch.no_grad():
            toy.model(inputs_embeds=toy.sequence(row, tokens, layout, forced)[None], use_cache=False)
    finally:
        hook.remove()
    return seen[0][0, -1]
