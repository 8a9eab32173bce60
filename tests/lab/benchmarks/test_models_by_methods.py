"""`benchmarks/models_by_methods.py` over two models and three methods: the record, its page, and a broken promise."""

from __future__ import annotations

import copy
import json
import runpy
from collections.abc import Callable
from typing import Any

import pytest

from helpers.paths import ROOT
from spatialspec.drafts.registry import kinds

pytestmark = pytest.mark.slow  # it trains drafts of every kind for two models
Script = dict[str, Callable[..., Any]]


@pytest.fixture(scope="module")
def script() -> Script:
    return runpy.run_path(str(ROOT / "benchmarks" / "models_by_methods.py"))


@pytest.fixture(scope="module")
def record(script: Script, tmp_path_factory: pytest.TempPathFactory) -> Any:
    out = tmp_path_factory.mktemp("table") / "table"
    assert script["main"](["--models", "icons,classes", "--methods", "hawk,sjd,csd", "--out", str(out)]) == 0
    found = json.loads(out.with_suffix(".json").read_text())
    assert out.with_suffix(".md").read_text() == script["page"](found)
    return found


def test_every_promise_is_tried(record: Any) -> None:
    rules = [("hawk", "coupled"), ("hawk", "rejection"), ("sjd", "rejection"), ("csd", "rejection")]
    assert [(row["method"], row["rule"]) for row in record["methods"]] == rules
    assert [model["model"] for model in record["models"]] == ["icons", "classes"]
    for model in record["models"]:
        assert [(row["method"], row["rule"]) for row in model["drawn"]] == rules
        assert [row["seed"] for row in model["drawn"]] == [2, None, None, None]
        assert all(row["batch"] == row["images"] == 2 for row in model["drawn"])
        assert [row["drafts"] for row in model["trained"]] == list(kinds())
        assert all(row["changed"] > 0 for row in model["trained"])


def test_what_does_not_hold_is_named(script: Script, record: Any) -> None:
    assert script["broken"](record) == []
    for key, value in (("seed", 1), ("batch", 0)):
        wrong = copy.deepcopy(record)
        wrong["models"][1]["drawn"][0][key] = value
        assert script["broken"](wrong) == ["classes: hawk under coupled"]
        assert f"| `hawk` | yes | {value} of 2 |" in script["page"](wrong).replace("coupled | ", "")
    wrong["models"][0]["drawn"][2]["refused"] = "got a grid, expected another"
    assert "- got a grid, expected another" in script["page"](wrong)
