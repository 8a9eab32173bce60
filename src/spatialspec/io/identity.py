"""Identity of models, data and recipes: stored work is reused only where all of them are the same.

A target's `fingerprint` covers what drafts need to run. A target of which only the layers were trained further has the
same fingerprint, but other images and states. Work that depends on those is compared by `identity`.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from spatialspec.core.errors import BadInput, shown
from spatialspec.core.interfaces import Target

PIECE = 1 << 24  # numbers that are hashed at once
IGNORED = {"_name_or_path", "transformers_version", "dtype", "torch_dtype"}  # keys without influence on the output


def fingerprint(weights: Iterable[Tensor]) -> str:
    """Hash of the weights that drafts depend on, rounded to bfloat16, as they are stored in a file.

    Compute it from the weights in the file, not from a model that was loaded in a smaller type: float16 loses very
    small and very large numbers, and rounding twice differs from rounding once.
    """
    digest = hashlib.sha256()
    for tensor in weights:
        digest.update(tensor.detach().to("cpu", torch.bfloat16).view(torch.int16).numpy().tobytes())
    return digest.hexdigest()[:16]


def sign_fingerprint(weights: Iterable[Tensor]) -> str:
    """Hash of the signs of weights, for a loaded model whose type may differ from that of its file.

    It is the same in every floating-point type, even where numbers became zero or infinite: rounding never changes a
    sign. Two models differ in about half of the signs; further training changes the signs of some small numbers.
    """
    digest = hashlib.sha256()
    for tensor in weights:
        digest.update(str(tuple(tensor.shape)).encode())
        digest.update(np.packbits(tensor.detach().signbit().cpu().numpy()).tobytes())
    return digest.hexdigest()[:16]


def identity(target: Target) -> str:
    """The fingerprint, and a hash of all weights, configurations and tokenizers, the same on every device.

    For a target that is split over processes, all of them must call this together: it gathers each weight.
    """
    networks, inner = target.networks, target.transformer
    # 0.1.0 hashed the configuration of a transformer inside another network four times; stored names depend on it
    again = () if inner is None or inner in networks else (inner,) * 4
    digest = hashlib.sha256()
    for text in [*map(_configuration, (*networks, *again)), *_tokenizers(target)]:
        digest.update(text.encode())
    return f"{target.fingerprint}-{_of_weights(networks, digest)}"


def weights_digest(*networks: nn.Module) -> str:
    """Hash of name, shape, type and every number of all weights of networks, the same on every device."""
    return _of_weights(networks, hashlib.sha256())


def drafts_digest(drafts: Sequence[nn.Module]) -> str:
    """Hash of draft weights, which images of relaxed methods depend on.

    Unlike `weights_digest`, it is the same in every dtype that holds the numbers. The formula is that of 0.1.0: tables
    of results and folders of stored images contain its values.
    """
    digest = hashlib.sha256()
    for module in drafts:
        for name, tensor in sorted(module.state_dict().items()):
            digest.update(name.encode())
            digest.update(tensor.detach().to("cpu", torch.float32).numpy().tobytes())
    return digest.hexdigest()[:16]


@torch.no_grad()
def _of_weights(networks: Sequence[nn.Module], digest: Any) -> str:
    split = sys.modules.get("torch.distributed.tensor")  # a large import, and nothing is split without it
    for name, weight in _weights(networks):
        whole = weight.full_tensor() if split is not None and isinstance(weight, split.DTensor) else weight
        digest.update(f"{name} {tuple(whole.shape)} {whole.dtype}".encode())
        for piece in whole.detach().reshape(-1).split(PIECE):
            digest.update(piece.cpu().view(torch.uint8).numpy())
    return digest.hexdigest()[:16]


def weights(target: Target) -> Iterator[tuple[str, Tensor]]:
    """Every parameter and every saved buffer, once, in an order that the class decides."""
    return _weights(target.networks)


def _weights(networks: Sequence[nn.Module]) -> Iterator[tuple[str, Tensor]]:
    seen: set[int] = set()
    for module in networks:
        for name, weight in module.state_dict(keep_vars=True).items():
            if isinstance(weight, Tensor) and id(weight) not in seen:
                seen.add(id(weight))
                yield name, weight


@torch.no_grad()
def damaged(weights: Iterable[tuple[str, Tensor]]) -> str | None:
    """The name of the first weight with a number that is not finite."""
    return next((name for name, weight in weights if not bool(weight.isfinite().all())), None)


def _configuration(network: nn.Module) -> str:
    """Settings of a network that its weights do not determine, such as the number of heads."""
    config: Any = getattr(network, "config", None)
    if is_dataclass(config) and not isinstance(config, type):
        return json.dumps(asdict(config), sort_keys=True, default=str)
    if not hasattr(config, "to_diff_dict"):
        return ""
    return json.dumps(_without_ignored(config.to_diff_dict()), sort_keys=True, default=str)


def _without_ignored(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _without_ignored(inner) for key, inner in value.items() if key not in IGNORED}
    return value


def _tokenizers(target: Target) -> Iterator[str]:
    """The tokenizers of prompts, as they are saved, without the truncation and padding that a call sets."""
    for part in vars(target).values():
        for holder in (part, getattr(part, "tokenizer", None)):
            tokenizer: Any = getattr(holder, "backend_tokenizer", holder)
            if hasattr(tokenizer, "to_str"):
                yield json.dumps(json.loads(tokenizer.to_str()) | {"truncation": None, "padding": None})


def facts_digest(facts: Mapping[str, object] | Sequence[object], data: bytes = b"") -> str:
    """Hash of everything that a stored result depends on, for its file name.

    Args:
        facts: JSON values; other objects count by their `str`.
        data: large values, as bytes.
    """
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode() + data).hexdigest()[:16]


def check_same(facts: Mapping[str, object], stored: object, where: object, advice: str) -> None:
    """Refuse stored work of another model, other data or another recipe.

    Args:
        facts: what it should depend on: JSON values by name.
        stored: the facts that were saved with the work.
        where: for the message.
        advice: for the message.

    Raises:
        BadInput: something differs; the first difference is named.
    """
    if not isinstance(stored, dict):
        raise BadInput("stored work without its settings", "a file of this version", advice, where)
    expected = json.loads(json.dumps(facts))
    for name in {**expected, **stored}:
        if name not in expected or name not in stored or stored[name] != expected[name]:
            here, there = (shown(values[name]) if name in values else "none" for values in (expected, stored))
            raise BadInput(f"{name} {here}", f"{there}, as in the stored work", advice, where)
