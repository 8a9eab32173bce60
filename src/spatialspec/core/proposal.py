"""What a drafter proposes: a tree of tokens for cells not yet written. A chain and a block are trees.

Rows of a pass: row 0 is the root, the last token before the first open cell; row i + 1 is node i. The distribution in a
row is the one *after* that token, so the root's row decides the first open cell. A decoder that writes several rows of
the picture at once has one pending token in each: then rows 0 .. P - 1 are the pending cells, and node i is row P + i.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from jaxtyping import Float
from torch import Tensor

ROOT = -1


@dataclass
class Proposal:
    """A tree of drafted tokens.

    Attributes:
        cells: raster index of each node.
        tokens: drafted token of each node.
        parents: node index of the parent, smaller than the node's own, or ROOT.
        tests: for each row (ROOT + 1 = 0, node i -> i + 1) the tests that rejection makes there, in order, as pairs
            (node, row of q). A node drawn from two sources is tested twice.
        q: distributions that candidates were drawn from; empty under coupled noise, which needs none.
        final: every node stays, whatever the verifier says (SSD's commit pass; tokens of an earlier run).
        sources: for each row of q its direction and how many cells or rows back it was made; empty for one source.
        stand_ins: nodes that only start a cell, a copy or a draft, so that something can be scored behind them; no
            tolerance keeps them.
        blocks: of the target, counted from 1, whose states the drafter wants to see besides those of the last.
    """

    cells: list[int] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    parents: list[int] = field(default_factory=list)
    tests: dict[int, list[tuple[int, int]]] = field(default_factory=dict)
    q: Float[Tensor, "Q V"] | None = None
    final: bool = False
    sources: list[tuple[str, int]] = field(default_factory=list)
    stand_ins: set[int] = field(default_factory=set)
    blocks: tuple[int, ...] = ()
    _index: dict[tuple[int, int], int] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return len(self.cells)

    def add(self, cell: int, token: int, parent: int, q_row: int | None = None) -> int:
        """Add a node, or find the sibling that has the same token; note the test; return the node's index."""
        node = self._index.setdefault((parent, token), len(self.cells))
        if node == len(self.cells):
            self.cells.append(cell)
            self.tokens.append(token)
            self.parents.append(parent)
        if q_row is not None:
            self.tests.setdefault(parent + 1, []).append((node, q_row))
        return node

    def find(self, parent: int, token: int) -> int | None:
        """The child of a node, or of ROOT, that has this token."""
        return self._index.get((parent, token))

    @classmethod
    def chain(cls, first: int, tokens: list[int], q: Tensor | None = None, final: bool = False) -> Proposal:
        """One token for each cell from `first` on; row i of `q` is what token i was drawn from."""
        proposal = cls(q=q, final=final)
        for i, token in enumerate(tokens):
            proposal.add(first + i, token, i - 1, None if q is None else i)
        return proposal

    def ancestors(self) -> np.ndarray:
        """Boolean (nodes, nodes): row i marks i and the nodes above it, all that it may attend to in the tree."""
        return _ancestors(tuple(self.parents))


@lru_cache(maxsize=256)
def _ancestors(parents: tuple[int, ...]) -> np.ndarray:
    mask = np.eye(len(parents), dtype=bool)
    for node, parent in enumerate(parents):
        if parent != ROOT:
            mask[node] |= mask[parent]
    return mask


@dataclass(frozen=True)
class Verdict:
    """What a verifier decided about one pass.

    Attributes:
        path: accepted nodes, each the child of the one before.
        token: the target's own token for the cell after the path; None where a block is committed or refined as it is.
        refined: the rule's own token for the cell after every row, given the drafts as they stand; None where a rule
            has none. A verdict that commits nothing is a refinement round.
        ahead: (cell, token) committed elsewhere, out of raster order.
        elsewhere: accepted nodes that do not start at the frontier; they are committed at their cells, and their keys
            and values of this pass stay.
        score: by which tokens were ranked for the cell after every row; None where a rule ranks none.
    """

    path: tuple[int, ...] = ()
    token: int | None = None
    refined: tuple[int, ...] | None = None
    ahead: tuple[tuple[int, int], ...] = ()
    elsewhere: tuple[int, ...] = ()
    score: Float[Tensor, "R V"] | None = field(default=None, compare=False, repr=False)

    @property
    def commits(self) -> bool:
        """Whether anything was written."""
        return bool(self.path or self.ahead or self.elsewhere) or self.token is not None

    def tokens(self, proposal: Proposal) -> list[int]:
        """Tokens committed at the frontier, in raster order."""
        drafted = [proposal.tokens[i] for i in self.path]
        return drafted if self.token is None else [*drafted, self.token]

    def rows(self) -> list[int]:
        """Rows of the pass whose states output the tokens committed at the frontier, in raster order."""
        rows = [0, *(i + 1 for i in self.path)]
        return rows if self.token is not None else rows[:-1]


@dataclass(frozen=True)
class Scores:
    """What one target pass says about one image.

    Attributes:
        logits: (streams, rows, V), conditional stream first.
        hidden: (streams, rows, d), pre-norm states; row i outputs the cell after row i.
        blocks: states after those blocks that the proposal asked for, in the same rows.
    """

    logits: Float[Tensor, "G R V"]
    hidden: Float[Tensor, "G R d"]
    blocks: Mapping[int, Float[Tensor, "G R d"]] = field(default_factory=dict)

    @classmethod
    def of_batch(
        cls,
        logits: Float[Tensor, "images G R V"],
        hidden: Float[Tensor, "images G R d"],
        blocks: Mapping[int, Float[Tensor, "images G R d"]],
        rows: Sequence[int],
        proposals: Sequence[Proposal],
    ) -> list[Scores]:
        """Of every image its own rows, the first of those that the batch was padded to, and the blocks it asked for."""
        return [
            cls(logits[i, :, :r], hidden[i, :, :r], {block: blocks[block][i, :, :r] for block in proposal.blocks})
            for i, (r, proposal) in enumerate(zip(rows, proposals, strict=True))
        ]
