"""Probability that a draft from q is accepted where the target's distribution is p, under either exact rule."""

from __future__ import annotations

from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor

Rule = Callable[[Float[Tensor, "*N V"], Float[Tensor, "*N V"]], Float[Tensor, "*N"]]  # of p and q


def by_rejection(p: Float[Tensor, "*N V"], q: Float[Tensor, "*N V"]) -> Float[Tensor, "*N"]:
    """sum_v min(p(v), q(v)) (Leviathan et al., 2023, theorem 3.5)."""
    return p.minimum(q).sum(-1)


def by_coupling(p: Float[Tensor, "*N V"], q: Float[Tensor, "*N V"]) -> Float[Tensor, "*N"]:
    """P(argmax(log p + g) = argmax(log q + g)) for one Gumbel noise g: sum_i 1 / sum_j max(p_j / p_i, q_j / q_i).

    (Daliri et al., 2024.) The inner sum takes p_j / p_i for the tokens j with a greater ratio p_j / q_j than token i,
    q_j / q_i for the others: with the tokens sorted by that ratio it is two running sums, V log V instead of V^2.
    """
    p, q = p.double(), q.double()
    order = (p / q.clamp(min=1e-300)).argsort(dim=-1, descending=True)
    p, q = p.gather(-1, order), q.gather(-1, order)
    before = p.cumsum(-1) - p
    behind = q.flip(-1).cumsum(-1).flip(-1)  # token i itself is here: its own term is 1
    # 1 / (before / p + behind / q), without a division by a probability of 0
    return (p * q / (before * q + behind * p).clamp(min=1e-300)).sum(-1)


RULES: dict[str, Rule] = {"rejection": by_rejection, "coupled": by_coupling}
