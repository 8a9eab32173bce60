"""The network of the scene judge: feature maps of a frozen EfficientNet-Lite0 and a small head that detects things.

As in CenterNet (Zhou et al., "Objects as Points", https://arxiv.org/abs/1904.07850): a heat map whose peaks are the
centres of things, and at every cell of it logits for concept and colour.

| variable | in the paper |
|---|---|
| heat | Y-hat, of one class here, as concepts have separate logits |
| STRIDE | R |
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from spatialspec.core.errors import BadInput
from spatialspec.quality.encoders import STAGES, load_efficientnet, resized, scaled
from spatialspec.quality.scenes.scene import COLOURS
from spatialspec.targets.images import unit

STRIDE = 8  # pixels a side of a cell
_ENDS = list(accumulate(stage[-1] for stage in STAGES))
TAPS = (_ENDS[2] - 1, _ENDS[4] - 1, _ENDS[5] - 1)
"""Blocks whose outputs are used: the last of stages 3, 5 and 6, at strides 8, 16 and 32."""
CHANNELS = STAGES[2][3] + STAGES[4][3] + STAGES[5][3] + 3
BATCH = 16

Maps = tuple[Tensor, ...]


@dataclass(frozen=True)
class SceneConfig:
    """Sizes and words of the scene judge.

    Attributes:
        concepts: that it distinguishes, at least 2.
        styles: drawing styles of its prompts; "" is none.
        side: pixels a side of its input, a multiple of 32.
        hidden: channels of the head.
    """

    concepts: tuple[str, ...]
    styles: tuple[str, ...]
    side: int = 128
    hidden: int = 96

    def __post_init__(self) -> None:
        """Refuse sizes out of range, and lists that are not of words."""
        for name, least in (("concepts", 2), ("styles", 1)):
            words = getattr(self, name)
            if (
                not isinstance(words, tuple)
                or not least <= len(words) <= 1000
                or not all(isinstance(word, str) for word in words)
                or len(set(words)) != len(words)
            ):
                raise BadInput(f"{words!r:.60}", f"{least} to 1000 different words", where=f"scene judge: {name}")
        for name, most, step in (("side", 512, 32), ("hidden", 1024, 1)):
            value = getattr(self, name)
            if type(value) is not int or not 1 <= value <= most or value % step:
                raise BadInput(f"{value!r}", f"a multiple of {step} up to {most}", where=f"scene judge: {name}")


@torch.no_grad()
def image_maps(pixels: UInt8[np.ndarray, "B H W 3"], side: int) -> Maps:
    """Input of the head, in float16: maps at strides 8, 16 and 32, and the colours at stride 8.

    Args:
        pixels: 0..255, of any size; resized to `side` with antialiased bilinear interpolation.
        side: a multiple of 32.

    Raises:
        NotInstalled: the package with the weights is not installed.
    """
    network, parts = load_efficientnet(), []
    for start in range(0, len(pixels), BATCH):
        x = resized(pixels[start : start + BATCH], side)
        levels, y = [], network.stem(scaled(x))
        for index in range(TAPS[-1] + 1):
            y = network.blocks[index](y)
            if index in TAPS:
                levels.append(y.half())
        parts.append((*levels, F.avg_pool2d(unit(x), STRIDE).half()))
    return tuple(torch.cat(level).contiguous() for level in zip(*parts, strict=True))


class SceneHead(nn.Module):
    """Maps -> heat, concept and colour at every cell.

    Attributes:
        config: sizes.
    """

    def __init__(self, config: SceneConfig, dropout: float = 0.0) -> None:
        super().__init__()
        self.config = config
        width = config.hidden
        self.norm = nn.BatchNorm2d(CHANNELS)
        self.enter = nn.Conv2d(CHANNELS, width, 1)
        self.dropout = nn.Dropout2d(dropout)
        self.look = nn.ModuleList(nn.Conv2d(width, width, 5, padding=2, groups=width) for _ in range(2))
        self.mix = nn.ModuleList(nn.Sequential(nn.GroupNorm(1, width), nn.Conv2d(width, width, 1)) for _ in range(2))
        self.leave = nn.Conv2d(width, 1 + len(config.concepts) + len(COLOURS), 1)
        with torch.no_grad():
            self.leave.bias[0] = -3.0  # type: ignore[index]  # few cells are the centre of a thing

    def forward(
        self, maps: Maps
    ) -> tuple[Float[Tensor, "B cells cells"], Float[Tensor, "B K cells cells"], Float[Tensor, "B C cells cells"]]:
        """Logits of heat, of K concepts and of C colours; cells = side / STRIDE."""
        cells = self.config.side // STRIDE
        levels = [
            level.float() if level.shape[-1] == cells else F.interpolate(level.float(), (cells, cells), mode="bilinear")
            for level in maps
        ]
        x = self.dropout(F.gelu(self.enter(self.norm(torch.cat(levels, 1)))))
        for look, mix in zip(self.look, self.mix, strict=True):
            x = x + F.gelu(mix(look(x)))
        heat, concepts, colours = self.leave(x).split((1, len(self.config.concepts), len(COLOURS)), 1)
        return heat[:, 0], concepts, colours
