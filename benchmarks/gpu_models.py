"""Random models at the sizes of published ones, for timing: the cost of a pass does not depend on the weights.

Blocks are those of transformers, run as our targets run them. Embedding and output layer of image tokens are one matrix
each. Without transformers the blocks are LlamaGen's, of this package, with as many heads of keys as of queries.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn

from spatialspec.core.grid import Grid
from spatialspec.core.sampling import Sampling
from spatialspec.targets.engine import Prompt
from spatialspec.targets.grid_engine import GridEngine
from spatialspec.targets.llamagen.transformer import LlamaGenConfig, LlamaGenTransformer
from spatialspec.targets.session import TargetSession

TRANSFORMERS = find_spec("transformers") is not None
VQ = dict(
    base_channels=32, channel_multiplier=[1, 1], num_res_blocks=1, num_embeddings=4, embed_dim=4, latent_channels=4,
    resolution=8,
)  # fmt: skip
WORDS = 64  # text tokens: what transformers embeds is not timed
CODE = 8  # numbers of a code vector


@dataclass(frozen=True)
class Model:
    """Sizes of a published model.

    Attributes:
        name: of the model.
        blocks: model type in transformers, configuration and class.
        width, inner, layers, heads, shared: of the blocks; `shared` heads of keys and values.
        codes: image tokens V.
        grid: of an image.
        sampling: of the published code; its guidance decides the number of streams.
        ends: forced tokens behind a row.
        prompt: tokens of a prompt.
    """

    name: str
    blocks: tuple[str, str, str]
    width: int
    inner: int
    layers: int
    heads: int
    shared: int
    codes: int
    grid: Grid
    sampling: Sampling
    ends: int = 0
    prompt: int = 40

    def tiny(self) -> Model:
        """The same kind in small, for tests."""
        small = replace(self, width=64, inner=96, layers=2, heads=4, codes=32, grid=Grid(8, 8), prompt=5)
        return replace(small, shared=4 if self.shared == self.heads else 2)

    @property
    def bytes(self) -> int:
        """Memory of the weights in bf16."""
        kept = 2 * self.width**2 * (1 + self.shared / self.heads) + 3 * self.width * self.inner
        return int(2 * (self.layers * kept + 2 * self.codes * self.width))


LLAMA = "llama", "LlamaConfig", "LlamaModel"
CHAMELEON = "chameleon", "ChameleonConfig", "ChameleonModel"
EMU3 = "emu3", "Emu3TextConfig", "Emu3TextModel"
GLM = "glm_image", "GlmImageTextConfig", "GlmImageTextModel"
JANUS_7B = "Janus-Pro-7B"
MODELS = (  # what is most worth knowing first; sizes of the published config.json files
    Model(JANUS_7B, LLAMA, 4096, 11008, 30, 32, 32, 16384, Grid(24, 24), Sampling(guidance=5.0)),
    Model("Emu3-8B", EMU3, 4096, 14336, 32, 32, 8, 32768, Grid(90, 90), Sampling(guidance=3.0, top_k=2048), 1),
    Model("GLM-Image AR", GLM, 4096, 13696, 40, 32, 2, 16512, Grid(32, 32), Sampling(temperature=0.9, top_p=0.75)),
    Model("Lumina-mGPT-7B", CHAMELEON, 4096, 11008, 32, 32, 32, 8192, Grid(48, 48), Sampling(3.0, top_k=2000), 1),
    Model("Janus-Pro-1B", LLAMA, 2048, 5632, 24, 16, 16, 16384, Grid(24, 24), Sampling(guidance=5.0)),
)


class Drawn:
    """What sessions and methods need of a target, besides its blocks; see `Target` and `Engine`."""

    causal_alone = False
    patch = 1

    def begin(self, model: Model, codebook: Tensor) -> None:
        """Set what does not depend on the blocks."""
        self.name, self.default, self.grid, self.layout = model.name, model.sampling, model.grid, lambda grid: grid
        self.codebook, self.prompt = codebook, model.prompt

    def session(
        self, prompts: Sequence[str], negatives: Sequence[str], sampling: Sampling, grid: Grid
    ) -> TargetSession:
        """Images behind prompts of the same few tokens."""
        engine: Any = self
        prefix = engine.embed(torch.arange(self.prompt, device=engine.device) % engine.vocabulary)
        return TargetSession(engine, [Prompt([prefix] * sampling.streams, grid) for _ in prompts])


def random_target(model: Model, device: torch.device, dtype: torch.dtype) -> Any:
    """A target with random weights, made on the device."""
    with made_on(device, dtype):
        return _of_transformers(model) if TRANSFORMERS else RandomGrid(model)


def _of_transformers(model: Model) -> Any:
    from spatialspec.targets.language_decoder import LanguageDecoder
    from spatialspec.targets.language_target import LanguageTarget

    class RandomLanguage(Drawn):
        """Around a decoder of transformers."""

        cache, run, norm = LanguageTarget.cache, LanguageTarget.run, LanguageTarget.norm
        runner, rotary_positions = LanguageTarget.runner, LanguageTarget.rotary_positions

        def __init__(self) -> None:
            kind, config, network = model.blocks
            module = import_module(f"transformers.models.{kind}.modeling_{kind}")
            sizes: dict[str, Any] = dict(
                vocab_size=WORDS, hidden_size=model.width, intermediate_size=model.inner,
                num_hidden_layers=model.layers, num_attention_heads=model.heads, num_key_value_heads=model.shared,
                pad_token_id=0, bos_token_id=1, eos_token_id=2,
                max_position_embeddings=16384,
            )  # fmt: skip
            if kind == "chameleon":
                sizes |= {"vq_config": VQ, "vocabulary_map": {"<image>": 0}}
            if kind == "glm_image":  # rotates half of each head, in sections for its three axes
                pairs = model.width // model.heads // 4
                sections = [pairs // 4, (pairs - pairs // 4) // 2]
                sizes["rope_parameters"] = {
                    "rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5,
                    "mrope_section": [*sections, pairs - sum(sections)],
                }  # fmt: skip
            self.model = getattr(module, network)(getattr(module, config)(**sizes)).eval().requires_grad_(False)
            self.model.set_attn_implementation("sdpa")
            self.decoder, self.transformer = LanguageDecoder(self.model), self.model
            self.table, self.rows = (torch.randn(model.codes, model.width) / model.width**0.5 for _ in range(2))
            self.networks, self.vocabulary = (self.model,), model.codes
            self.device, self.dtype = self.rows.device, self.rows.dtype
            self.width, self.depth = model.width, model.layers
            self.forced, self.between = self.table[: model.ends], self.table[:0]
            self.begin(model, torch.randn(model.codes, CODE))

        def embed(self, tokens: Tensor) -> Tensor:
            return nn.functional.embedding(tokens, self.table)

        def output(self, states: Tensor) -> Tensor:
            return nn.functional.linear(states, self.rows)

    return RandomLanguage()


class RandomGrid(Drawn, GridEngine):
    """Around LlamaGen's blocks."""

    def __init__(self, model: Model) -> None:
        sizes = LlamaGenConfig(
            kind="class", codes=model.codes, width=model.width, layers=model.layers, heads=model.heads,
            mlp_width=model.inner, rows=model.grid.rows, columns=model.grid.columns, classes=1,
        )  # fmt: skip
        self.model = LlamaGenTransformer(sizes).eval().requires_grad_(False)
        self.begin(model, torch.randn(model.codes, CODE))


@contextmanager
def made_on(device: torch.device, dtype: torch.dtype) -> Iterator[None]:
    """Make all new tensors on a device, in a dtype, from a fixed seed."""
    usual = torch.get_default_dtype()
    torch.manual_seed(0)
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            yield
    finally:
        torch.set_default_dtype(usual)
