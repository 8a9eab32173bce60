"""Intervals over few prompts: Student's t, how often they hold the truth, and every place that makes one."""

import numpy as np
import pytest
import scipy.stats

from spatialspec.lab.reproduce.content_direction import regress
from spatialspec.lab.reproduce.paired import of_means
from spatialspec.measure.intervals import bootstrapped, mean_over_prompts, student, widening
from spatialspec.quality.measuring import Measured, Metrics
from spatialspec.quality.quality import summarise


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 5, 7, 11, 12, 31, 200, 4999])
def test_students_t(freedom):
    assert student(freedom) == pytest.approx(scipy.stats.t.ppf(0.975, freedom), rel=1e-9)


def test_a_mean_and_its_interval():
    figure = mean_over_prompts([1.0, 3.0, 5.0, 7.0], [0, 0, 1, 1])
    reach = 2 * 2**0.5 * scipy.stats.t.ppf(0.975, 1) / scipy.stats.norm.ppf(0.975)
    assert figure.value == 4.0 and figure.interval == pytest.approx((4 - reach, 4 + reach))
    assert mean_over_prompts([], []) is None
    assert mean_over_prompts([3.0, 5.0], [1, 1]).interval == (4.0, 4.0), "one prompt has no spread"


@pytest.mark.parametrize("prompts", [6, 20])
def test_how_often_the_truth_is_held(prompts):
    """2,000 samples of normal numbers: 94 to 95 % hold; below 93 % or above 97 % has odds of 1 in 100 at most."""
    draw = np.random.default_rng(prompts)
    samples = draw.normal(size=(2000, prompts))
    found = [mean_over_prompts(sample, range(prompts)).interval for sample in samples]
    assert 0.93 <= np.mean([low <= 0 <= high for low, high in found]) <= 0.97


def test_every_bootstrap_is_widened_alike():
    values = np.random.default_rng(5).normal(size=9)
    mean = mean_over_prompts(values, range(9))
    together = of_means([values.tolist()], lambda means: means[0])
    constant = regress([(np.array([[1.0, 0.0, 0.0]]), np.array([v])) for v in values])[0]
    for other in (together, constant):
        assert other.value == pytest.approx(mean.value) and other.interval == pytest.approx(mean.interval)
    raw = np.array([0.3, 0.3, 0.7, 0.7])
    assert bootstrapped(0.5, raw, 9).interval == pytest.approx((0.5 - 0.2 * widening(9), 0.5 + 0.2 * widening(9)))


def test_shares_stay_shares():
    values, prompts = [1.0] * 7 + [0.0], range(8)
    assert mean_over_prompts(values, prompts).interval[1] > 1
    assert mean_over_prompts(values, prompts, bounds=(0, 1)).interval[1] == 1


class Scenes:
    """Every prompt counts for the figure `scenes` alone."""

    def of(self, figure: str, prompt: str) -> bool:
        return figure == "scenes"


def test_no_share_of_an_evaluation_leaves_its_bounds():
    """Seven of eight prompts right: the widened interval would end above 1, and of the difference from AR below -1."""
    none, size = [None] * 8, range(8)
    known = {"prompts": list(size), "passes": [9.0] * 8, "gap": none, "entropy": none, "error": [1.0] * 8}
    own = Measured(**known, same=[1.0] * 7 + [0.0], shown=[False] * 7 + [True])
    ar = Measured(**known, same=[1.0] * 8, shown=[True] * 8)
    found = summarise(own, ar, None, Metrics(scenes=Scenes()), ["a cat"] * 8, False)
    assert found["same_tokens_as_ar"][0].interval[1] == 1
    share, difference = found["scenes"]
    assert share.interval[0] == 0 and difference.interval[0] == -1 and difference.value == -7 / 8
