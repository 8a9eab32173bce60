"""The paired run and its JSON document."""

import json
import mmap
import re
import sys
from collections import Counter
from dataclasses import replace

import pytest
import torch

from helpers.tiny import call_main, tiny_folder
from spatialspec.core.noise import Noise
from spatialspec.core.sampler import readout
from spatialspec.core.step import Readout
from spatialspec.measure import bench as bench_module
from spatialspec.measure.bench import bench
from spatialspec.measure.memory import peak, reset_peak
from spatialspec.measure.metrics import METRICS, MethodResult
from spatialspec.measure.runs import check
from spatialspec.methods.coupled import Coupled
from spatialspec.methods.method import Method
from spatialspec.pipeline import SpatialPipeline
from spatialspec.request import STRIDE, Request

KEYS = (  # of the table in the contract
    {"method", "verifier", "exact", "seed_exact", "images", "target_passes", "tokens_per_pass", "accepted_length"}
    | {"seconds", "speedup_seconds", "speedup_passes", "same_tokens_as_ar", "unexplained_divergences"}
    | {"likelihood_gap", "entropy", "pit_ks", "peak_memory_bytes", "device", "dtype", "version"}
)
PROMPTS = ("red apple, 3d", "a cat", "blue heart, flat")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_folder(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def pipeline(folder):
    return SpatialPipeline.from_pretrained(folder)


def request_for(pipeline, prompts=PROMPTS, **changes) -> Request:
    return Request.of(prompts, **({"sampling": pipeline.target.default, "grid": pipeline.target.grid} | changes))


def run(pipeline, methods: str, prompts=PROMPTS, report=lambda method, tokens: None, **changes):
    return bench(pipeline, Method.parse_list(methods), request_for(pipeline, prompts, **changes), report)


def test_document(pipeline):
    document = run(pipeline, "ar,hawk:horizontal=1,ssd")
    parsed = json.loads(document.json_text(), parse_constant=lambda word: pytest.fail(f"{word} in JSON"))
    assert set(parsed) == {"settings", "methods", "images"}
    assert [m["method"] for m in parsed["methods"]] == ["ar", "hawk:horizontal=1", "ssd"]
    for method in parsed["methods"]:
        assert KEYS <= set(method) == set(MethodResult.model_fields)
        assert {k for k, v in method.items() if v is None} <= {"unexplained_divergences"}
        assert method["images"] == 3 and method["device"] == "cpu" and method["dtype"] == "fp32"
        low, high = method["seconds_quartiles"]
        assert 0 < method["seconds_min"] <= low <= method["seconds"] <= high <= method["seconds_max"]
        assert method["peak_memory_bytes"] > 10_000_000
    ar, hawk, ssd = parsed["methods"]
    assert ar["target_passes"] == 36 and ar["tokens_per_pass"] == ar["accepted_length"] == 1
    assert ar["speedup_passes"] == ar["speedup_seconds"] == ar["same_tokens_as_ar"] == 1
    assert hawk["exact"] and hawk["seed_exact"] and hawk["same_tokens_as_ar"] == 1
    assert hawk["unexplained_divergences"] == ar["unexplained_divergences"] == 0
    assert not ssd["exact"] and ssd["unexplained_divergences"] is None and ssd["same_tokens_as_ar"] < 1
    assert (
        parsed["settings"]["seed"] == 0 and parsed["settings"]["size"] == "6x6" and parsed["settings"]["prompts"] == 3
    )


def test_a_metric_is_one_entry(pipeline, folder, capsys):
    """Every field of a result has its computation, and every abbreviated heading a line under the table."""
    assert METRICS.keys() == MethodResult.model_fields.keys()
    code, out, _ = call_main(capsys, "bench", "--methods", "ar", "--limit", 1, "--model", folder)
    table, below = out.splitlines()[:2], "\n".join(out.splitlines()[2:])
    assert code == 0 and [one.heading for one in METRICS.values() if one.table and one.heading not in table[0]] == []
    assert re.search("^gap: log-likelihood gap", below, re.M) and re.search("^pit ks: Kolmogorov", below, re.M)


def test_ar_runs_as_reference_and_is_listed_only_if_named(pipeline):
    document = run(pipeline, "hawk,hawk", PROMPTS[:1])
    (hawk,) = document.methods
    assert hawk.speedup_passes == pytest.approx(36 / hawk.target_passes)


class Recorder:
    """A pipeline that notes its calls."""

    def __init__(self, pipeline) -> None:
        self.pipeline, self.calls = pipeline, []

    def __getattr__(self, name: str) -> object:
        return getattr(self.pipeline, name)

    def draw(self, request, method, **settings):
        self.calls.append((request.prompts[0], str(method), request.seeds[0]))
        return self.pipeline.draw(request, method, **settings)


def test_methods_take_turns_on_equal_prompts_and_seeds(pipeline):
    recorder = Recorder(pipeline)
    run(recorder, "hawk,ssd", PROMPTS, seed=5, images=2)
    methods = ["ar", "hawk", "ssd"]
    assert recorder.calls[:3] == [(PROMPTS[0], m, 5) for m in methods], "one warm-up for each method"
    turns = [recorder.calls[3 + 3 * i : 6 + 3 * i] for i in range(6)]
    for i, turn in enumerate(turns):
        prompt, image = divmod(i, 2)
        assert {(p, s) for p, _, s in turn} == {(PROMPTS[prompt], 5 + STRIDE * prompt + image)}
        assert sorted(m for _, m, _ in turn) == methods
    firsts = Counter(turn[0][1] for turn in turns)
    assert firsts == {"ar": 2, "hawk": 2, "ssd": 2}, "nobody always goes first"


def test_speedups_are_paired(pipeline, monkeypatch):
    seconds = {"ar": [9.0, 4.0, 10.0, 30.0], "hawk": [9.0, 2.0, 10.0, 10.0]}  # the first is the warm-up
    original = bench_module.draw

    def draw(pipeline, method, *rest):
        (sample,) = original(pipeline, method, *rest)
        return [replace(sample, report=replace(sample.report, seconds=seconds[method.name].pop(0)))]

    monkeypatch.setattr(bench_module, "draw", draw)
    (hawk,) = run(pipeline, "hawk").methods
    assert hawk.speedup_seconds == 2.0, "the median of 2, 1 and 3, not 10 / 10"
    assert hawk.seconds == 10.0 and (hawk.seconds_min, hawk.seconds_max) == (2.0, 10.0)


def test_same_seed_same_tokens(pipeline):
    document = run(pipeline, "hawk,medusa,hawk-vertical", PROMPTS[:2], seed=11)
    assert all(m.same_tokens_as_ar == 1 and m.unexplained_divergences == 0 for m in document.methods)


def test_a_planted_divergence_is_counted(pipeline, monkeypatch):
    verify = Coupled.verify

    def wrong(self, proposal, scores, state):
        verdict = verify(self, proposal, scores, state)
        if len(proposal) and verdict.token is not None and state.frontier > 10:
            return replace(verdict, token=(verdict.token + 1) % scores.p.shape[-1])
        return verdict

    monkeypatch.setattr(Coupled, "verify", wrong)
    ar, hawk = run(pipeline, "ar,hawk").methods
    assert ar.unexplained_divergences == 0
    assert hawk.unexplained_divergences == 3 and hawk.same_tokens_as_ar < 1


def test_noise_that_ignores_the_seed_is_counted(pipeline, monkeypatch):
    verify = Coupled.verify

    def other_seed(self, proposal, scores, state):
        if len(proposal):
            p, cells = scores.p, [state.frontier, *(cell + 1 for cell in proposal.cells)]
            other = Noise(self.noise.seed + 1, state.layout.cells, p.shape[-1])
            columns = readout(p, other.gumbel(cells), 1, None).numpy()
            scores = replace(scores, readout=Readout(columns, 1, 1))
        return verify(self, proposal, scores, state)

    monkeypatch.setattr(Coupled, "verify", other_seed)
    (hawk,) = run(pipeline, "hawk").methods
    assert hawk.unexplained_divergences == 3


def test_rejection_promises_the_law_only(pipeline):
    ar, hawk = run(pipeline, "ar,hawk", PROMPTS[:1], verifier="rejection").methods
    assert hawk.exact and not hawk.seed_exact and hawk.unexplained_divergences is None
    assert ar.exact and not ar.seed_exact and hawk.same_tokens_as_ar is not None


def test_undefined_values_are_null(pipeline, folder):
    greedy = replace(pipeline.target.default, temperature=0.0)
    (hawk,) = run(pipeline, "hawk", PROMPTS[:1], sampling=greedy).methods
    assert hawk.likelihood_gap is hawk.entropy is hawk.pit_ks is None
    assert hawk.unexplained_divergences == 0
    half = SpatialPipeline.from_pretrained(folder, torch_dtype=torch.bfloat16)
    (hawk,) = run(half, "hawk", PROMPTS[:1]).methods
    assert hawk.dtype == "bf16" and hawk.unexplained_divergences is None and 0 <= hawk.same_tokens_as_ar <= 1


def test_progress_counts_every_token(pipeline):
    told: Counter[str] = Counter()
    run(pipeline, "hawk,ssd", PROMPTS[:2], lambda method, tokens: told.update({method: tokens}))
    assert told == dict.fromkeys(("ar", "hawk", "ssd"), 3 * 36)


@pytest.mark.parametrize(
    ("methods", "changes", "message"),
    [
        ("", {}, "no method"),
        ("hawk", {"prompts": ()}, "no prompt"),
        ("hawk", {"prompts": (" ",)}, "empty prompt"),
        ("hawk", {"prompts": ("word " * 99,)}, "expected at most 24"),
        ("hawk:horizontal=3", {}, "expected at most the 2"),
        ("ar", {"verifier": "hope"}, "coupled, rejection"),
        ("ar", {"images": 0}, "1 to 1024"),
        ("ar", {"seed": -1}, "got seed -1"),
    ],
)
def test_bad_requests_stop_before_anything_is_drawn(pipeline, methods, changes, message):
    recorder = Recorder(pipeline)
    with pytest.raises(ValueError, match=message):
        run(recorder, methods, **changes)
    assert not recorder.calls


def test_a_negative_prompt_needs_guidance(pipeline):
    plain = replace(pipeline.target.default, guidance=1.0)
    with pytest.raises(ValueError, match="negative prompt"):
        check(pipeline, [Method.parse("ar")], request_for(pipeline, sampling=plain, negative="text"))


def test_drafts_are_asked_for_before_anything_is_drawn(pipeline):
    with pytest.raises(ValueError, match="--draft"):
        check(SpatialPipeline(pipeline.target), [Method.parse("ssd")], request_for(pipeline))


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the peak is that of the whole process")
def test_peak_memory_sees_an_allocation():
    cpu = torch.device("cpu")
    reset_peak(cpu)
    before = peak(cpu)
    with mmap.mmap(-1, 100_000_000) as block:  # of the system's: an allocator may have pages left from other tests
        block.write(bytes(len(block)))
    assert peak(cpu) - before > 80_000_000


def test_jobs_have_seeds_of_their_own(pipeline):
    request = request_for(pipeline, images=3, seed=2**63 - 2)
    assert len(set(request.seeds)) == 9 and all(0 <= seed < 2**63 for seed in request.seeds)
