"""`spatialspec doctor` on models that are well: every kind of target, the command, its table and its document."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
import torch

from helpers.covering import covering
from helpers.doctors import FLAT, diagnose, give_curve, named
from helpers.real_targets import MAKES
from helpers.tiny import call_main, tiny_folder
from spatialspec.budget import Cost
from spatialspec.cli.doctor import line
from spatialspec.core.errors import BadInput
from spatialspec.doctor.files import open_folder
from spatialspec.doctor.report import Finding, from_error
from spatialspec.io.sealed import read_sealed, write_sealed
from spatialspec.targets.registry import shipped

ROW_ENDS = {"emu3": r"id \d+ behind 2 rows, nothing behind the last", "lumina": r"id \d+ behind 3 rows"}
ROW_ENDS |= {"lumina2": ROW_ENDS["lumina"], "emu35": ROW_ENDS["emu3"]}
PROMPTS = {"classes": "0", "codes": "<I0>"}


@pytest.mark.parametrize("kind", MAKES)
def test_every_kind_of_model(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    give_curve(monkeypatch)
    folder, size = MAKES[kind].make(tmp_path / kind), MAKES[kind].size
    found = diagnose(folder, folder / "drafts" if kind == "icons" else None, size)
    broken = [finding for finding in found.checks if finding.status == "failed"]
    assert found.ok and not broken and found.advice
    assert re.match(ROW_ENDS.get(kind, "none$"), named(found.checks, "row ends").got)
    assert float(named(found.checks, "one pass for many cells").got.split()[0]) < 1e-4
    if kind in ("janus", "emu3", "anole", "lumina", "lumina2", "liquid", "simplear", "emu35"):
        assert float(named(found.checks, "sequence").got.split()[0]) < 1e-4
    assert found.settings.prompt == PROMPTS.get(kind, "a red apple") and found.settings.size is not None
    methods = ["ar", "spatial", *(["hawk"] if kind == "icons" else [])]
    assert [said.method for said in found.methods] == methods
    for method in methods[1:]:
        assert named(found.checks, f"{method}: quality").got.startswith("AR's tokens in ")


@pytest.mark.parametrize("kind", ["janus", "classes", "icons"])
def test_half_precision(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What rounding does to scores is let pass, and to tokens where they part from AR's."""
    give_curve(monkeypatch)
    folder, size = MAKES[kind].make(tmp_path / kind), MAKES[kind].size
    found = diagnose(folder, size=size, dtype=torch.bfloat16)
    assert found.ok and found.settings.dtype == "bf16"
    far = [float(f.got.split()[0]) for f in found.checks if f.check in ("one pass for many cells", "sequence")]
    assert 1e-3 < max(far) < 1, "there is something to let pass"


def test_every_kind_is_known(tmp_path: Path) -> None:
    kinds = {open_folder(made.make(tmp_path / kind)).kind.name for kind, made in MAKES.items()}
    assert kinds == {kind.name for kind in shipped()}


def test_the_command(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Measured once, into the cache of --budget auto; the document holds what the lines say."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder, report = tiny_folder(tmp_path / "tiny"), tmp_path / "report.json"
    code, out, err = call_main(capsys, "doctor", "--model", folder, "--json", report)
    assert (code, err) == (0, "")
    document = json.loads(report.read_text())
    findings = [Finding(**check) for check in document["checks"]]
    assert [line(finding) for finding in findings] == out.splitlines()[1 : len(findings) + 1]
    assert document["advice"] in out and all(said["method"] in out for said in document["methods"])
    (cached,) = (tmp_path / "cache" / "spatialspec" / "budgets").glob("*.json")
    assert read_sealed(cached) == {"figures": document["widths"]}
    assert document["settings"]["fingerprint"] in out and document["settings"]["dtype"] == "fp32"
    ar, *others = document["methods"]
    assert ar["passes"] == 36 and ar["times_as_fast"] == 1.0 and all(said["passes"] < 36 for said in others)
    write_sealed(cached, {"figures": [vars(cost) for cost in FLAT]})
    code, out, _ = call_main(capsys, "doctor", "--model", folder)
    assert code == 0 and "\nuse --method spatial: about 4 passes and 0.04 s for 6x6 cells, 9.00 times as fast" in out


def test_wide_passes_that_do_not_pay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    give_curve(monkeypatch, [Cost(budget, 0.01 * (1 + budget), 1 + budget**0.5) for budget in (0, 4, 8, 16, 32, 64)])
    found = diagnose(tiny_folder(tmp_path / "tiny"))
    assert found.advice.startswith("use --method ar: nothing draws faster here (36 passes, about 0.36 s")
    assert found.advice.endswith("fewest passes: --method spatial, about 4")
    seen = named(found.checks, "spatial: verification")
    assert seen.status == "warning" and seen.advice.startswith("verification dominates: give --budget auto")
    assert "as long as 65.00 of AR's and commits 9.00 cells" in seen.got


def test_the_best_budget_is_drawn_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    give_curve(monkeypatch, [Cost(b, 0.01 + 0.01 * (b > 16), 1 + b**0.5) for b in (0, 4, 8, 16, 32, 64)])
    found = diagnose(tiny_folder(tmp_path / "tiny"))
    assert [said.method for said in found.methods] == ["ar", "spatial", "spatial:budget=16"]
    assert found.advice.startswith("use --method spatial --budget 16: about 7 passes and 0.072 s")
    assert found.advice.endswith("; fewest passes: --method spatial, about 4")


@pytest.mark.parametrize(
    ("error", "got", "expected", "advice"),
    [
        (BadInput("b", "c", "do d", "a"), "a: b", "c", "do d"),
        (BadInput("a, b", "c"), "a, b", "c", ""),
        (ValueError("a: expected b"), "ValueError: a: expected b", "generic", ""),
        (KeyError("key"), "KeyError: 'key'", "generic", ""),
        (torch.OutOfMemoryError("full"), "out of memory: full", "generic", "give --dtype bf16"),
    ],
)
def test_errors_become_findings(error: Exception, got: str, expected: str, advice: str) -> None:
    found = from_error("check", error, "generic")
    assert (found.status, found.got, found.expected) == ("failed", got, expected)
    assert found.advice.startswith(advice) and found.advice


@pytest.mark.parametrize(("dtype", "beside"), covering(["fp32", "bf16", "fp16"], [True, False]))
def test_what_it_recommends_can_be_run(
    dtype: str, beside: bool, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In every type, with drafts beside the model and with others, in a folder with a blank in its name."""
    steep = [Cost(budget, 0.01 * (1 + budget) ** 2, 1.01 + budget / 99) for budget in (0, 15, 64)]
    give_curve(monkeypatch, FLAT if dtype == "fp32" else steep)  # spatial is the best, or has the fewest passes
    monkeypatch.chdir(tmp_path)
    folder = tiny_folder(tmp_path / "tiny")
    if not beside:
        (folder / "drafts").rename(tmp_path / "my drafts")
    options = ["--model", folder, "--dtype", dtype, *([] if beside else ["--draft", "my drafts"])]
    code, out, _ = call_main(capsys, "doctor", *options)
    assert code == 0
    advised = re.findall(r"(?:use|fewest passes:) (--method .*?)(?:: |, about)", out)
    assert advised and all(("my drafts" in words) != beside for words in advised if "method ar" not in words)
    own = "" if beside else " --draft 'my drafts'"
    for words in {*advised, *(f"--method {said}{own}" for said in ("hawk", "ssd"))}:
        typed = ["generate", "a cat", "--model", folder, "--dtype", dtype, *shlex.split(words)]
        code, _, err = call_main(capsys, *typed)
        assert code == 0, err
