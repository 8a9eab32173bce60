"""Windows of refined drafts (`jacobi`) replayed from one image recorded with a long window.

The target scores a cell in several passes. For each of them the record holds which drafts before the cell were wrong
(as distances back), and whether the refined token was right, that is, AR's token. After right drafts only, a refined
token is always right under coupled noise. A replay runs another window and tracks which drafts are right. New cells
copy the cell above. After wrong drafts, it takes the recorded score of that cell with the most similar wrong drafts:
the smallest

    sum over k of w_k [draft k cells back wrong in one score, right in the other]
    w_k = 1 / k + 1 / (2 + 2 |k - columns|)

with the second term only within two cells of the cell above. This is a model, as another window meets combinations of
wrong drafts that are not in the record. For the recorded length the replay is exact. For shorter windows of at least 8
slots, the mean number of passes over a few images of `icons` was within 10 %, recorded with 128 slots. Longer windows
are refused. SJD and its variants draw new samples in every pass; they are not replayed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from spatialspec.core.errors import BadInput
from spatialspec.core.grid import Grid
from spatialspec.generation import assemble, steps
from spatialspec.lab.replay.replay import Prediction
from spatialspec.methods.jacobi import JacobiOptions
from spatialspec.methods.method import Method
from spatialspec.pipeline import SpatialPipeline
from spatialspec.request import Request

LONGEST = 128  # slots of a recorded window


@dataclass(frozen=True)
class WindowRecord:
    """One image.

    Attributes:
        grid: its cells.
        tokens: that AR writes, and this method too.
        length: slots of the recorded window.
        passes: of the recorded run.
        wrong: for every cell and score, whether the draft k + 1 cells back was wrong.
        right: for every cell and score, whether the refined token was right.
    """

    grid: Grid
    tokens: tuple[int, ...]
    length: int
    passes: int
    wrong: list[Bool[np.ndarray, "_ length"]]
    right: list[Bool[np.ndarray, "_"]]


def record_window(pipeline: SpatialPipeline, request: Request, length: int = LONGEST) -> WindowRecord:
    """Draw one image with `jacobi` and record every score.

    Args:
        pipeline: target; no draft weights are needed.
        request: of one prompt and one seed.
        length: slots of the window, the longest that can be replayed.
    """
    method = Method.parse(f"jacobi:length={length}")
    (image,) = assemble(pipeline.target, pipeline.drafts, method, request)
    session = request.session(pipeline.target)
    passes: list[tuple[int, list[int], tuple[int, ...]]] = []
    start = 0
    for step in steps(pipeline.target, pipeline.drafts, session, [image]):
        passes.append((start, list(step.proposal.tokens), step.verdict.refined or ()))
        start = step.after.frontier
    tokens, cells = image.state.tokens, request.grid.cells
    wrong: list[list[np.ndarray]] = [[] for _ in range(cells)]
    right: list[list[bool]] = [[] for _ in range(cells)]
    for start, drafts, refined in passes:
        bad = np.array([draft != tokens[start + i] for i, draft in enumerate(drafts)], dtype=bool)
        for i, token in enumerate(refined[: cells - start]):
            wrong[start + i].append(_back(bad, i, length))
            right[start + i].append(token == tokens[start + i])
    by_cell = [np.array(scores, dtype=bool).reshape(-1, length) for scores in wrong]
    return WindowRecord(request.grid, tokens, length, len(passes), by_cell, [np.array(r, dtype=bool) for r in right])


def replay_window(record: WindowRecord, method: Method) -> Prediction:
    """Cost of `jacobi` with another length.

    Raises:
        BadInput: another method, or a window longer than the recorded one.
    """
    options = method.options
    if not isinstance(options, JacobiOptions) or options.length > record.length:
        raise BadInput(f"{method}", f"jacobi with a length of at most {record.length}", "record a longer one")
    length = options.length
    cells, columns, tokens = record.grid.cells, record.grid.columns, record.tokens
    weight = _weights(record.length, columns)
    slots, start = [1], 1
    good: list[bool] = []  # whether each draft after the start is right
    while start < cells:
        count = min(length - 1, cells - start)
        for cell in range(start + len(good), start + count):
            source = cell - columns if cell >= columns else cell - 1
            good.append((source < start or good[source - start]) and tokens[source] == tokens[cell])
        bad = ~np.array(good[:count], dtype=bool)
        slots.append(1 + count)
        refined = [
            _is_right(record, start + i, _back(bad, i, record.length), weight)
            for i in range(min(count + 1, cells - start))
        ]
        accepted = int(np.argmax(bad)) if bad.any() else count
        done = min(accepted + 1, cells - start)
        start, good = start + done, refined[done:]
    return Prediction(slots)


def _back(bad: Bool[np.ndarray, "drafts"], slot: int, length: int) -> Bool[np.ndarray, "length"]:
    """Wrong drafts before a slot of the pass, the nearest first."""
    seen = np.zeros(length, dtype=bool)
    seen[:slot] = bad[:slot][::-1]
    return seen


def _weights(length: int, columns: int) -> Float[np.ndarray, "length"]:
    back = np.arange(1, length + 1)
    beside = np.abs(back - columns)
    return 1 / back + np.where(beside <= 2, 0.5 / (1 + beside), 0.0)


def _is_right(record: WindowRecord, cell: int, bad: Bool[np.ndarray, "length"], weight: np.ndarray) -> bool:
    """Whether the refined token is right."""
    if not bad.any():
        return True
    if not len(record.right[cell]):
        return False
    return bool(record.right[cell][np.argmin((record.wrong[cell] ^ bad) @ weight)])
