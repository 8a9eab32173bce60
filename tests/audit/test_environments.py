"""Toys of the audit."""

from dataclasses import asdict

from spatialspec.audit.cases import Case, Plan
from spatialspec.audit.environments import ToyEnvironment
from spatialspec.audit.replicas import NoiseTable
from spatialspec.core.sampling import Sampling


def test_a_sampling_that_was_used_before() -> None:
    """What a sampling caches is none of its settings."""
    used = Sampling(temperature=0.7, top_k=2)
    assert used.filters.top_k
    case = Case(False, "2x2", 3, used, 1)
    assert asdict(ToyEnvironment(case, Plan((case,), 1, 0), NoiseTable(1, 4, 3)).sampling) == asdict(used)
