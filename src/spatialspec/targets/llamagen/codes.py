"""Code prompts of Tar's AR-DTok (Han et al., arXiv 2506.18898): codes of TA-Tok, as Tar's language model writes them.

A prompt is any text with codes in it, such as `<I81><I60123>...`: 27 x 27, 13 x 13 or 9 x 9 of them, row by row.
TA-Tok's decoder turns them into features (`tatok.safetensors`), which AR-DTok's own linear map turns into its prefix.
The language model is not part of the target: it is a Qwen2, and transformers runs it.

    features = MLP(SigLIP2(E[code]))      E: the codebook behind its projections; positions of a 16 x 16 grid resized

The unconditional stream has features of zeros, as many as there are codes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isqrt
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from spatialspec.core.errors import BadInput, shown
from spatialspec.core.sizes import Count, Size
from spatialspec.io.tensors import load_module, read_shapes, write_tensors
from spatialspec.targets.llamagen.transformer import LlamaGenTransformer

FILE = "tatok.safetensors"
HEADS = 12  # of SigLIP2's configuration in transformers, which TA-Tok leaves as it is
CODE = re.compile(r"<I(\d{1,9})>")
MAKE = "make it with spatialspec convert csuhan/TA-Tok/ta_tok.pth FOLDER"


@dataclass(frozen=True)
class TATokSizes:
    """Sizes of TA-Tok's decoder, all of them in the shapes of its tensors.

    Attributes:
        codes: entries of its codebook.
        code_width: dimensions of a code.
        width, inner, layers: of the transformer; features have its width.
        places: positions of the transformer, a square number.
    """

    codes: Size
    code_width: Size
    width: Size
    inner: Size
    layers: Count
    places: Size

    @classmethod
    def of(cls, shapes: Mapping[str, tuple[int, ...]], where: Path) -> TATokSizes:
        """Sizes of the tensors of a file.

        Raises:
            BadInput: one that has a size is missing, or has another number of dimensions.
        """
        names = {
            "embedding.weight": 2,
            "siglip.encoder.layers.0.mlp.fc1.weight": 2,
            "siglip.embeddings.position_embedding.weight": 2,
        }
        for name, dimensions in names.items():
            if len(shapes.get(name, ())) != dimensions:
                raise BadInput(f"no {name}", "TA-Tok's decoder", MAKE, where)
        (codes, code_width), (inner, width), (places, _) = (shapes[name] for name in names)
        layers = 1 + max(int(m[1]) for name in shapes if (m := re.match(r"siglip\.encoder\.layers\.(\d{1,3})\.", name)))
        return cls(codes, code_width, width, inner, layers, places)


class TATokDecoder(nn.Module):
    """Codes -> features."""

    def __init__(self, sizes: TATokSizes) -> None:
        from transformers import Siglip2VisionConfig, Siglip2VisionModel

        super().__init__()
        s = self.config = sizes
        self.embedding = nn.Embedding(s.codes, s.code_width)
        config = Siglip2VisionConfig(
            hidden_size=s.width, intermediate_size=s.inner, num_hidden_layers=s.layers, num_attention_heads=HEADS,
            num_channels=s.code_width, patch_size=1, num_patches=s.places, vision_use_head=False,
        )  # fmt: skip
        self.siglip = Siglip2VisionModel(config)
        self.mlp = nn.Sequential(nn.Linear(s.width, s.width), nn.Tanh(), nn.Linear(s.width, s.width))

    def forward(self, codes: Int[Tensor, "P"]) -> Float[Tensor, "P c"]:
        """Features of a square of codes, row by row."""
        side = isqrt(len(codes))
        square, seen = codes.new_tensor([[side, side]]), codes.new_ones(1, len(codes))
        hidden = self.siglip(self.embedding(codes)[None], seen, square).last_hidden_state
        features: Tensor = self.mlp(hidden)[0]
        return features


class CodeCondition:
    """Prefix states from codes.

    Args:
        model: the transformer.
        decoder: TA-Tok's.

    Raises:
        BadInput: its features have another width.
    """

    known = ("<I0>",)  # a prompt that can be drawn, for checks

    def __init__(self, model: LlamaGenTransformer, decoder: TATokDecoder) -> None:
        self.map, self.longest, self.decoder = model.clip_proj, model.config.prefix, decoder
        width = self.map.in_features
        if decoder.config.width != width:
            raise BadInput(f"features of {decoder.config.width}", f"{width}", "convert its own TA-Tok", FILE)

    @classmethod
    def from_folder(cls, model: LlamaGenTransformer, folder: Path) -> CodeCondition:
        """Load TA-Tok's decoder, in fp32.

        Raises:
            BadInput: its file is missing, damaged or another's.
        """
        path = folder / FILE
        if not path.is_file():
            raise BadInput(f"no {FILE}", "TA-Tok's decoder of codes", MAKE, folder)
        sizes = TATokSizes.of(read_shapes(path, MAKE), path)
        decoder = load_module(lambda: TATokDecoder(sizes), path, path, model.clip_proj.weight.device, torch.float32)
        return cls(model, decoder.eval().requires_grad_(False))

    def save(self, folder: Path) -> None:
        """Write what `from_folder` reads."""
        tensors = {name: tensor.cpu().contiguous() for name, tensor in self.decoder.state_dict().items()}
        write_tensors(folder / FILE, tensors)

    def check(self, prompts: Sequence[str]) -> None:
        """Refuse text whose codes are no square, too many, or beyond the codebook.

        Raises:
            BadInput: there is such a prompt.
        """
        for prompt in prompts:
            codes = codes_of(prompt)
            if not codes or isqrt(len(codes)) ** 2 != len(codes) or len(codes) > self.longest:
                got, longest = f"a prompt of {len(codes)} codes", self.longest
                expected = f"a square number up to {longest} of codes such as <I7>, as Tar's language model writes them"
                raise BadInput(f"{got} ({shown(prompt)})", expected, "see docs/targets/tar.md")
            if max(codes) >= self.decoder.config.codes:
                raise BadInput(
                    f"code {max(codes)}", f"codes below {self.decoder.config.codes}", "it is another model's"
                )

    def __call__(self, images: Sequence[Sequence[str]]) -> list[list[Float[Tensor, "P d"]]]:
        """States of the prompts of every image, "" being features of zeros."""
        states = []
        for image in images:
            streams = [self._features(prompt) if prompt else None for prompt in image]
            zeros = torch.zeros_like(next(features for features in streams if features is not None))
            states.append([self.map(zeros if features is None else features) for features in streams])
        return states

    def _features(self, prompt: str) -> Float[Tensor, "P c"]:
        codes = torch.tensor(codes_of(prompt), device=self.map.weight.device)
        return self.decoder(codes).to(self.map.weight.dtype)


def codes_of(text: str) -> list[int]:
    """Codes in a text, in order; all else in it is not read."""
    return [int(code) for code in CODE.findall(text)]
