"""Seconds of a pass of the loop by its width: the curve T that `--budget auto` follows.

Images that are half drawn read drafts that guess nothing: the pass scores and verifies them like any, and commits
nothing, so that all passes see a cache of the same length. Drafting takes no time here. Widths take turns, and T is the
median of each.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from spatialspec.core.interfaces import Drafter, Target, Verifier
from spatialspec.core.proposal import ROOT, Proposal
from spatialspec.core.state import State
from spatialspec.core.step import Scores, Verdict
from spatialspec.generation import assemble, steps
from spatialspec.methods.ar import METHOD as AR
from spatialspec.request import Request

WIDTHS = (1, 2, 4, 8, 12, 16, 20, 24, 28, 32, 40, 48, 56, 64, 80, 96, 128, 192, 256, 384, 513)
DEAREST = 8.0  # times T(1): wider passes are left out
SECONDS, ROUNDS = 2.0, (3, 9)  # of the measurement: it ends after these seconds, but not before 3 rounds


@dataclass(frozen=True)
class PassTime:
    """Seconds of a pass by its slots, of every image of a batch.

    Attributes:
        seconds: slots -> seconds, at least one point, in ascending order of slots.
    """

    seconds: Mapping[int, float]

    def __call__(self, slots: float) -> float:
        """T(slots), linear between points and constant outside of them."""
        return float(np.interp(slots, [*self.seconds], [*self.seconds.values()]))


class _Blank(Drafter):
    """Drafts `nodes` tokens that mean nothing: chains up to the last cell, side by side."""

    def __init__(self, vocabulary: int) -> None:
        self.vocabulary, self.nodes = vocabulary, 0

    def propose(self, state: State) -> Proposal:
        """As many nodes as there may be."""
        proposal, left, parent = Proposal(), state.layout.cells - state.frontier, ROOT
        for number in range(min(self.nodes, left * self.vocabulary)):
            chain, depth = divmod(number, left)
            parent = proposal.add(state.frontier + depth, chain, parent if depth else ROOT)
        return proposal


class _Uncommitted(Verifier):
    """A verifier that does its work and commits nothing."""

    def __init__(self, verifier: Verifier) -> None:
        self.verifier, self.ranks = verifier, verifier.ranks

    def draw(
        self, q: Float[Tensor, "Q V"], indices: Sequence[int], cells: Sequence[int], pass_index: int
    ) -> Int[Tensor, "N"]:
        """See :meth:`Verifier.draw`."""
        return self.verifier.draw(q, indices, cells, pass_index)

    def verify(self, proposal: Proposal, scores: Scores, state: State) -> Verdict:
        """See :meth:`Verifier.verify`."""
        return Verdict(refined=self.verifier.verify(proposal, scores, state).refined)


def measure_passes(
    target: Target,
    request: Request,
    report: Callable[[str, int], object],
    widths: Sequence[int] = WIDTHS,
) -> PassTime:
    """Time passes of a batch.

    Args:
        target: frozen AR model.
        request: the batch; its prompts are read.
        report: called before every pass, as `report(task, 0)`; it may raise.
        widths: slots of the passes, ascending, the first is 1; those behind one that takes `DEAREST` times as long as
            the first are left out.
    """
    half = target.layout(request.grid).cells // 2
    images = assemble(target, (), AR, replace(request, written=[[0] * half] * len(request.prompts)))
    blank = _Blank(target.vocabulary)
    for image in images:
        image.drafter, image.verifier = blank, _Uncommitted(image.verifier)
    passes = steps(target, (), request.session(target), images)

    def seconds_of(width: int) -> float:
        report(f"timing passes of {width} slots", 0)
        blank.nodes, start = width - 1, time.perf_counter()
        for _ in images:  # the loop yields once for each
            next(passes)
        return time.perf_counter() - start

    for _ in range(2):  # reads the prompt and the first half, then warms up
        narrow = seconds_of(1)
    times: dict[int, list[float]] = {}
    start = time.perf_counter()
    for width in widths:
        seconds = seconds_of(width)
        if seconds > DEAREST * narrow:  # the first pass of a shape may capture it, or compile
            seconds = seconds_of(width)
        times[width] = [seconds]
        narrow = min(narrow, *times[1])
        if times[width][0] > DEAREST * narrow:
            break
    for done in range(1, ROUNDS[1]):
        if done >= ROUNDS[0] and time.perf_counter() - start > SECONDS:
            break
        for width, measured in times.items():
            measured.append(seconds_of(width))
    return PassTime(dict(zip(times, rising([median(measured) for measured in times.values()]), strict=True)))


def rising(values: Sequence[float]) -> list[float]:
    """The closest values, by least squares, that never fall: neighbours that do are replaced by their mean."""
    blocks: list[tuple[float, int]] = []  # mean and count
    for value in values:
        count = 1
        while blocks and blocks[-1][0] > value:
            mean, before = blocks.pop()
            value, count = (mean * before + value * count) / (before + count), before + count
        blocks.append((value, count))
    return [mean for mean, count in blocks for _ in range(count)]
