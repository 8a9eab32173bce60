"""Distance of finished images from the target's distribution: log-likelihood gap, entropy and calibration.

One teacher-forced pass per image gives the target's distribution p at every cell, with guidance and temperature but
without top-k and top-p. Under AR, surprisal minus entropy of p is 0 on average, and the randomised probability integral
transform (PIT; Rosenblatt, 1952; Smith, 1985) is uniform on (0, 1), independently over all cells.

| variable | meaning |
|---|---|
| `surprisal` | -log p(x), x the token of the cell |
| `entropy` | -sum_v p(v) log p(v) |
| `pit` | sum of p(v) over v likelier than x, plus u p(x), u uniform |
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from jaxtyping import Float, Int
from torch import Tensor

from spatialspec.core.errors import BadInput
from spatialspec.core.grid import Grid, Layout
from spatialspec.core.interfaces import Session
from spatialspec.core.noise import Noise, Purpose
from spatialspec.core.proposal import Proposal
from spatialspec.core.sampling import Sampling
from spatialspec.core.state import State

TIE = 1e-4  # two scores log p + g at most this far apart may swap places by rounding in fp32


class Scorer(Protocol):
    """Interface of scoring: a target, or an audit environment."""

    @property
    def vocabulary(self) -> int:
        """Number of image tokens V."""
        ...

    def layout(self, grid: Grid) -> Layout:
        """All cells that are drawn for an image of a grid."""
        ...

    def session(self, prompts: Sequence[str], negatives: Sequence[str], sampling: Sampling, grid: Grid) -> Session:
        """Start images, one per prompt."""
        ...


@dataclass(frozen=True)
class Drawn:
    """A finished image and its request.

    Attributes:
        prompt: of the conditional stream.
        negative: of the unconditional stream.
        sampling: the method's own, top-k and top-p included.
        grid: of the image.
        seed: of this image.
        tokens: in drawing order, one for each cell.
    """

    prompt: str
    negative: str
    sampling: Sampling
    grid: Grid
    seed: int
    tokens: tuple[int, ...]


@dataclass(frozen=True)
class Cells:
    """Figures of the token of every cell under p, in float64, in nats.

    Attributes:
        surprisal: -log p(token), at least 0.
        entropy: of p, 0 to log V.
        pit: randomised probability integral transform, 0 to 1.
    """

    surprisal: Float[Tensor, "cells"]
    entropy: Float[Tensor, "cells"]
    pit: Float[Tensor, "cells"]


@dataclass(frozen=True)
class Distance:
    """The three distances of some images, over all their cells.

    Attributes:
        likelihood_gap: mean surprisal minus mean entropy, nats per cell; AR: 0, mode-seeking decoders: below 0.
        entropy: mean entropy of p along these images, nats per cell; compare it with AR's.
        pit_ks: Kolmogorov-Smirnov distance of the transforms from uniform, 0 to 1; AR: 0 up to sampling noise.
    """

    likelihood_gap: float
    entropy: float
    pit_ks: float


def scores(target: Scorer, image: Drawn, cells: int) -> Float[Tensor, "G cells V"]:
    """Logits of both streams for the first `cells` cells, each after the image's own tokens, in one pass."""
    session = target.session([image.prompt], [image.negative], image.sampling, image.grid)
    chain = Proposal.chain(0, list(image.tokens[: cells - 1]))  # slot i of the pass outputs p of cell i
    return session.score([State(target.layout(image.grid))], [chain])[0].logits


def weigh(p: Float[Tensor, "cells V"], tokens: Int[Tensor, "cells"], u: Float[Tensor, "cells"]) -> Cells:
    """Surprisal, entropy and PIT of one token per distribution.

    Args:
        p: distributions, each sums to one.
        tokens: chosen tokens, 0 to V - 1.
        u: uniform numbers in (0, 1), independent of the tokens.

    Returns:
        The three figures of every cell. Equally likely tokens are ordered by their number, so that the transform is
        uniform under AR even if p has ties.
    """
    p = p.double()
    log_p = p.clamp_min(torch.finfo(p.dtype).tiny).log()
    chosen = tokens[:, None]
    mass = p.gather(-1, chosen)
    before = torch.arange(p.shape[-1], device=p.device) < chosen
    likelier = (p > mass) | ((p == mass) & before)
    pit = (p * likelier).sum(-1) + u.double() * mass[:, 0]
    return Cells(-log_p.gather(-1, chosen)[:, 0], -(p * log_p).sum(-1), pit.clamp(0.0, 1.0))


@torch.inference_mode()
def measure(target: Scorer, image: Drawn) -> Cells | None:
    """Score a finished image under the target, in one pass; None at temperature 0, where AR does not sample.

    Raises:
        BadInput: the image is not finished.
    """
    n = target.layout(image.grid).cells
    if len(image.tokens) != n:
        raise BadInput(f"{len(image.tokens)} tokens", f"the {n} of a finished image")
    if image.sampling.greedy:
        return None
    p = image.sampling.unfiltered.distribution(scores(target, image, n).double())
    noise = Noise(image.seed, n, target.vocabulary, p.device)
    u = noise.uniform(Purpose.ANALYSIS, 0, list(range(n)), [0] * n)
    return weigh(p, torch.tensor(image.tokens, device=p.device), u)


def ks(values: Float[Tensor, "n"]) -> float:
    """Kolmogorov-Smirnov distance of n >= 1 values from uniform on (0, 1)."""
    x, n = values.double().sort().values, len(values)
    steps = torch.arange(1, n + 1, device=x.device, dtype=x.dtype) / n
    return float(torch.maximum(steps - x, x - steps + 1 / n).max())


def distance(images: Sequence[Cells | None]) -> Distance | None:
    """Distances over all cells of some images; None if undefined."""
    cells = [image for image in images if image is not None]
    if not cells:
        return None
    surprisal = torch.cat([c.surprisal for c in cells]).mean()
    entropy = torch.cat([c.entropy for c in cells]).mean()
    return Distance(float(surprisal - entropy), float(entropy), ks(torch.cat([c.pit for c in cells])))


def first_divergence(a: Sequence[int], b: Sequence[int]) -> int | None:
    """First cell in which two images of one grid differ, or None."""
    return next((cell for cell, (x, y) in enumerate(zip(a, b, strict=True)) if x != y), None)


def lead(logits: Float[Tensor, "G V"], sampling: Sampling, cells: int, seed: int, cell: int) -> float:
    """Difference between the best and second best token of a cell, in log p + g; at temperature 0 in log p.

    Args:
        logits: of the cell, after the image's own tokens.
        sampling: of the image, top-k and top-p included.
        cells: of the image.
        seed: of the image; g is its Gumbel noise.
        cell: in drawing order.
    """
    if sampling.greedy:
        scored = replace(sampling.unfiltered, temperature=1.0).distribution(logits).log()
    else:
        noise = Noise(seed, cells, logits.shape[-1], logits.device)
        scored = sampling.distribution(logits).log() + noise.gumbel([cell])[0]
    first, second = scored.topk(2).values.tolist()
    return float(first - second)


@torch.inference_mode()
def explained(target: Scorer, reference: Drawn, tokens: Sequence[int]) -> bool:
    """Whether an image equals AR's, or first differs from it at a tie: AR's token leads by at most TIE.

    Args:
        target: the target of both images.
        reference: AR's image.
        tokens: of the other image, drawn with the same prompt, sampling and seed.
    """
    cell = first_divergence(reference.tokens, tokens)
    if cell is None:
        return True
    logits = scores(target, reference, cell + 1)[:, -1]
    return lead(logits, reference.sampling, len(reference.tokens), reference.seed, cell) <= TIE
