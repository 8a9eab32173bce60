"""The inputs from which drafter and verifier of one image are made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from spatialspec.core.errors import BadInput
from spatialspec.core.grid import Layout
from spatialspec.core.interfaces import Head, Session, Target
from spatialspec.core.noise import Noise
from spatialspec.core.sampling import Sampling

T = TypeVar("T")


@dataclass(frozen=True)
class Unfit:
    """Draft weights that do not fit the model or are damaged; an error only if a method needs them.

    Attributes:
        algorithm: of the drafts; "" where unknown.
        error: the reason.
    """

    algorithm: str
    error: BadInput


class Prompted(Protocol):
    """The image as a target draws it: prompts, sampling and grid."""

    def check(self, target: Target) -> None:
        """Refuse what a target cannot draw.

        Raises:
            BadInput: its prompt or its grid.
        """

    def session(self, target: Target) -> Session:
        """Start a session of a target with this image."""


@dataclass(frozen=True)
class DecodeContext:
    """Context of one image to be decoded.

    Attributes:
        target: frozen parts of the target that drafters share.
        drafts: loaded draft weights of any kind, and :class:`Unfit` ones.
        sampling: how distributions are made from logits.
        layout: cells of the image.
        noise: random numbers of the image.
        request: starts the image on a draft model; None where nothing is decoded.
    """

    target: Head
    drafts: Sequence[object]
    sampling: Sampling
    layout: Layout
    noise: Noise
    request: Prompted | None = None

    def find(self, kind: type[T], algorithm: str) -> T:
        """The draft weights of a kind.

        Raises:
            BadInput: there are none, several, or none that fit the target.
        """
        fitting = [drafts for drafts in self.drafts if isinstance(drafts, kind)]
        if len(fitting) > 1:
            raise BadInput(f"{len(fitting)} {algorithm} draft weights", "one", "name a folder of them with --draft")
        if fitting:
            return fitting[0]
        unfit = [drafts for drafts in self.drafts if isinstance(drafts, Unfit) and drafts.algorithm in (algorithm, "")]
        if unfit:
            error = max(unfit, key=lambda drafts: drafts.algorithm).error
            raise BadInput(error.got, error.expected, f"{error.advice}, or go without: spatial needs none", error.where)
        raise BadInput(f"no {algorithm} draft weights", "some", "give --draft, or use a method that needs none")
