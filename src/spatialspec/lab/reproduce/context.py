"""Input and output of an experiment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from spatialspec.core.context import DecodeContext
from spatialspec.core.grid import Grid
from spatialspec.core.interfaces import Target
from spatialspec.core.noise import Noise
from spatialspec.core.progress import Bar, silent
from spatialspec.drafts.weights import Drafts, load_all
from spatialspec.lab.reproduce.report import Table
from spatialspec.lab.reproduce.verdict import Claim
from spatialspec.pipeline import SpatialPipeline
from spatialspec.request import Request

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Plot

QUICK = Grid(4, 4)
T = TypeVar("T")


@dataclass(frozen=True)
class ExperimentContext:
    """Target, drafts and prompts.

    Attributes:
        pipeline: target and drafts.
        request: prompts, sampling, grid and seed of every run.
        quick: few steps and settings, as a smoke test.
        folders: further folders of drafts, for experiments that compare drafts.
        bar: makes a progress bar over some tokens.
        album: images that AR has drawn, by prompt, seed and grid.
        unmeasured: notes for the page on what could not be measured, and why.
    """

    pipeline: SpatialPipeline
    request: Request
    quick: bool = False
    folders: tuple[Path, ...] = ()
    bar: Bar = silent
    album: dict[tuple[str, int, str], tuple[int, ...]] = field(default_factory=dict)
    unmeasured: set[str] = field(default_factory=set)

    @property
    def target(self) -> Target:
        """The frozen model."""
        return self.pipeline.target

    @property
    def grid(self) -> Grid:
        """Grid of every image."""
        return self.request.grid

    def find(self, kind: type[T], algorithm: str) -> T:
        """The draft weights of a kind.

        Raises:
            BadInput: there are none.
        """
        noise = Noise(0, 1, 1)
        return DecodeContext(self.target, self.pipeline.drafts, self.request.sampling, self.grid, noise).find(
            kind, algorithm
        )

    def has(self, kind: type[object]) -> bool:
        """Whether there are draft weights of a kind."""
        return any(isinstance(drafts, kind) for drafts in self.pipeline.drafts)

    def load(self, folder: Path) -> list[Drafts]:
        """Drafts from another folder.

        Raises:
            BadInput: there are none, or they are for another target.
        """
        return load_all(folder, self.target)

    def with_drafts(self, drafts: Sequence[Drafts]) -> ExperimentContext:
        """The same with other drafts."""
        return replace(self, pipeline=SpatialPipeline(self.target, drafts))


def quick_grid(target: Target) -> Grid:
    """A small grid for quick runs; the target's own if it draws no other."""
    try:
        target.check_grid(QUICK)
    except ValueError:
        return target.grid
    return QUICK


@dataclass(frozen=True)
class Outcome:
    """Results of an experiment.

    Attributes:
        about: the paper's findings, in two or three sentences.
        tables: figures, the paper's beside ours.
        claims: of the paper, with our figures.
        draw: draws the plot.
        notes: differences from the paper, and parts that could not be run.
    """

    about: str
    tables: list[Table]
    claims: list[Claim]
    draw: Callable[[Plot], None]
    notes: list[str] = field(default_factory=list)
