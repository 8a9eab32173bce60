"""Protocols of the loop: target, session, drafter and verifier."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from typing import ClassVar, Literal, Protocol, Self

import torch
from jaxtyping import Float, Int
from PIL import Image as PILImage
from torch import Tensor, nn

from spatialspec.core.clock import UNTIMED, Clock, DraftCost
from spatialspec.core.grid import Grid, Layout
from spatialspec.core.noise import Noise
from spatialspec.core.proposal import Proposal
from spatialspec.core.sampler import Sampler
from spatialspec.core.sampling import Sampling
from spatialspec.core.state import State
from spatialspec.core.step import Scores, Step, Verdict


class Head(Protocol):
    """The frozen parts of a target that drafters share: final norm, output layer, token embedding, codebook."""

    @property
    def width(self) -> int:
        """Model width d."""

    @property
    def vocabulary(self) -> int:
        """Number of image tokens V."""

    @property
    def codebook(self) -> Float[Tensor, "V c"]:
        """Embedding of every image token in the VQ tokenizer, always the same object."""

    def norm(self, hidden: Float[Tensor, "*N d"]) -> Float[Tensor, "*N d"]:
        """Final norm of pre-norm states."""

    def output(self, states: Float[Tensor, "*N d"]) -> Float[Tensor, "*N V"]:
        """Normed states -> logits of image tokens."""

    def embed(self, tokens: Int[Tensor, "*N"]) -> Float[Tensor, "*N d"]:
        """Embedding of image tokens, without positions."""


class Session(Protocol):
    """Images that a target is drawing, with their prefixes and caches."""

    def score(
        self,
        states: Sequence[State],
        proposals: Sequence[Proposal],
        layers: Collection[int] = (),
        samplers: Sequence[Sampler] = (),
        clock: Clock = UNTIMED,
    ) -> list[Scores]:
        """One target pass over the pending tokens and the proposal of every open image.

        Args:
            states: of the open images.
            proposals: one per image.
            layers: hidden layers to return besides the last, counted from 1.
            samplers: one per image; or none, and the scores are logits and states alone.
            clock: marked when the inputs are ready, and when the results are there.
        """

    def keep(self, index: int, step: Step) -> None:
        """Commit the cache slots of pending cells and accepted nodes that are not pending after the pass.

        Args:
            index: of the image among those of the last `score`.
            step: the pass.
        """

    def admit(self, other: Self) -> None:
        """Add the images of a session of the same target that has made no pass, behind the others.

        The next pass reads their prompts.

        Raises:
            BadInput: their layout is another one.
        """

    def drop(self, images: Sequence[int]) -> None:
        """Drop images, finished or cancelled, by their index in the last `score`."""


class Target(Head, Protocol):
    """A frozen AR model that draws images from prompts."""

    @property
    def name(self) -> str:
        """Shown in reports and errors."""

    @property
    def default(self) -> Sampling:
        """Sampling that the model recommends."""

    @property
    def grid(self) -> Grid:
        """The default grid of an image."""

    def layout(self, grid: Grid) -> Layout:
        """All cells that are drawn for an image of a grid: the grid itself, after any grids that precede it."""

    @property
    def device(self) -> torch.device:
        """Device of logits, states and embeddings, on which drafters and verifiers run."""

    @property
    def dtype(self) -> torch.dtype:
        """Of logits, states and embeddings."""

    @property
    def fingerprint(self) -> str:
        """Hash of the weights that drafters depend on."""

    @property
    def networks(self) -> Sequence[nn.Module]:
        """All networks that images depend on, always in the same order; none for a target that is a table."""

    @property
    def transformer(self) -> nn.Module | None:
        """The one of them, or the part of one, whose blocks score image tokens; None for a target that is a table."""

    @property
    def patch(self) -> int:
        """Pixels a side of one cell."""

    def check_grid(self, grid: Grid) -> None:
        """Refuse a grid that the model cannot draw.

        Raises:
            BadInput: it cannot; the message says which it can.
        """

    def check_prompts(self, prompts: Sequence[str], negatives: Sequence[str], grid: Grid) -> None:
        """Refuse prompts that `session` would refuse, before anything is computed.

        Args:
            prompts: as for `session`, and so is the next.
            negatives: see above.
            grid: of every image.

        Raises:
            BadInput: one is empty or too long.
        """

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

    def pixels(self, tokens: Sequence[int], grid: Grid) -> PILImage.Image:
        """Image of a complete grid of tokens; fewer rows than the model draws are a preview.

        The image is the last grid of the layout. Other grids are passed only for previews while they are drawn.
        """


class Drafter(ABC):
    """Guesses tokens of one image. A subclass implements `propose`, and `observe` if it reads the target's states.

    Attributes:
        drafts_first_cell: whether `propose` is called before the first token of an image is written.
        first_source: source of the first draft of a cell, if its proposals name no sources: "neighbour" (the cell
            above, in the first row of a grid the one to the left), "horizontal", or "other".
        layers: hidden layers of the target that it reads besides the last, counted from 1.
        ranked: best tokens of every slot that it reads under coupled noise; see `Readout.best`.
        cost: passes of a draft model of its own; None for a drafter without one.
    """

    drafts_first_cell: ClassVar[bool] = False
    first_source: Literal["neighbour", "horizontal", "other"] = "neighbour"
    layers: tuple[int, ...] = ()
    ranked: int = 1
    cost: DraftCost | None = None

    @classmethod  # noqa: B027
    def prepare(cls, drafters: Sequence[Self], states: Sequence[State]) -> None:
        """Work that images share, before `propose` of each of them; does nothing by default.

        Args:
            drafters: of this class, of all images that propose in this pass.
            states: of the images.
        """

    @abstractmethod
    def propose(self, state: State) -> Proposal:
        """Guesses for open cells, possibly none."""

    def observe(self, step: Step) -> None:  # noqa: B027
        """Update from a pass; does nothing by default."""


class Verifier(ABC):
    """Decides which drafts are accepted, for one image; draws candidates so that its guarantee holds.

    Attributes:
        ranks: coupled noise under which every pass ranks tokens for it, see `Scores.winners`; None for none.
        tolerance: of coupled noise; above 0 a pass has the figures of `Readout.near` too.
    """

    ranks: Noise | None = None
    tolerance: float = 0.0

    @abstractmethod
    def draw(
        self, q: Float[Tensor, "Q V"], indices: Sequence[int], cells: Sequence[int], pass_index: int
    ) -> Int[Tensor, "N"]:
        """One candidate for each pair (index of q, cell); a repeated pair draws a further candidate.

        They stay on the device, as `Proposal.drafts`, so that the pass need not wait for them.
        """

    @abstractmethod
    def verify(self, proposal: Proposal, scores: Scores, state: State) -> Verdict:
        """Verify a proposal; `scores.p` of slot i is the target's distribution after that slot of the pass."""
