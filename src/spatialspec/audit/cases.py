"""Plans of an audit: toys, samplings, numbers of images."""

from __future__ import annotations

from dataclasses import dataclass

from spatialspec.audit.grid_toy import GridToy
from spatialspec.audit.replicas import Toy
from spatialspec.audit.toys import ToyTarget, parse
from spatialspec.core.sampling import Sampling


@dataclass(frozen=True)
class Case:
    """A toy and how its images are sampled.

    Attributes:
        cached: a transformer with caches, else a table.
        grid: small enough to enumerate; drafts cross the ends of its rows. "2x1+2x2" are two, for tables.
        vocabulary: V.
        sampling: of the target and the drafts.
        images: number of images of AR and of each method that is declared exact.
        deviation: standard deviation of a table's logits over prefixes.
    """

    cached: bool
    grid: str
    vocabulary: int
    sampling: Sampling
    images: int
    deviation: float = 0.7

    def __str__(self) -> str:
        s = self.sampling
        words = [f"guidance {s.guidance:g}"] if s.streams == 2 else []
        words += [f"temperature {s.temperature:g}"] if s.temperature != 1 else []
        words += [f"top-k {s.top_k}"] if s.top_k else []
        words += [f"top-p {s.top_p:g}"] if s.top_p < 1 else []
        words += [f"min-p {s.min_p:g}"] if s.min_p else []
        toy = "transformer" if self.cached else f"table of spread {self.deviation:g}"
        return ", ".join([f"{toy}, {self.grid}, {self.vocabulary} tokens", *words])

    @property
    def cells(self) -> int:
        """Number of cells."""
        return parse(self.grid).cells

    def toy(self) -> Toy:
        """The target."""
        if self.cached:
            return GridToy.random(self.grid, self.vocabulary, 0)
        return ToyTarget.random(self.grid, self.vocabulary, 1, deviation=self.deviation)


@dataclass(frozen=True)
class Plan:
    """Size of an audit.

    Attributes:
        cases: toys.
        others: images of each toy if tokens are compared with AR's, or the method is not declared exact.
        threes: number of images drawn in batches of three; the others are drawn in larger batches.
        size: grid of the model's images, ROWSxCOLUMNS; "" for the model's default.
        prompts: of the model's images, drawn in one batch.
        in_turn: every method draws on one or two of the toys, in turn, instead of on all; see `audit.turns`.
    """

    cases: tuple[Case, ...]
    others: int
    threes: int
    size: str = ""
    prompts: tuple[str, ...] = ("red apple, 3d", "blue heart, flat")
    in_turn: bool = False


QUICK = Plan(
    (
        Case(False, "2x2", 4, Sampling(top_p=0.9), 1500, deviation=0.2),  # wrong residuals show most
        Case(False, "3x2", 3, Sampling(), 1200, deviation=0.2),  # numbers used twice show most
        Case(True, "2x3", 4, Sampling(guidance=2.0, temperature=0.8, top_k=3, top_p=0.95), 400),
        Case(False, "2x1+2x2", 4, Sampling(guidance=1.5, min_p=0.6), 400, deviation=0.2),
    ),
    others=200, threes=30, size="8x8",
)  # fmt: skip
FULL = Plan(
    (
        Case(False, "3x2", 4, Sampling(temperature=0.7), 2500, deviation=0.2),
        Case(False, "3x2", 4, Sampling(top_p=0.9), 2500, deviation=0.2),
        Case(False, "2x3", 3, Sampling(), 2000, deviation=0.2),
        Case(False, "2x3", 4, Sampling(), 1500, deviation=0.2),
        Case(False, "3x2", 4, Sampling(guidance=1.5, temperature=0.7, top_k=3, top_p=0.95), 1500),
        Case(False, "2x3", 4, Sampling(temperature=1.3, top_p=0.8), 1000, deviation=1.0),
        Case(False, "2x3", 3, Sampling(guidance=0.5, top_k=2), 1000),
        Case(False, "2x3", 4, Sampling(min_p=0.4), 1000, deviation=0.7),
        Case(False, "2x1+2x2", 4, Sampling(guidance=1.5), 1500, deviation=0.2),
        Case(False, "1x3+3x1", 4, Sampling(temperature=0.7), 1000, deviation=0.2),
        Case(True, "2x3", 4, Sampling(guidance=2.0, temperature=0.8, top_k=3, top_p=0.95), 1500),
        Case(True, "3x2", 3, Sampling(guidance=3.0), 1000),
        Case(True, "3x2", 4, Sampling(temperature=0.7, top_p=0.9), 1000),
    ),
    others=300, threes=90,
)  # fmt: skip
