"""Verdicts follow from figures: turn the figures round and the verdict turns."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from spatialspec.core.grid import Grid
from spatialspec.core.sampling import Sampling
from spatialspec.lab.reproduce import hawk_table1, ssd_rounds, ssd_schedule
from spatialspec.lab.reproduce.context import ExperimentContext
from spatialspec.lab.reproduce.page import page
from spatialspec.lab.reproduce.paired import FIGURES, PairedRun
from spatialspec.lab.reproduce.report import ExperimentReport, ReproduceSettings
from spatialspec.lab.reproduce.verdict import FAILS, HOLDS, LEAST, OPEN, Claim, verdict
from spatialspec.measure.intervals import Figure
from spatialspec.methods.method import Method
from spatialspec.request import Request

PROMPTS = 8


@pytest.mark.parametrize(
    ("interval", "low", "high", "samples", "found"),
    [
        ((0.1, 0.4), 0, np.inf, LEAST, HOLDS),
        ((-0.4, -0.1), 0, np.inf, LEAST, FAILS),
        ((-0.1, 0.4), 0, np.inf, LEAST, OPEN),
        ((0.1, 0.4), 0, np.inf, LEAST - 1, OPEN),
        ((0.1, 0.4), -0.5, 0.5, LEAST, HOLDS),
        ((0.6, 0.7), -0.5, 0.5, LEAST, FAILS),
        ((-0.7, -0.6), -0.5, 0.5, LEAST, FAILS),
        ((0.4, 0.6), -0.5, 0.5, LEAST, OPEN),
        (None, 0, np.inf, LEAST, OPEN),
    ],
)
def test_the_rule(interval, low, high, samples, found):
    figure = Figure(0.2, interval)
    assert Claim("so it is", figure, samples, "", low, high).found == found
    assert Claim("so it is", None, samples, "", low, high).found == OPEN


def test_a_verdict_is_that_of_the_worst_claim():
    good, bad, open_ = (Claim("", Figure(0, i), LEAST) for i in ((1, 2), (-2, -1), (-1, 1)))
    assert verdict([good, good]) == HOLDS
    assert verdict([good, open_]) == verdict([]) == OPEN
    assert verdict([good, open_, bad]) == FAILS


def made_up(methods: dict[str, dict[str, float]]) -> PairedRun:
    """A run with these figures for every image, plus a little that differs from image to image."""
    results, images = {}, {}
    for number, (method, figures) in enumerate(methods.items()):
        name = str(Method.parse(method))
        base = dict.fromkeys([c.key for c in FIGURES if c.key != "alignment"], 1.0) | {"seconds": 1.0} | figures
        base["method"] = name
        results[name] = SimpleNamespace(**base)
        noise = 0.001 * np.random.default_rng(number).random(PROMPTS)
        images[name] = [
            SimpleNamespace(**{k: v + n if k != "target_passes" and k != "method" else v for k, v in base.items()})
            for n in noise
        ]
    return PairedRun(results, images, {name: [] for name in images}, None)


LAB = ExperimentContext(None, Request.of(("a",) * PROMPTS, Sampling(), Grid(24, 24)))


def found_by(monkeypatch, experiment, methods) -> dict[str, str]:
    """Claims of an experiment by their first words, on made-up figures."""
    monkeypatch.setattr(experiment, "draw_all", lambda context, asked: made_up(methods))
    outcome = experiment.run(LAB)
    return {claim.text: claim.found for claim in outcome.claims} | {"verdict": verdict(outcome.claims)}


def test_hawks_table_turns_with_the_figures(monkeypatch):
    figures = {
        "ar": {"accepted_length": 1.0, "likelihood_gap": 0.0},
        "medusa": {"accepted_length": 1.7, "likelihood_gap": 0.0},
        "hawk-vertical": {"accepted_length": 1.7, "likelihood_gap": 0.0},
        hawk_table1.LANTERN: {"accepted_length": 1.8, "likelihood_gap": 0.4},
        "hawk": {"accepted_length": 1.9, "likelihood_gap": 0.02},
    }
    found = found_by(monkeypatch, hawk_table1, figures)
    assert set(found.values()) == {HOLDS} and len(found) == 6
    figures["medusa"]["accepted_length"] = 2.0
    turned = found_by(monkeypatch, hawk_table1, figures)
    assert turned["verdict"] == turned["Hawk accepts more tokens than Medusa"] == FAILS
    assert list(turned.values()).count(FAILS) == 2, "only what was turned"
    figures["hawk"]["likelihood_gap"] = -0.7
    turned = found_by(monkeypatch, hawk_table1, figures)
    assert turned["Hawk's images are as likely as AR's"] == FAILS
    assert turned["Hawk is closer to AR in likelihood than LANTERN++"] == FAILS


def test_rounds_and_schedules_turn_with_the_figures(monkeypatch):
    gaps = dict(zip(ssd_rounds.METHODS, (2.0, 1.0, 0.5, 0.4), strict=True))
    passes = dict(zip(ssd_rounds.METHODS, (34, 57, 80, 103), strict=True))
    methods = {"ar": {"likelihood_gap": 0.0, "target_passes": 576}}
    methods |= {m: {"likelihood_gap": gaps[m], "target_passes": passes[m]} for m in gaps}
    assert found_by(monkeypatch, ssd_rounds, methods)["verdict"] == HOLDS
    methods[ssd_rounds.METHODS[2]] = {"likelihood_gap": 1.5, "target_passes": 81}
    turned = found_by(monkeypatch, ssd_rounds, methods)
    assert list(turned.values()).count(FAILS) == 4 and turned["one round is closer to AR than none"] == HOLDS
    joint, *staged = [ssd_schedule.JOINT, *ssd_schedule.STAGED]
    methods = {
        "ar": {"likelihood_gap": 0.0, "target_passes": 576},
        joint: {"likelihood_gap": 1.0, "target_passes": 130},
    }
    methods |= {m: {"likelihood_gap": -0.5 + 0.1 * i, "target_passes": 120} for i, m in enumerate(staged)}
    assert found_by(monkeypatch, ssd_schedule, methods)["verdict"] == HOLDS, "a gap below 0 is as far as one above"
    methods[joint]["likelihood_gap"] = 0.0
    assert found_by(monkeypatch, ssd_schedule, methods)["verdict"] == FAILS


def test_the_page_says_which_claims_fail():
    values = dict.fromkeys(ReproduceSettings.model_fields, 0)
    texts = {name: "x" for name, f in ReproduceSettings.model_fields.items() if f.annotation is str}
    settings = ReproduceSettings(**(values | texts | {"quick": False}))
    claims = [Claim("cats are black", Figure(-2.0, (-3.0, -1.0)), 9, "cats"), Claim("dogs bark", Figure(2, (1, 3)), 9)]
    known = {"name": "x", "summary": "s", "source": "p", "about": "a", "tables": []}
    both = ExperimentReport(settings=settings, verdict=verdict(claims), claims=[c.result for c in claims], **known)
    assert "**Does not hold**: 1 of 2 claims hold. What does not hold: cats are black." in page(both)
    assert "| cats are black | -2 cats | -3 to -1 | above 0 | does not hold |" in page(both)
    good = ExperimentReport(settings=settings, verdict=verdict(claims[1:]), claims=[claims[1].result], **known)
    assert "**Holds**: 1 of 1 claims hold.\n" in page(good) and "What" not in page(good)
