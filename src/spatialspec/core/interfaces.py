"""What the loop asks of a target, a drafter and a verifier."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from typing import ClassVar, Literal, Protocol

import torch
from jaxtyping import Float, Int
from PIL import Image as PILImage
from torch import Tensor, nn

from spatialspec.core.grid import Grid, Layout
from spatialspec.core.proposal import Proposal
from spatialspec.core.sampling import Sampling
from spatialspec.core.state import State
from spatialspec.core.step import Scores, Step, Verdict


class Head(Protocol):
    """The frozen parts of a target that drafters share: final norm, output layer, token embedding, code book."""

    @property
    def width(self) -> int:
        """Model width d."""
        ...

    @property
    def vocabulary(self) -> int:
        """Number of image tokens V."""
        ...

    @property
    def codebook(self) -> Float[Tensor, "V c"]:
        """Embedding of every image token in the VQ tokenizer, always the same object."""
        ...

    def norm(self, hidden: Float[Tensor, "*N d"]) -> Float[Tensor, "*N d"]:
        """Final norm of pre-norm states."""
        ...

    def output(self, states: Float[Tensor, "*N d"]) -> Float[Tensor, "*N V"]:
        """Normed states -> logits of image tokens."""
        ...

    def embed(self, tokens: Int[Tensor, "*N"]) -> Float[Tensor, "*N d"]:
        """Embedding of image tokens, without positions."""
        ...


class Session(Protocol):
    """A target at work on some images: their prefixes and caches."""

    def score(
        self, states: Sequence[State], proposals: Sequence[Proposal], layers: Collection[int] = ()
    ) -> list[Scores]:
        """One target pass over the pending tokens and the proposal of every open image; `layers` as drafters read."""
        ...

    def keep(self, index: int, step: Step) -> None:
        """Commit the cache slots of what was accepted, all but what is pending after the pass.

        `index` counts the open images of the last `score`.
        """
        ...

    def close(self, images: Sequence[int]) -> None:
        """Drop finished images, counted as in the last `score`."""
        ...


class Target(Head, Protocol):
    """A frozen AR model that draws pictures from words."""

    @property
    def name(self) -> str:
        """Shown in reports and errors."""
        ...

    @property
    def default(self) -> Sampling:
        """Sampling that the model recommends."""
        ...

    @property
    def grid(self) -> Grid:
        """The grid of an image where none is asked for."""
        ...

    def layout(self, grid: Grid) -> Layout:
        """All cells that are drawn for an image of a grid: the grid itself, behind those that come first, if any."""
        ...

    @property
    def device(self) -> torch.device:
        """Where drafters and verifiers work: logits, states and embeddings come out there."""
        ...

    @property
    def dtype(self) -> torch.dtype:
        """Of logits, states and embeddings."""
        ...

    @property
    def fingerprint(self) -> str:
        """Hash of the weights that drafters depend on."""
        ...

    @property
    def networks(self) -> Sequence[nn.Module]:
        """All networks that images depend on, always in the same order; none for a target that is a table."""
        ...

    @property
    def transformer(self) -> nn.Module | None:
        """The one of them, or the part of one, whose blocks score image tokens; None for a target that is a table."""
        ...

    @property
    def patch(self) -> int:
        """Pixels a side of one cell."""
        ...

    def check_grid(self, grid: Grid) -> None:
        """Refuse a grid that the model cannot draw.

        Raises:
            BadInput: it cannot; the message says which it can.
        """
        ...

    def check_prompts(self, prompts: Sequence[str], negatives: Sequence[str], grid: Grid) -> None:
        """Refuse prompts that `session` would refuse, before anything is computed.

        Args:
            prompts: as for `session`, and so is the next.
            negatives: see above.
            grid: of every image.

        Raises:
            BadInput: one is empty or too long.
        """
        ...

    def session(self, prompts: Sequence[str], negatives: Sequence[str], sampling: Sampling, grid: Grid) -> Session:
        """Start images, one per prompt, side by side.

        Args:
            prompts: what to draw; none may be empty.
            negatives: prompts of the unconditional stream, one per prompt; "" for the model's own unconditional input.
            sampling: its guidance decides the number of streams.
            grid: of every image.

        Raises:
            BadInput: a prompt is empty or too long, or the model cannot draw the grid.
        """
        ...

    def pixels(self, tokens: Sequence[int], grid: Grid) -> PILImage.Image:
        """Picture of a complete grid of tokens; fewer rows than the model draws are a preview.

        Of a layout of several grids, the image is the last one, and only its tokens come here. The others do while they
        are drawn, for previews.
        """
        ...


class Drafter(ABC):
    """Guesses tokens of one image. A subclass says what it proposes, and what it learns from a pass.

    Attributes:
        drafts_first_cell: whether it is asked before the first token of an image is written, too.
        first_source: where it takes the first draft of a cell from, if its proposals name no sources: "neighbour" (the
            cell above, in the first row of a grid the one to the left), "horizontal", or "other".
        layers: numbers of the target's blocks, counted from 1, whose states it reads besides those of the last.
    """

    drafts_first_cell: ClassVar[bool] = False
    first_source: Literal["neighbour", "horizontal", "other"] = "neighbour"
    layers: tuple[int, ...] = ()

    @abstractmethod
    def propose(self, state: State) -> Proposal:
        """Guesses for open cells, possibly none."""

    def observe(self, step: Step) -> None:  # noqa: B027
        """Learn from a pass; nothing, unless a drafter says otherwise."""


class Verifier(Protocol):
    """Decides what is accepted, for one image, and how candidates must be drawn for its promise to hold."""

    def draw(self, q: Float[Tensor, "Q V"], indices: Sequence[int], cells: Sequence[int], turn: int) -> list[int]:
        """One candidate for each pair (index of q, cell), in pass `turn`; a pair may occur again for a further one."""
        ...

    def verify(self, proposal: Proposal, p: Float[Tensor, "R V"], state: State) -> Verdict:
        """Judge a proposal; p of slot i is the target's distribution after that slot of the pass."""
        ...


class Coupling(Verifier, Protocol):
    """A verifier whose test can go on behind a refusal."""

    def couple(
        self, p: Float[Tensor, "N V"], q: Float[Tensor, "N V"], tokens: Sequence[int], cells: Sequence[int], turn: int
    ) -> list[int]:
        """Samples of p, each equal to the given sample of q as often as can be (maximal coupling)."""
        ...
