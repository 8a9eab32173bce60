"""Objectives and acceptance against their formulas, written out."""

import math

import pytest
import torch

from spatialspec.core.noise import Noise
from spatialspec.drafts import objectives
from spatialspec.drafts.acceptance import by_coupling, by_rejection

MADE = torch.Generator().manual_seed(3)
LOGITS = 2 * torch.randn(4, 5, 7, generator=MADE, dtype=torch.float64)
P = (2 * torch.randn(4, 5, 7, generator=MADE, dtype=torch.float64)).softmax(-1)
TOKENS = torch.randint(7, (4, 5), generator=MADE)
Q = LOGITS.softmax(-1)


def mean(per_cell) -> float:
    cells = [(P[i, j].tolist(), Q[i, j].tolist(), int(TOKENS[i, j])) for i in range(4) for j in range(5)]
    return sum(per_cell(*cell) for cell in cells) / len(cells)


def test_objectives_are_their_formulas() -> None:
    def cross_entropy(p, q, x):
        return -math.log(q[x])

    def kl(p, q, x):
        return sum(a * (math.log(a) - math.log(b)) for a, b in zip(p, q, strict=True))

    def total_variation(p, q, x):
        return 1 - sum(min(a, b) for a, b in zip(p, q, strict=True))

    assert objectives.cross_entropy(LOGITS, TOKENS).item() == pytest.approx(mean(cross_entropy), rel=1e-9)
    assert objectives.kl(LOGITS, P).item() == pytest.approx(mean(kl), rel=1e-9)
    assert objectives.total_variation(LOGITS, P).item() == pytest.approx(mean(total_variation), rel=1e-9)
    a, b = LOGITS, 3 * P
    smooth = [0.5 * d * d if abs(d) < 1 else abs(d) - 0.5 for d in (a - b).flatten().tolist()]
    assert objectives.feature_regression(a, b).item() == pytest.approx(sum(smooth) / len(smooth), rel=1e-9)


def test_objectives_are_least_where_the_draft_is_the_target() -> None:
    for measure in (objectives.kl, objectives.total_variation):
        logits = LOGITS.clone().requires_grad_()
        assert measure(P.log(), P).item() == pytest.approx(0, abs=1e-9)
        before = measure(logits, P)
        before.backward()
        assert measure(logits.detach() - 0.1 * logits.grad, P) < before, "a step down the gradient"


def test_acceptance_by_rejection_is_one_minus_total_variation() -> None:
    assert by_rejection(P, Q).mean().item() == pytest.approx(1 - objectives.total_variation(LOGITS, P).item())


def test_acceptance_by_coupling_is_the_double_sum() -> None:
    for p, q in zip(P[0], Q[0], strict=True):
        double = sum(1 / torch.maximum(p / p[i], q / q[i]).sum() for i in range(7))
        assert by_coupling(p, q).item() == pytest.approx(double.item(), rel=1e-9)
    assert by_coupling(P, P).min().item() == pytest.approx(1)
    assert (by_coupling(P, Q) <= by_rejection(P, Q)).all()
    apart = torch.tensor([[0.5, 0.5, 0.0, 0.0], [0.0, 0.0, 0.3, 0.7]])
    assert by_coupling(apart[:1], apart[1:]).item() == 0
    half = torch.tensor([[0.5, 0.5, 0.0], [0.0, 0.5, 0.5]])
    assert by_coupling(half[:1], half[1:]).item() == pytest.approx(1 / 3), "1 / (0.5/0.5 + 0.5/0.5 + 0.5/0.5)"


def test_acceptance_by_coupling_is_how_often_coupled_tokens_agree() -> None:
    """40,000 draws: the standard error is 0.0025; 0.0125 is five of them, missed by chance once in 1.7 million."""
    gumbel = torch.cat([Noise(seed, 1999, 7).gumbel(list(range(2000))) for seed in range(20)])
    p, q = P[1, 1], Q[1, 1]
    same = ((p.log() + gumbel).argmax(-1) == (q.log() + gumbel).argmax(-1)).double().mean().item()
    assert by_coupling(p, q).item() == pytest.approx(same, abs=0.0125)
    assert abs(by_coupling(p, q) - by_rejection(p, q)) > 0.025, "too close to tell the two rules apart"
