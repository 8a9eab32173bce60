"""One tiny pipeline for all tests of the server, and a gate before its passes."""

from __future__ import annotations

import pytest

from helpers.gate import Gate
from helpers.tiny import tiny_pipeline
from spatialspec.pipeline import SpatialPipeline
from spatialspec.serve.scheduler import Scheduler


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Gate:
    gate = Gate()
    monkeypatch.setattr(Scheduler, "_leave", gate.guarded(Scheduler._leave))
    return gate


@pytest.fixture(scope="session")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> SpatialPipeline:
    made = tiny_pipeline(tmp_path_factory.mktemp("served") / "tiny")
    made.set_progress_bar_config(disable=True)
    return made
