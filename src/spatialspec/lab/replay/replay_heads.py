"""Trees of drafting heads (`hawk`, `medusa`, `hawk-vertical`) replayed from one recorded image.

The recorder runs every head while AR draws an image. For each cell f where a pass might start and each depth j, the
record holds, for every head, the rank of AR's token at cell f + j by log q + g: the order in which candidates are drawn
under coupled noise. The q of a head depends on committed cells only, not on the passes that wrote them. So the replay
of any tree is exact, except for ties.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from spatialspec.core.context import DecodeContext
from spatialspec.core.errors import BadInput
from spatialspec.core.interfaces import Drafter
from spatialspec.core.noise import Noise
from spatialspec.core.proposal import Proposal
from spatialspec.core.state import State
from spatialspec.core.step import Step
from spatialspec.decode import Image
from spatialspec.generation import steps
from spatialspec.lab.replay.replay import Prediction
from spatialspec.methods.coupled import Coupled
from spatialspec.methods.hawk import Hawk, HawkHeads, HawkOptions
from spatialspec.methods.method import Method
from spatialspec.pipeline import SpatialPipeline
from spatialspec.request import Request

NODES = 128  # of the recorded tree, the largest that a session accepts


@dataclass(frozen=True)
class Draft:
    """The draft of one head for one cell.

    Attributes:
        direction: "vertical" or "horizontal".
        back: offset of the head, in rows or cells.
        rank: of the token that AR wrote, from 0.
    """

    direction: str
    back: int
    rank: int


@dataclass(frozen=True)
class HeadRecord:
    """One image.

    Attributes:
        cells: of its grid.
        tokens: that AR wrote.
        depth: cells ahead that are recorded.
        vertical, horizontal: heads that are recorded.
        entropy: of the target's distribution at every cell, in nats.
        drafts: (start, cell) -> drafts of all heads for the cell in a pass that starts at `start`.
    """

    cells: int
    tokens: tuple[int, ...]
    depth: int
    vertical: int
    horizontal: int
    entropy: tuple[float, ...]
    drafts: dict[tuple[int, int], list[Draft]]


@dataclass
class _HeadRecorder(Drafter):
    """Runs the heads in every pass and records their drafts, but proposes nothing."""

    hawk: Hawk
    noise: Noise
    drafts: dict[tuple[int, int], list[Draft]] = field(default_factory=dict)
    entropy: list[float] = field(default_factory=list)
    _waiting: dict[int, list[tuple[int, tuple[str, int], Tensor]]] = field(default_factory=dict)

    def propose(self, state: State) -> Proposal:
        """Record the drafts; propose nothing."""
        seen = self.hawk.propose(state)
        if seen.q is not None:
            cell_of = {index: seen.cells[node] for tests in seen.tests.values() for node, index in tests}
            for index, cell in cell_of.items():
                self._waiting.setdefault(cell, []).append((state.frontier, seen.sources[index], seen.q[index]))
        return Proposal()

    def observe(self, step: Step) -> None:
        """Rank the token just written among the drafts for its cell."""
        cell, (token,) = step.before.frontier, step.written
        self.entropy.append(float(torch.special.entr(step.p[0]).sum()))
        for start, (direction, back), q in self._waiting.pop(cell, []):
            score = q.log() + self.noise.gumbel([cell])[0]
            rank = int((score > score[token]).sum())
            self.drafts.setdefault((start, cell), []).append(Draft(direction, back, rank))
        self.hawk.observe(step)


def record_heads(pipeline: SpatialPipeline, request: Request) -> HeadRecord:
    """Draw one image with AR and record the drafts of all heads.

    Args:
        pipeline: target, and Hawk's draft weights.
        request: of one prompt and one seed.

    Raises:
        BadInput: there are no draft weights of Hawk.
    """
    noise = Noise(request.seeds[0], request.grid.cells, pipeline.target.vocabulary, pipeline.target.device)
    context = DecodeContext(pipeline.target, pipeline.drafts, request.sampling, request.grid, noise)
    heads = context.find(HawkHeads, "hawk").config
    each = max(heads.vertical, 1) + 1  # one candidate of every vertical head, one of the horizontal one
    depth = max(d for d in range(1, 17) if sum(each**j for j in range(1, d + 1)) <= NODES)
    options = HawkOptions(
        horizontal=heads.horizontal, vertical=heads.vertical, depth=depth,
        vertical_samples=max(heads.vertical, 1), horizontal_samples=1, budget=NODES,
    )  # fmt: skip
    verifier = Coupled(noise)
    recorder = _HeadRecorder(Hawk(context, options, verifier), noise)
    image = Image(State(request.grid), recorder, verifier, request.sampling)
    session = request.session(pipeline.target)
    for _ in steps(pipeline.target, pipeline.drafts, session, [image]):
        pass
    return HeadRecord(
        request.grid.cells,
        image.state.tokens,
        depth,
        heads.vertical,
        heads.horizontal,
        tuple(recorder.entropy),
        recorder.drafts,
    )


def replay_heads(record: HeadRecord, method: Method) -> Prediction:
    """Cost of `hawk`, `medusa` or `hawk-vertical` with any options, under coupled noise.

    Raises:
        BadInput: another method, or one that reaches farther than the record.
    """
    options = method.options
    if not isinstance(options, HawkOptions) or options.slots or not method.exact:
        raise BadInput(f"{method}", "hawk, medusa or hawk-vertical without tolerance and slots", "only these replay")
    if options.vertical > record.vertical or options.horizontal > record.horizontal:
        raise BadInput(f"{method}", f"at most {record.vertical} and {record.horizontal} heads", "record more")
    slots, start = [1], 1
    while start < record.cells:
        levels = [_candidates(record, options, start, start + j) for j in range(_depth(record, options, start))]
        accepted, width, nodes = 0, 1, 0
        for candidates in levels:
            width *= sum(count for count, _ in candidates)
            nodes += width
        for candidates in levels:
            if not any(draft.rank < count for count, draft in candidates):
                break
            accepted += 1
        slots.append(1 + nodes)
        start = min(start + accepted + 1, record.cells)
    return Prediction(slots)


def _depth(record: HeadRecord, options: HawkOptions, start: int) -> int:
    """Levels of the tree, as Hawk counts them."""
    s = options
    per_level = s.vertical_samples * bool(s.vertical) + s.horizontal_samples * bool(s.horizontal)
    depth, nodes = 0, 0
    while depth < options.depth and nodes + per_level ** (depth + 1) <= options.budget:
        depth += 1
        nodes += per_level**depth
    if depth > record.depth:
        raise BadInput(f"a tree of depth {depth}", f"at most {record.depth}", "the record reaches no farther")
    return min(depth, record.cells - start)


def _candidates(record: HeadRecord, options: HawkOptions, start: int, cell: int) -> list[tuple[int, Draft]]:
    """Number of candidates of every head at a cell, and its draft."""
    drafts = record.drafts.get((start, cell), [])
    down = [d for d in drafts if d.direction == "vertical" and d.back <= options.vertical]
    right = [d for d in drafts if d.direction == "horizontal" and d.back <= options.horizontal]
    counts = [(options.vertical_samples + len(down) - 1 - i) // len(down) for i in range(len(down))]  # round robin
    free = options.vertical_samples if options.vertical and not down else 0
    both = [*zip(counts, down, strict=True), *((options.horizontal_samples + free, d) for d in right)]
    return [(count, draft) for count, draft in both if count]
