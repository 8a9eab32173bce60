"""Replays against real runs: heads exactly, windows within 10 % in passes."""

import json
import math
from statistics import fmean

import pytest

from helpers.paths import ROOT
from helpers.tiny import tiny_pipeline
from spatialspec.core.grid import Grid
from spatialspec.generation import generate
from spatialspec.lab.replay.hardware import PUBLISHED, roofline
from spatialspec.lab.replay.replay import PassCost, Prediction, measure_cost
from spatialspec.lab.replay.replay_heads import record_heads, replay_heads
from spatialspec.lab.replay.replay_window import record_window, replay_window
from spatialspec.methods.method import Method
from spatialspec.pipeline import SpatialPipeline
from spatialspec.request import Request

SHAPES = [
    "hawk",
    "hawk:depth=1",
    "hawk:depth=4:vertical_samples=2",
    "hawk:vertical=1:vertical_samples=3:horizontal_samples=2",
    "hawk:depth=3:vertical_samples=4:horizontal_samples=3:budget=60",
    "hawk:budget=0",
    "medusa",
    "medusa:horizontal=1:horizontal_samples=8",
    "hawk-vertical",
    "hawk-vertical:depth=4:vertical_samples=3",
]
LENGTHS = (8, 32)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return tiny_pipeline(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def icons():
    return SpatialPipeline.from_pretrained("icons")


def ask(pipeline, grid="6x6", prompt="a cat", seed=1) -> Request:
    return Request([prompt], [seed], pipeline.target.default, Grid.parse(grid))


def real(pipeline, method: str, request: Request) -> tuple[float, float, tuple[int, ...]]:
    (tokens,), report = generate(pipeline.target, pipeline.drafts, Method.parse(method), request)
    return report.target_passes, report.tokens_per_pass, tokens


def test_heads_are_replayed_exactly(tiny):
    for seed in range(3):
        request = ask(tiny, seed=seed)
        record = record_heads(tiny, request)
        for shape in SHAPES:
            passes, rows, tokens = real(tiny, shape, request)
            predicted = replay_heads(record, Method.parse(shape))
            assert record.tokens == tokens and predicted.passes == passes, shape
            assert fmean(predicted.slots) == pytest.approx(rows), shape
        assert len(record.entropy) == 36 and all(0 <= h <= 4.16 for h in record.entropy)


def test_a_window_as_long_as_the_record_is_exact(tiny):
    for seed in range(3):
        request = ask(tiny, seed=seed)
        record = record_window(tiny, request, 16)
        passes, rows, tokens = real(tiny, "jacobi:length=16", request)
        predicted = replay_window(record, Method.parse("jacobi:length=16"))
        assert record.tokens == tokens and record.passes == passes == predicted.passes
        assert fmean(predicted.slots) == pytest.approx(rows)


@pytest.mark.slow
@pytest.mark.parametrize(("grid", "count"), [("8x8", 3), pytest.param("12x12", 6, marks=pytest.mark.long)])
def test_icons_within_a_tenth(icons, grid, count):
    """Passes of the embedded model, mean over some images (heads: a third of them): the promise of the replay."""
    prompts = {"red apple, 3d": 0, "airplane, flat": 1, "key, emojione": 4}
    prompts |= {"banana, clip art": 5, "cat face, noto": 2, "butterfly, fluent": 3}
    every = [ask(icons, grid, prompt, seed) for prompt, seed in [*prompts.items()][:count]]
    requests = every[: count // 3]
    heads, windows = [record_heads(icons, r) for r in requests], [record_window(icons, r) for r in every]
    for shape in ("hawk:depth=4:vertical_samples=2", "medusa"):
        ran = fmean(real(icons, shape, r)[0] for r in requests)
        said = fmean(replay_heads(record, Method.parse(shape)).passes for record in heads)
        print(f"{shape}: predicted {said}, ran {ran}")
        assert abs(said / ran - 1) <= 0.1
    for length in LENGTHS:
        method = f"jacobi:length={length}"
        ran = fmean(real(icons, method, r)[0] for r in every)
        said = fmean(replay_window(record, Method.parse(method)).passes for record in windows)
        print(f"{method}: predicted {said}, ran {ran}")
        assert abs(said / ran - 1) <= 0.1


def test_what_cannot_be_replayed_is_refused(tiny):
    request = ask(tiny)
    heads, window = record_heads(tiny, request), record_window(tiny, request, 8)
    for method in ("spatial", "ssd", "jacobi", "hawk:tolerance=1"):
        with pytest.raises(ValueError, match="only these replay"):
            replay_heads(heads, Method.parse(method))
    with pytest.raises(ValueError, match="heads"):
        replay_heads(heads, Method.parse("hawk:vertical=5"))
    with pytest.raises(ValueError, match="depth 5, expected at most 4"):
        replay_heads(heads, Method.parse("hawk-vertical:depth=7"))
    for method in ("jacobi:length=9", "sjd", "spatial"):
        with pytest.raises(ValueError, match="at most 8"):
            replay_window(window, Method.parse(method))


def test_cost_of_passes():
    cost = PassCost({2: 1.0, 4: 2.0, 8: 2.5}, "by hand")
    assert [cost(rows) for rows in (1, 2, 3, 4, 6, 8, 16, 108)] == [1.0, 1.0, 1.5, 2.0, 2.25, 2.5, 3.5, 15.0]
    assert Prediction([1, 3, 8]).seconds(cost) == 5.0 and Prediction([1, 2]).passes == 2
    falling, one = PassCost({1: 2.0, 4: 1.0}, "noise"), PassCost({4: 1.0}, "one point")
    assert falling(100) == 1.0 and one(1) == one(4) == one(100) == 1.0
    for bad in ({}, {0: 1.0}, {1: 0.0}, {1: float("inf")}):
        with pytest.raises(ValueError, match="expected at least 1 slot"):
            PassCost(bad, "")


def test_measured_curves_are_loaded(tmp_path):
    for path in sorted((ROOT / "docs" / "results").glob("pass-cost-*.json")):
        record, cost = json.loads(path.read_text()), PassCost.load(path)
        assert cost(64) == record["seconds"]["64"] and cost(56) == pytest.approx(
            (record["seconds"]["48"] + record["seconds"]["64"]) / 2
        )
        assert cost.source == f"measured on {record['machine']}, {record['model']}, {record['dtype']}"
    for text in ("{", "[]", '{"seconds": 3, "machine": "", "model": "", "dtype": ""}', '{"seconds": {"a": 1}}'):
        (tmp_path / "bad.json").write_text(text)
        with pytest.raises(ValueError, match=r"bad\.json.*expected a file of benchmarks/pass_cost"):
            PassCost.load(tmp_path / "bad.json")
    with pytest.raises(ValueError, match=r"none\.json"):
        PassCost.load(tmp_path / "none.json")


def test_the_roofline_is_far_below_what_was_measured():
    measured = PassCost.load(ROOT / "docs" / "results" / "pass-cost-h100-chameleon-7b.json")
    assert 7 < measured(1) / roofline("H100 SXM", 6.6e9)(1) < 9, "as docs/show.md says"


def test_cost_is_measured(tiny):
    cost = measure_cost(tiny, slots=(1, 4, 16), repeats=2)
    assert sorted(cost.seconds) == [1, 4, 16] and cost.source == "measured on cpu"
    assert sorted(measure_cost(tiny, repeats=1).seconds) == [1, 2, 4, 8, 16], "as far as 18 cells go"
    assert sorted(measure_cost(tiny, Grid(16, 17), repeats=1).seconds) == [2**k for k in range(8)]
    with pytest.raises(ValueError, match="at most 18"):
        measure_cost(tiny, slots=(1, 19))


@pytest.mark.parametrize("name", PUBLISHED)
def test_roofline_is_flat_until_the_pass_computes_longer_than_it_reads(name: str):
    has, cost = PUBLISHED[name], roofline(name, 7e9)
    knee = has.peak / has.bandwidth / 2
    assert cost(1) == pytest.approx(14e9 / has.bandwidth) and "not measured" in cost.source
    assert cost(2 ** int(math.log2(knee))) == cost(1)
    assert cost(512) == pytest.approx(2 * 7e9 * 512 * 2 / has.peak) and knee < 512
    assert roofline(name, 7e9, streams=1)(512) == pytest.approx(cost(512) / 2)


def test_roofline_of_unknown_hardware():
    with pytest.raises(ValueError, match="got hardware 'TPU', expected one of RTX 3090"):
        roofline("TPU", 7e9)
    with pytest.raises(ValueError, match="got 0 parameters"):
        roofline("RTX 3090", 0)
