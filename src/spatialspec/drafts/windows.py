"""Windows of open cells, and how often drafts for them stay, by their distance from what is known.

A window starts at a frontier f: the cells before f are known, a draft model guesses f .. f + length - 1. The frontiers
of a picture are spread evenly over it: f_i = 1 + floor((cells - 1) frac(u + i phi)), phi the golden ratio.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from spatialspec.core.interfaces import Target
from spatialspec.core.sampling import Sampling
from spatialspec.drafts.corpus import Corpus
from spatialspec.drafts.teacher import states
from spatialspec.methods.spatial_model.config import NOWHERE

PHI = (5**0.5 - 1) / 2
CHUNK = 8  # pictures that are measured at once


@dataclass(frozen=True)
class Windows:
    """Windows of some pictures, side by side.

    Attributes:
        cells: open cells, window after window; NOWHERE behind the last cell of the picture.
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
    def spread(cls, lots: Float[Tensor, "B"], count: int, length: int, total: int) -> Windows:
        """`count` windows of each picture; its number u, from 0 to 1, says where they start."""
        turns = lots.double()[:, None] + PHI * torch.arange(count, device=lots.device)
        return cls.at(1 + ((total - 1) * turns.frac()).long(), length, total)

    @property
    def there(self) -> Bool[Tensor, "B M"]:
        """Which cells lie in the picture."""
        return self.cells != NOWHERE

    def distances(self, columns: int) -> tuple[Int[Tensor, "B M"], Int[Tensor, "B M"]]:
        """How far right and down of known cells every open cell lies; 0 where there is no known cell in that direction.

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
        """Take in a value for each open cell."""
        right, down = windows.distances(columns)
        self._take("window", values[windows.there])
        for name, distance, among in (("right", right, windows.there), ("down", down, windows.there & (right == 0))):
            for k in distance[among].unique().tolist():
                if k:
                    self._take(f"{name} {k}", values[among & (distance == k)])

    def _take(self, name: str, values: Float[Tensor, "N"]) -> None:
        total, count = self.sums.get(name, (0.0, 0))
        self.sums[name] = total + float(values.double().sum()), count + len(values)

    @property
    def means(self) -> dict[str, float]:
        """By name."""
        return {name: total / count for name, (total, count) in self.sums.items()}


Laws = Callable[[Float[Tensor, "G B cells _"], Int[Tensor, "B cells"], Windows], Float[Tensor, "B M V"]]
Rule = Callable[[Float[Tensor, "*N V"], Float[Tensor, "*N V"]], Float[Tensor, "*N"]]


@torch.no_grad()
def accepted(
    target: Target,
    pictures: Corpus,
    sampling: Sampling,
    laws: Laws,
    rules: Mapping[str, Rule],
    count: int,
    length: int,
    blocks: Sequence[int] = (),
) -> dict[str, dict[str, float]]:
    """Mean probability that drafts stay, by distance, over windows of some pictures.

    Args:
        target: the frozen target.
        pictures: none that was learned from.
        sampling: of p; its guidance decides how many streams of states `laws` is given.
        laws: q at the open cells of windows, from the target's states and the tokens at known cells; 0 everywhere
            where a drafter has no guess.
        rules: functions of p and q, as in `acceptance.py`, by name.
        count: windows of a picture.
        length: cells of a window.
        blocks: of the target, whose states `laws` is given in front of the last ones; see `teacher.py`.

    Returns:
        Means by rule and by name of a :class:`Profile`.
    """
    profiles = {name: Profile() for name in rules}
    lots = (2**0.5 * torch.arange(len(pictures), dtype=torch.float64)).frac()
    for start in range(0, len(pictures), CHUNK):
        words, codes = pictures.prompts[start : start + CHUNK], pictures.codes[start : start + CHUNK]
        kinds = [torch.full((len(words),), bool(stream)) for stream in range(sampling.streams)]
        hidden = torch.stack([states(target, words, codes, dropped, blocks) for dropped in kinds])
        tokens = codes.long().to(hidden.device)
        windows = Windows.spread(lots[start : start + CHUNK].to(hidden.device), count, length, codes.shape[1])
        last = hidden[..., -target.width :]
        where = windows.cells.clamp(min=0)[None, ..., None].expand(len(last), -1, -1, last.shape[-1])
        p = sampling.distribution(target.output(target.norm(last.gather(2, where))))
        q = laws(hidden, tokens, windows)
        for name, rule in rules.items():
            profiles[name].add(rule(p, q), windows, target.grid.columns)
    return {name: profile.means for name, profile in profiles.items()}
