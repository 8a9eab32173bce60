"""The same model, the same data, the same recipe: what is stored is taken up only where all of it is the same.

A target's own `fingerprint` covers what drafts need to run. A target whose blocks alone were trained further has the
same one, but draws other images and has other states: work that depends on them goes by `identity`.
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
PLACE = {"_name_or_path", "transformers_version", "dtype", "torch_dtype"}  # of a configuration: not what it computes


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


def identity(target: Target) -> str:
    """The fingerprint, and a hash of all weights, configurations and tokenizers, the same on every device.

    Of a target that is split over processes all must ask together: each weight is put together in turn.
    """
    networks, inner = target.networks, target.transformer
    # 0.1.0 read the configuration of a transformer inside another network four times: names of stored files go by it
    again = () if inner is None or inner in networks else (inner,) * 4
    digest = hashlib.sha256()
    for text in [*map(_configuration, (*networks, *again)), *_tokenizers(target)]:
        digest.update(text.encode())
    return f"{target.fingerprint}-{_of_weights(networks, digest)}"


def weights_digest(*found: nn.Module) -> str:
    """Hash of name, shape, type and every number of all weights of networks, the same on every device."""
    return _of_weights(found, hashlib.sha256())


def drafts_digest(drafts: Sequence[nn.Module]) -> str:
    """Hash of draft weights: images of relaxed methods hang on them.

    Unlike `weights_digest` it is the same in every type that holds the numbers. The formula is that of 0.1.0: tables of
    results and folders of stored images carry its values.
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
    """Every parameter and every buffer that is saved, once, in an order that the class decides."""
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
    """Settings of a network that its weights do not show, such as the number of its heads."""
    config: Any = getattr(network, "config", None)
    if is_dataclass(config) and not isinstance(config, type):
        return json.dumps(asdict(config), sort_keys=True, default=str)
    if not hasattr(config, "to_diff_dict"):
        return ""
    return json.dumps(_without_place(config.to_diff_dict()), sort_keys=True, default=str)


def _without_place(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _without_place(inner) for key, inner in value.items() if key not in PLACE}
    return value


def _tokenizers(target: Target) -> Iterator[str]:
    """The tokenizers of prompts, as they are saved, but for what a call leaves in them."""
    for part in vars(target).values():
        for holder in (part, getattr(part, "tokenizer", None)):
            tokenizer: Any = getattr(holder, "backend_tokenizer", holder)
            if hasattr(tokenizer, "to_str"):
                yield json.dumps(json.loads(tokenizer.to_str()) | {"truncation": None, "padding": None})


def facts_digest(facts: Mapping[str, object] | Sequence[object], data: bytes = b"") -> str:
    """Hash of what a stored thing depends on, for its name.

    Args:
        facts: JSON values, or what `str` makes one of.
        data: what is too large for them.
    """
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode() + data).hexdigest()[:16]


def check_same(facts: Mapping[str, object], stored: object, where: object, advice: str) -> None:
    """Refuse to take up what is stored if it is of another model, data or recipe.

    Args:
        facts: what it should depend on: JSON values by name.
        stored: the same, as it was written with what is stored.
        where: for the message.
        advice: for the message.

    Raises:
        BadInput: something differs; the first difference is named.
    """
    if not isinstance(stored, dict):
        raise BadInput("what does not say what it was made from", "what this version writes", advice, where)
    expected = json.loads(json.dumps(facts))
    for name in {**expected, **stored}:
        if name not in expected or name not in stored or stored[name] != expected[name]:
            here, there = (shown(values[name]) if name in values else "none" for values in (expected, stored))
            raise BadInput(f"{name} {here}", f"{there}, as what is kept there", advice, where)
