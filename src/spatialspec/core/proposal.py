"""A drafter's proposal: a tree of tokens for cells not yet written. A chain and a block are trees.

Slots of a pass: slot 0 is the root, the last token before the first open cell; slot i + 1 is node i. The distribution
of a slot is the one *after* its token, so the root outputs the first open cell. A decoder that writes several rows of
the image at once has one pending token in each: then slots 0 .. P - 1 are the pending cells, and node i is slot P + i.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Float, Int
from torch import Tensor

ROOT = -1


@dataclass
class Proposal:
    """A tree of drafted tokens.

    Attributes:
        cells: raster index of each node.
        codes: drafted token of each node; -1 - i for entry i of `drafts`.
        parents: node index of the parent, smaller than that of the node, or ROOT.
        tests: for each slot (ROOT + 1 = 0, node i -> i + 1) the tests of rejection after it, in order, as pairs
            (node, index of q). A node drawn from two sources is tested twice.
        q: distributions that candidates were drawn from; None under coupled noise, which needs none.
        final: the pass commits every node, and no verifier runs.
        sources: for each distribution of q its direction and its distance in cells or rows; empty for one source.
        placeholders: nodes that are read only so that the next cell can be scored; a tolerance does not accept them.
        drafts: tokens on the device that the host has not read: a pass needs no wait for them.
    """

    cells: list[int] = field(default_factory=list)
    codes: list[int] = field(default_factory=list)
    parents: list[int] = field(default_factory=list)
    tests: dict[int, list[tuple[int, int]]] = field(default_factory=dict)
    q: Float[Tensor, "Q V"] | None = None
    final: bool = False
    sources: list[tuple[str, int]] = field(default_factory=list)
    placeholders: set[int] = field(default_factory=set)
    drafts: Int[Tensor, "D"] | None = None

    def __post_init__(self) -> None:
        keys = zip(self.parents, self.cells, self.codes, strict=True)
        self._index = {key: node for node, key in reversed(list(enumerate(keys)))}

    def __len__(self) -> int:
        return len(self.cells)

    @property
    def tokens(self) -> list[int]:
        """Drafted token of each node; read from the device, a wait, if nobody has done so."""
        if self.drafts is not None:
            drafts = self.drafts.tolist()
            self.settle([code if code >= 0 else drafts[-1 - code] for code in self.codes])
        return self.codes

    def settle(self, tokens: list[int]) -> None:
        """Take the tokens of all nodes from whoever has read them, with the results of the pass."""
        self.codes, self.drafts = tokens, None
        self.__post_init__()

    def add(self, cell: int, code: int, parent: int, q_index: int | None = None) -> int:
        """Add a node, or reuse the sibling with the same code; record its test; return the index of the node."""
        node = self._index.setdefault((parent, cell, code), len(self.cells))
        if node == len(self.cells):
            self.cells.append(cell)
            self.codes.append(code)
            self.parents.append(parent)
        if q_index is not None:
            self.tests.setdefault(parent + 1, []).append((node, q_index))
        return node

    def find(self, parent: int, cell: int, token: int) -> int | None:
        """The first child of `parent`, a node or ROOT, with this cell and token; tokens were read."""
        return self._index.get((parent, cell, token))

    @classmethod
    def chain(
        cls,
        first: int,
        tokens: Sequence[int] | Int[Tensor, "N"],
        q: Float[Tensor, "N V"] | None = None,
        final: bool = False,
        drafts: Int[Tensor, "D"] | None = None,
    ) -> Proposal:
        """One token, or code, for each cell from `first` on; token i was drawn from distribution i of `q`."""
        if isinstance(tokens, Tensor):
            drafts = tokens
            tokens = unread(len(drafts))
        proposal = cls(q=q, final=final, drafts=drafts)
        for i, code in enumerate(tokens):
            proposal.add(first + i, code, i - 1, None if q is None else i)
        return proposal

    def ancestors(self) -> Bool[np.ndarray, "N N"]:
        """Attention mask of the tree: node i attends to itself and its ancestors."""
        return _ancestors(tuple(self.parents))


def unread(count: int, first: int = 0) -> list[int]:
    """Codes of entries of `Proposal.drafts`, from the first one on."""
    return list(range(-1 - first, -1 - first - count, -1))


@lru_cache(maxsize=256)
def _ancestors(parents: tuple[int, ...]) -> Bool[np.ndarray, "N N"]:
    mask = np.eye(len(parents), dtype=bool)
    for node, parent in enumerate(parents):
        if parent != ROOT:
            mask[node] |= mask[parent]
    return mask
