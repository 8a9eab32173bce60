"""Record of the images to draw; the pipeline or the command line makes it, nothing changes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

from spatialspec.core.grid import Grid
from spatialspec.core.interfaces import Session, Target
from spatialspec.core.noise import image_seed
from spatialspec.core.sampling import Sampling

STRIDE = 1_000_003  # from the seed of a prompt to the next prompt's


@dataclass(frozen=True)
class Request:
    """Images to draw, with each method if there are several.

    Attributes:
        prompts: one per image; images of one prompt are adjacent.
        seeds: one per image, 0 to 2^63 - 1.
        sampling: of the target and the drafts.
        grid: of every image; the target decides which cells are drawn for it.
        verifier: "coupled" or "rejection".
        negatives: prompts of the unconditional stream, one per image, "" for the model's own; empty for none.
        written: for each image the tokens of its first cells, or of all, from an earlier run; empty for none.
        images: images of each prompt, at least 1.
    """

    prompts: Sequence[str]
    seeds: Sequence[int]
    sampling: Sampling
    grid: Grid
    verifier: str = "coupled"
    negatives: Sequence[str] = ()
    written: Sequence[Sequence[int]] = ()
    images: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "negatives", self.negatives or [""] * len(self.prompts))
        object.__setattr__(self, "written", self.written or [()] * len(self.prompts))

    @classmethod
    def of(
        cls,
        prompts: Sequence[str],
        sampling: Sampling,
        grid: Grid,
        seed: int = 0,
        images: int = 1,
        verifier: str = "coupled",
        negative: str = "",
    ) -> Request:
        """Images of several prompts from one seed: image i of prompt j has seed + 1000003 j + i, modulo 2^63.

        Raises:
            BadInput: the seed is out of range.
        """
        seeds = [image_seed(seed, STRIDE * j + i) for j in range(len(prompts)) for i in range(images)]
        texts = [prompt for prompt in prompts for _ in range(images)]
        return cls(texts, seeds, sampling, grid, verifier, [negative] * len(texts), (), images)

    def with_prompts(self, prompts: Sequence[str]) -> Request:
        """A copy with other prompts, from the seed of the first image."""
        first = self.seeds[0]
        return Request.of(prompts, self.sampling, self.grid, first, self.images, self.verifier, self.negatives[0])

    def only(self, images: Sequence[int]) -> Self:
        """A request for some of its images."""
        return replace(
            self,
            prompts=[self.prompts[i] for i in images],
            seeds=[self.seeds[i] for i in images],
            negatives=[self.negatives[i] for i in images],
            written=[self.written[i] for i in images],
        )

    def each(self) -> list[Self]:
        """One request per image."""
        return [replace(self.only([i]), images=1) for i in range(len(self.prompts))]

    def by_prompt(self) -> list[Self]:
        """One request per prompt."""
        return [self.only(range(i, i + self.images)) for i in range(0, len(self.prompts), self.images)]

    def check(self, target: Target) -> None:
        """Refuse what a target cannot draw, before anything is computed.

        Raises:
            BadInput: a prompt or the grid.
        """
        target.check_grid(self.grid)
        target.check_prompts(self.prompts, self.negatives, self.grid)

    def session(self, target: Target) -> Session:
        """Start a session of the target with these images."""
        return target.session(self.prompts, self.negatives, self.sampling, self.grid)


@dataclass(frozen=True)
class TokenRequest(Request):
    """Images behind prompts that came as token ids; `prompts` only name them in reports.

    Attributes:
        ids: for every image the ids of each of its streams, conditional first, up to the token that opens the image.
    """

    ids: Sequence[Sequence[Sequence[int]]] = ()

    def only(self, images: Sequence[int]) -> Self:
        """See :class:`Request`."""
        return replace(super().only(images), ids=[self.ids[i] for i in images])

    def session(self, target: Target) -> Session:
        """See :class:`Request`; for targets around language models."""
        language: Any = target
        session: Session = language.session_of_ids(self.ids, self.grid)
        return session
