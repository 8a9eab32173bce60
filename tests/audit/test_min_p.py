"""min-p is audited: every plan has a toy where it takes tokens away, and a sampler that leaves it out is found out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from spatialspec.audit.audit import audit, chi_square_tests, level_of
from spatialspec.audit.cases import FULL, QUICK, Plan
from spatialspec.core.sampling import Sampling
from spatialspec.methods.method import Method
from spatialspec.methods.registry import audited


@pytest.mark.parametrize("plan", [QUICK, FULL], ids=["quick", "full"])
def test_every_plan_has_a_toy_of_min_p(plan: Plan) -> None:
    """And there images are possible without it that are impossible with it."""
    cases = [case for case in plan.cases if case.sampling.min_p]
    for case in cases:
        possible, without = (
            int(np.count_nonzero(case.toy().joint(sampling)))
            for sampling in (case.sampling, replace(case.sampling, min_p=0.0))
        )
        assert possible < 0.6 * without, case
    assert cases


@pytest.mark.parametrize("method", ["ar", "sjd"])
def test_a_sampler_without_min_p_is_found(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the level of the audit of everything; false alarms have odds below 1e-6."""
    (case,) = [case for case in QUICK.cases if case.sampling.min_p]
    plan = replace(QUICK, cases=(replace(case, images=200),), others=200)
    everything = [Method.parse(text) for text in audited()]
    level = level_of(chi_square_tests(everything, QUICK))
    filters = vars(Sampling)["filters"].func
    monkeypatch.setattr(Sampling, "filters", property(lambda self: filters(self)._replace(min_p=False)))
    document = audit([Method.parse(method)], plan)
    assert all(found.p <= level for found in document.methods)
