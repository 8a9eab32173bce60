"""Which target it is: a hash of all its weights, for work that is kept on disk and depends on every one of them.

A target's own `fingerprint` covers what drafts need to run. A target whose blocks alone were trained further has the
same one, but draws other pictures and has other states.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from spatialspec.core.protocols import Target

SAMPLES = 1024  # numbers of a tensor that are hashed


def fingerprint(weights: Iterable[Tensor]) -> str:
    """Hash of the weights that drafts depend on, rounded to bfloat16, as they are stored in a file.

    A target that is loaded from weights in a smaller type has other numbers, and its fingerprint has to come from the
    file: small ones and large ones do not survive float16, and what was rounded twice is not what was rounded once.
    """
    digest = hashlib.sha256()
    for tensor in weights:
        digest.update(tensor.detach().to("cpu", torch.bfloat16).view(torch.int16).numpy().tobytes())
    return digest.hexdigest()[:16]


def sign_fingerprint(weights: Iterable[Tensor]) -> str:
    """Hash of the signs of weights, for a model that somebody else has loaded, in a type that its file may not have.

    It is the same in every floating-point type, whatever the file's, even where numbers became zero or infinite: the
    sign is all that rounding never changes. Two models differ in half of them, and a model that was trained further in
    some of the small numbers.
    """
    digest = hashlib.sha256()
    for tensor in weights:
        digest.update(str(tuple(tensor.shape)).encode())
        digest.update(np.packbits(tensor.detach().signbit().cpu().numpy()).tobytes())
    return digest.hexdigest()[:16]


def modules(part: object) -> list[nn.Module]:
    """The networks among the attributes of an object."""
    return [value for value in vars(part).values() if isinstance(value, nn.Module)]


def networks(target: Target) -> list[nn.Module]:
    """The networks that a target is made of, those of its decoder among them; none for a target that is a table."""
    return [*modules(target), *(modules(target.decoder) if hasattr(target, "decoder") else ())]


@torch.no_grad()
def identity(target: Target) -> str:
    """The fingerprint, and a hash of name, shape, type and some numbers of every weight, the same on every device.

    Of a target that is split over processes all must ask together: each weight is put together in turn.
    """
    digest = hashlib.sha256()
    for name, weight in weights(target):
        whole = weight.full_tensor() if isinstance(weight, DTensor) else weight
        numbers = whole.detach().reshape(-1)
        stride = numbers.numel() // SAMPLES | 1  # odd: not the same column of every row
        digest.update(f"{name} {tuple(whole.shape)} {whole.dtype}".encode())
        digest.update(numbers[::stride].to("cpu", torch.float32).numpy().tobytes())
    return f"{target.fingerprint}-{digest.hexdigest()[:16]}"


def weights(target: Target) -> Iterator[tuple[str, Tensor]]:
    """Every parameter and every buffer that is saved, once, in an order that the class decides."""
    seen: set[int] = set()
    for module in networks(target):
        for name, weight in module.state_dict(keep_vars=True).items():
            if isinstance(weight, Tensor) and id(weight) not in seen:
                seen.add(id(weight))
                yield name, weight


@torch.no_grad()
def damaged(weights: Iterable[tuple[str, Tensor]]) -> str | None:
    """The name of the first weight with a number that is not finite."""
    return next((name for name, weight in weights if not bool(weight.isfinite().all())), None)
