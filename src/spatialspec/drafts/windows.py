"""Windows of open cells, and the acceptance of drafts for them by distance from the known cells.

A window starts at a frontier f: the cells before f are known, a draft model predicts cells f .. f + length - 1. The
frontiers of an image are evenly distributed: f_i = 1 + floor((cells - 1) frac(u + i phi)), phi the golden ratio.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from spatialspec.core.interfaces import Target
from spatialspec.core.sampling import Sampling
from spatialspec.drafts.acceptance import Rule
from spatialspec.drafts.corpus import Corpus
from spatialspec.drafts.teacher import streams
from spatialspec.methods.spatial_model.config import NOWHERE

PHI = (5**0.5 - 1) / 2
CHUNK = 8  # images of a batch


@dataclass(frozen=True)
class Windows:
    """Windows of some images, side by side.

    Attributes:
        cells: open cells, window after window; NOWHERE after the last cell of the image.
        frontier: of the window that each belongs to.
    """

    cells: Int[Tensor, "B M"]
    frontier: Int[Tensor, "B M"]

    @classmethod
    def at(cls, frontier: Int[Tensor, "B F"], length: int, total: int) -> Windows:
        """Windows of `length` cells at these frontiers of a grid of `total` cells."""
        cells = frontier[..., None] + torch.arange(length, device=frontier.device)
        return cls(torch.where(cells < total, cells, NOWHERE).flatten(1), frontier.repeat_interleave(length, dim=1))

    @classmethod
    def evenly(cls, uniform: Float[Tensor, "B"], count: int, length: int, total: int) -> Windows:
        """`count` windows of each image, from its number u, 0 to 1."""
        shifts = uniform.double()[:, None] + PHI * torch.arange(count, device=uniform.device)
        return cls.at(1 + ((total - 1) * shifts.frac()).long(), length, total)

    @property
    def inside(self) -> Bool[Tensor, "B M"]:
        """Which cells lie in the image."""
        return self.cells != NOWHERE

    def distances(self, columns: int) -> tuple[Int[Tensor, "B M"], Int[Tensor, "B M"]]:
        """Distance of every open cell to the right of and below known cells; 0 without a known cell in that direction.

        Right counts cells from the last known one where it lies in the same row, down counts rows from the nearest
        known cell above.
        """
        last = self.frontier - 1
        right = torch.where(self.cells // columns == last // columns, self.cells - last, 0)
        down = (self.cells - self.frontier) // columns + 1
        return right, torch.where(self.cells >= down * columns, down, 0)


@dataclass
class Profile:
    """Means by distance: `right k`, `down k` and `window`.

    `right k` are cells k to the right of the last known one, `down k` those with no known cell in their row and the
    nearest one above k rows up, `window` all.
    """

    sums: dict[str, tuple[float, int]] = field(default_factory=dict)

    def add(self, values: Float[Tensor, "B M"], windows: Windows, columns: int) -> None:
        """Add a value for each open cell."""
        right, down = windows.distances(columns)
        self._add("window", values[windows.inside])
        for name, distance, among in (("right", right, windows.inside), ("down", down, windows.inside & (right == 0))):
            for k in distance[among].unique().tolist():
                if k:
                    self._add(f"{name} {k}", values[among & (distance == k)])

    def _add(self, name: str, values: Float[Tensor, "N"]) -> None:
        total, count = self.sums.get(name, (0.0, 0))
        self.sums[name] = total + float(values.double().sum()), count + len(values)

    @property
    def means(self) -> dict[str, float]:
        """By name."""
        return {name: total / count for name, (total, count) in self.sums.items()}


Distributions = Callable[[Float[Tensor, "G B cells _"], Int[Tensor, "B cells"], Windows], Float[Tensor, "B M V"]]


@torch.no_grad()
def accepted(
    target: Target,
    images: Corpus,
    sampling: Sampling,
    distributions: Distributions,
    rules: Mapping[str, Rule],
    count: int,
    length: int,
    layers: Sequence[int] = (),
) -> dict[str, dict[str, float]]:
    """Mean probability that drafts are accepted, by distance, over windows of some images.

    Args:
        target: the frozen target.
        images: held-out ones.
        sampling: of p; its guidance decides the number of streams of states.
        distributions: q at the open cells of windows, from the target's states and the tokens at known cells; all 0
            where a drafter has no prediction.
        rules: by name, as in `acceptance.py`.
        count: windows of an image.
        length: cells of a window.
        layers: hidden layers of the target whose states come before the pre-norm ones; see `teacher.py`.

    Returns:
        Means by rule and by name of a :class:`Profile`.
    """
    profiles = {name: Profile() for name in rules}
    uniform = (2**0.5 * torch.arange(len(images), dtype=torch.float64)).frac()
    for start in range(0, len(images), CHUNK):
        part = images[start : start + CHUNK]
        hidden = streams(target, part.prompts, part.codes, sampling.streams, layers)
        chosen = uniform[start : start + CHUNK].to(hidden.device)
        windows = Windows.evenly(chosen, count, length, part.image.shape[1])
        last = hidden[..., -target.width :]
        cells = windows.cells.clamp(min=0)[None, ..., None].expand(len(last), -1, -1, last.shape[-1])
        p = sampling.distribution(target.output(target.norm(last.gather(2, cells))))
        q = distributions(hidden, part.image.long().to(hidden.device), windows)
        for name, rule in rules.items():
            profiles[name].add(rule(p, q), windows, target.grid.columns)
    return {name: profile.means for name, profile in profiles.items()}
