"""Recorded pages of `reproduce` are those of their records."""

from __future__ import annotations

import json

import pytest

from helpers.paths import ROOT
from spatialspec.lab.reproduce.page import page
from spatialspec.lab.reproduce.registry import EXPERIMENTS
from spatialspec.lab.reproduce.report import ExperimentReport
from spatialspec.lab.reproduce.verdict import FAILS, HOLDS, OPEN, Claim, Figure

RECORDS = ROOT / "docs" / "results"


NOTE = "R-precision was not measured: "


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_recorded_pages_are_those_of_their_records(name):
    """The page is written from the record, and every verdict in it follows from its intervals."""
    report = ExperimentReport.model_validate_json((RECORDS / f"{name}.json").read_text())
    assert page(report) == (RECORDS / f"{name}.md").read_text() and not report.settings.quick
    inf = float("inf")
    for c in report.claims:
        figure = None if c.value is None else Figure(c.value, c.interval)
        low, high = (-inf if c.low is None else c.low), (inf if c.high is None else c.high)
        assert Claim(c.text, figure, report.settings.prompts, c.unit, low, high).found == c.found, c.text
    found = {c.found for c in report.claims}
    assert report.verdict == (FAILS if FAILS in found else HOLDS if found == {HOLDS} else OPEN)
    judged = [row["alignment"] for table in report.tables for row in table.rows if "alignment" in row]
    shown = [c.key for table in report.tables for c in table.columns]
    if "alignment" in shown and None in judged:
        assert any(NOTE in note for note in report.notes), "a `-` is explained"
    if EXPERIMENTS[name].folders:
        assert report.settings.drafts == "", "folders are compared, not the model's own drafts"


def test_records_are_json():
    for name in EXPERIMENTS:
        json.loads((RECORDS / f"{name}.json").read_text(), parse_constant=pytest.fail)
