"""The rule of a verifier by rejection for one draft."""

import torch
from torch import Tensor

from spatialspec.methods.gsd import GSD
from spatialspec.methods.rejection import LEAST, Rejection, normalise


def masses(rule: Rejection, p: Tensor, q: Tensor, x: int) -> tuple[float, float]:
    """Of one draft."""
    above, below = rule.masses(p[None], q[None], torch.tensor([x]))
    return float(above), float(below)


def refuse(rule: Rejection, p: Tensor, q: Tensor, x: int) -> Tensor:
    """The distribution after one rejected draft."""
    return normalise(torch.maximum(rule.refuse(p[None], q[None], torch.tensor([x])), LEAST * p[None]))[0]


def group(rule: GSD, p: Tensor, x: int) -> list[int]:
    """The codes of one draft's group."""
    codes, members = rule.group(p[None], torch.tensor([x]))
    return sorted(codes[members].tolist())
