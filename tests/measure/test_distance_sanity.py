"""The likelihood gap on the embedded model: AR's own images, tokens by chance, the wrong caption."""

import numpy as np
import pytest

from spatialspec.core.grid import Grid
from spatialspec.measure.distance import Drawn, distance, measure
from spatialspec.pipeline import SpatialPipeline

PROMPTS = ("red apple, 3d", "banana, clip art", "airplane, flat")
GRID = Grid(12, 12)


@pytest.fixture(scope="module")
def gap():
    """The gap of AR's images, some of their tokens by chance, under captions that are moved on."""
    pipeline = SpatialPipeline.from_pretrained("icons")
    target, draw = pipeline.target, np.random.default_rng(0)
    pictures = [pipeline(p, method="ar", seed=i, size=GRID).tokens[0] for i, p in enumerate(PROMPTS)]

    def found(chance: float = 0.0, moved: int = 0) -> float:
        cells = []
        for i, tokens in enumerate(pictures):
            other = draw.integers(target.vocabulary, size=GRID.cells)
            mixed = np.where(draw.random(GRID.cells) < chance, other, tokens).tolist()
            prompt = PROMPTS[(i + moved) % len(PROMPTS)]
            cells.append(measure(target, Drawn(prompt, "", target.default, GRID, i, tuple(mixed))))
        return distance(cells).likelihood_gap

    return found


def test_the_more_tokens_by_chance_the_larger_the_gap(gap):
    """432 cells: AR's own gap is 0, give or take 0.1; tokens by chance are some nats away, more of them farther."""
    own, few, some, every = (gap(chance) for chance in (0.0, 0.02, 0.1, 1.0))
    assert abs(own) < 0.3 and own + 0.3 < few < some - 1 < every - 2, (own, few, some, every)


def test_a_wrong_caption_has_a_larger_gap(gap):
    assert gap(moved=1) > gap() + 0.3
