"""Compares scores of one pass over a tree with AR's passes of one cell, on this device and in this dtype.

AR draws the first cells one by one; its scores are the reference. One pass then reads a chain of these cells, another a
tree behind it: AR's tokens among wrong ones, across the end of a row. A path of the tree is committed, and the next
cell is scored. Along AR's tokens the scores must be AR's. A wrong branch is compared with a separate session. For a
language model, the plain sequence of prompt, cells and row ends is also run without trees and sessions.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from spatialspec.core.errors import BadInput, overflow
from spatialspec.core.interfaces import Session, Target
from spatialspec.core.proposal import ROOT, Proposal
from spatialspec.core.state import State
from spatialspec.core.step import Step, Verdict
from spatialspec.doctor.report import Finding, failed, ok, warning
from spatialspec.doctor.rows import Rows
from spatialspec.measure.documents import dtype_name
from spatialspec.request import Request
from spatialspec.targets.cache import Cache
from spatialspec.targets.engine import PassInputs
from spatialspec.targets.language_target import LanguageTarget

DEPTH = 5
# Largest difference of two logits, relative to the largest logit: rounding errors of the dtype, over many layers.
TOLERANCE = {torch.float64: 1e-8, torch.float32: 1e-4, torch.float16: 1.25e-2, torch.bfloat16: 1e-1}
WRONG = (
    "tokens would not be AR's: run with --dtype fp32 --device cpu; where that is right, the device rounds too coarsely"
)
NOISY = "a seed will not always repeat its image: call torch.use_deterministic_algorithms(True)"


@dataclass(frozen=True)
class ScoreDifference:
    """Largest differences of logits from those of AR's passes.

    Attributes:
        parts: name of a comparison -> largest difference.
        largest: largest absolute logit of AR, at least 1.
        repeats: whether the same pass gave identical numbers twice.
    """

    parts: dict[str, float]
    largest: float
    repeats: bool

    @property
    def worst(self) -> float:
        """Largest of all."""
        return max(self.parts.values())


class _Comparison:
    """Collects differences from the logits of AR."""

    def __init__(self, ar: Rows) -> None:
        self.ar, self.parts = ar, dict[str, float]()
        self.largest = max(1.0, max(float(logits.abs().max()) for logits in ar.logits))

    def cell(self, part: str, cell: int, got: Float[Tensor, "G V"]) -> None:
        """Compare scores of a cell with AR's."""
        self.add(part, got, self.ar.logits[cell])

    def add(self, part: str, got: Float[Tensor, "G V"], expected: Float[Tensor, "G V"]) -> None:
        """Compare two scores."""
        self.parts[part] = max(self.parts.get(part, 0.0), _distance(got, expected))


@torch.inference_mode()
def compare(target: Target, request: Request, ar: Rows) -> ScoreDifference:
    """Score AR's first cells again, many in a pass.

    Raises:
        BadInput: AR has drawn fewer than four cells.
    """
    cells, tokens = len(ar.logits), list(ar.tokens)
    if cells < 4:
        raise BadInput(f"a grid of {request.grid.cells} cells", "at least 4", "give a larger --size")
    n = max(1, min(request.grid.columns, cells - 1) - 2)  # so that the tree crosses the end of the row
    depth = min(DEPTH, cells - n - 1)
    comparison = _Comparison(ar)
    session, state = _begin(target, request, tokens[:n], comparison)

    tree, main, parent = Proposal(), list[int](), ROOT
    wrong = [(token + 1) % target.vocabulary for token in tokens[n : n + depth]]
    for level in range(depth):
        decoy = tree.add(n + level, wrong[level], parent)
        if level + 1 < depth:
            tree.add(n + level + 1, tokens[n + level + 1], decoy)
        parent = tree.add(n + level, tokens[n + level], parent)
        main.append(parent)
    scores = session.score([state], [tree])[0]
    logits = scores.logits
    again = session.score([state], [tree])[0].logits
    for cell, slot in enumerate([0, *(node + 1 for node in main)], start=n):
        comparison.cell("tree", cell, logits[:, slot])

    step = Step.of(0, state, tree, scores, Verdict(tuple(main)))
    session.keep(0, step)
    comparison.cell("after a committed path", n + depth, session.score([step.after], [Proposal()])[0].logits[:, 0])

    alone, state = _begin(target, request, tokens[:n], comparison)
    branch = [wrong[0], *([tokens[n + 1]] if depth > 1 else [])]
    node = ROOT
    for level, token in enumerate(branch):
        (scores,) = alone.score([state], [Proposal()])
        step = Step.of(0, state, Proposal(), scores, Verdict((), token))
        alone.keep(0, step)
        state, node = step.after, int(tree.find(node, n + level, token) or 0)
        comparison.add("branch", logits[:, node + 1], alone.score([state], [Proposal()])[0].logits[:, 0])
    return ScoreDifference(comparison.parts, comparison.largest, torch.equal(logits, again))


def _begin(target: Target, request: Request, tokens: list[int], comparison: _Comparison) -> tuple[Session, State]:
    """A session that has read AR's first tokens in one pass."""
    session = request.session(target)
    state, chain = State(target.layout(request.grid)), Proposal.chain(0, tokens, final=True)
    (scores,) = session.score([state], [chain])
    for cell in range(len(tokens) + 1):
        comparison.cell("chain", cell, scores.logits[:, cell])
    step = Step.of(0, state, chain, scores, Verdict.all(chain))
    session.keep(0, step)
    return session, step.after


@torch.inference_mode()
def sequence_difference(target: LanguageTarget, request: Request, ar: Rows) -> float:
    """Largest difference between AR's logits and those of the plain sequence: prompt, image tokens, row ends."""
    prompts = target.prompt_ids(request.prompts, request.negatives, request.sampling.streams, request.grid)
    worst, layout = 0.0, target.layout(request.grid)
    for stream, prompt in enumerate(prompts):
        parts, slots = [_embedded(target, prompt)], [len(prompt) - 1]
        for cell, token in enumerate(ar.tokens[: len(ar.logits) - 1]):
            parts.append(target.embed(torch.tensor([token], device=target.device)))
            grid, index = layout.locate(cell)
            row_end = target.row_end if (index + 1) % grid.columns == 0 else ()
            ends = target.grid_end if index + 1 == grid.cells else row_end
            parts += [_embedded(target, ends)] if ends else []
            slots.append(slots[-1] + 1 + len(ends))
        x = torch.cat([part.to(parts[0]) for part in parts])[None]
        length = x.shape[1]
        cache = Cache(target.decoder.devices, length)
        cache.add(1)
        positions, prompt_length = torch.arange(length, device=x.device)[None], torch.tensor([len(prompt)])
        cache.begin(positions, positions[0, :1], length, 0)
        mask = torch.ones(length, length, dtype=torch.bool, device=x.device).tril()[None, None]
        hidden, _ = target.run(PassInputs(x, positions, prompt_length.to(x.device), layout, mask, cache, ()))
        logits = target.output(target.norm(hidden[0, slots]))
        expected = torch.stack([logits[stream] for logits in ar.logits])
        worst = max(worst, _distance(logits, expected))
    return worst


def _distance(a: Float[Tensor, "*N V"], b: Float[Tensor, "*N V"]) -> float:
    """Largest difference; infinity if a number is not finite."""
    distance = float((a.float() - b.float()).abs().max())
    return distance if math.isfinite(distance) else math.inf


def _embedded(target: LanguageTarget, ids: Sequence[int]) -> Float[Tensor, "N d"]:
    return target.decoder.embedding(torch.tensor(list(ids), device=target.device))


def check_ar(ar: Rows) -> Finding:
    """Check that AR takes one pass per cell, and that its scores are finite."""
    cells, expected = len(ar.tokens), "one pass a cell, row ends with none; finite scores"
    broken = next((cell for cell, logits in enumerate(ar.logits) if not bool(logits.isfinite().all())), None)
    if broken is not None:
        advice = overflow(ar.logits[broken].dtype)
        return failed("ar", f"scores of cell {broken} that are not finite", expected, advice)
    got = f"{ar.passes} passes, {cells} cells"
    if ar.passes != cells:
        return failed("ar", got, expected, "a fault of this library: report it with this line")
    return ok("ar", got, expected)


def check_scores(target: Target, request: Request, ar: Rows, difference: ScoreDifference) -> Iterator[Finding]:
    """Check that trees, committed paths and row ends have AR's scores, and that a repeated pass has equal scores."""
    allowed = TOLERANCE.get(target.dtype, TOLERANCE[torch.float32]) * difference.largest
    setup = f"{target.device.type}, {dtype_name(target.dtype)}"
    expected = f"at most {allowed:.1e} ({setup}, logits up to {difference.largest:.0f})"

    def within(check: str, distance: float, what: str) -> Finding:
        got = f"{distance:.1e} {what}"
        return ok(check, got, expected) if distance <= allowed else failed(check, got, expected, WRONG)

    parts = ", ".join(f"{part} {distance:.1e}" for part, distance in difference.parts.items())
    yield within("one pass for many cells", difference.worst, f"from AR's scores: {parts}")
    same = "the same to the last bit"
    if difference.repeats:
        yield ok("repeats", "the same numbers from the same pass", same)
    else:
        yield warning("repeats", "other numbers from the same pass", same, NOISY)
    if isinstance(target, LanguageTarget):
        distance = sequence_difference(target, request, ar)
        yield within("sequence", distance, "from the plain sequence of prompt, cells and row ends")
