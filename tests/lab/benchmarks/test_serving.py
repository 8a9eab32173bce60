"""`benchmarks/serving.py`: every load of both servers, ratios to plain AR without batches, and abuse, in small."""

import json
import random
import re
import runpy
from pathlib import Path

import pytest

from helpers.paths import ROOT
from helpers.serving import serving
from helpers.tiny import tiny_folder, tiny_pipeline

PAGE = ROOT / "docs" / "results" / "serving.md"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> dict:
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "src"))
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return runpy.run_path(str(ROOT / "benchmarks" / "serving.py"))


@pytest.mark.slow
def test_every_load_and_every_abuse(tmp_path: Path, capsys: pytest.CaptureFixture[str], script: dict) -> None:
    words = ["--model", str(tiny_folder(tmp_path / "tiny")), "--clients", "1", "3", "--batch", "2", "--images", "2"]
    words += ["--least", "4"]
    words += [
        "--crowd",
        "6",
        "--seconds",
        "1",
        "--bodies",
        "60",
        "--visits",
        "20",
        "--report",
        str(tmp_path / "serving"),
    ]
    script["main"](words)
    record = json.loads((tmp_path / "serving.json").read_text())
    assert record["settings"]["model"] == "tiny" and record["settings"]["dtype"] == "fp32"
    assert len(record["runs"]) == 8 and capsys.readouterr().out.count(" clients, batch ") == 8
    for clients in (1, 3):
        runs = {(run["batch"], run["method"]): run for run in record["runs"] if run["clients"] == clients}
        assert {*runs} == {(1, "ar"), (1, "spatial"), (2, "ar"), (2, "spatial")}
        for run in runs.values():
            assert run["images"] == max(4, 2 * clients) and 0 < run["p50"] <= run["p95"]
            assert run["tokens_per_second"] == pytest.approx(36 * run["images_per_second"])
            base = runs[1, "ar"]
            assert run["to_ar_of_batch_1"] == pytest.approx({
                "throughput": run["images_per_second"] / base["images_per_second"],
                "p50": run["p50"] / base["p50"], "p95": run["p95"] / base["p95"],
            })  # fmt: skip
    abused = record["abuse"]
    assert {*abused["crowd"]["outcomes"]} == {"right"} and abused["crowd"]["outcomes"]["right"] > 6
    assert abused["malformed"]["bodies"] == 60 and abused["malformed"]["traces"] == 0
    assert sum(abused["malformed"]["statuses"].values()) == 60
    assert all(400 <= int(status) < 500 for status in abused["malformed"]["statuses"])
    assert abused["end"]["images"] == 0 and abused["hang_ups"]["visits"] == 20
    assert abused["slow_readers"] == {"readers": 1, "outcomes": {"right": 12}}
    assert sum(abused["server_killed"]["outcomes"].values()) == 2 and abused["server_killed"]["next_server"] == "right"
    page = (tmp_path / "serving.md").read_text()
    assert f"| {abused['crowd']['outcomes']['right']} right |" in page and page == script["page"](record)


def test_an_image_of_somebody_else_is_noticed(tmp_path: Path, script: dict) -> None:
    """And one that does not come."""
    pipeline = tiny_pipeline(tmp_path / "tiny")
    (job, other), images = (("a cat", "ar", 0), ("a cat", "ar", 1)), script["wanted"](pipeline, ["a cat"], ("ar",), 2)
    outcome = script["crowd"].__globals__["outcome"]
    with serving(pipeline) as served:
        assert outcome(served.http, job, images) == "right"
        assert outcome(served.http, job, {job: images[other]}) == "mixed up"
        assert outcome(served.http, ("a cat", "none", 0), images) == "400"
    assert outcome(served.http, job, images) == "lost"


def test_who_does_not_read_is_beside_others(tmp_path: Path, script: dict) -> None:
    """Their images are asked for, and what others get is counted."""
    images = script["wanted"](tiny_pipeline(tmp_path / "tiny"), ["a cat"], ("ar",), 3)
    with serving(tiny_pipeline(tmp_path / "tiny")) as served:
        assert script["slow_readers"](served.http, images, 2) == {"readers": 2, "outcomes": {"right": 3}}
        served.settled()


def test_nonsense_is_never_a_request(script: dict) -> None:
    """Of each kind there is some; a body that could be drawn would make the count of refusals mean nothing."""
    nonsense = script["malformed"].__globals__["nonsense"]
    bodies = {nonsense(random.Random(seed)) for seed in range(400)}
    assert len(bodies) > 250 and any(body.startswith(b"[") for body in bodies) and b"null" in bodies


def test_the_page_is_that_of_its_record(script: dict) -> None:
    record = json.loads(PAGE.with_suffix(".json").read_text())
    assert PAGE.read_text() == script["page"](record)
    abused = record["abuse"]
    assert {*abused["crowd"]["outcomes"]} == {"right"} and abused["malformed"]["traces"] == 0
    assert all(re.fullmatch(r"4\d\d", status) for status in abused["malformed"]["statuses"])
