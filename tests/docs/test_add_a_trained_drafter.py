"""The section on drafters with weights: its file trains, draws and passes the audit, from outside the package."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from helpers.paths import ROOT
from helpers.tiny import call_main, tiny_folder, write_pictures
from spatialspec.audit import cases
from spatialspec.audit.cases import QUICK
from spatialspec.drafts import registry as drafters
from spatialspec.drafts.weights import DraftModel
from spatialspec.methods import registry as methods

_, SECTION = (ROOT / "docs" / "add-a-drafter.md").read_text().split("## A drafter with weights")
(FILE,) = re.findall(r"```python\n(.*?)```", SECTION, re.DOTALL)
COMMANDS = {line.split()[0]: line for line in re.findall(r"^    spatialspec (.*)$", SECTION, re.MULTILINE)}
OUT = Path("FOLDER/drafts/linear")
Call = Callable[..., str]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Call:
    """Run a command of the page, with further options, beside its file, a target and images."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    few = tuple(replace(case, images=250) for case in QUICK.cases)
    monkeypatch.setattr(cases, "QUICK", replace(QUICK, cases=few, size="3x4"))
    for registry in (methods.REGISTRY, drafters.REGISTRY):
        monkeypatch.setattr(registry, "named", registry.all())
    tiny_folder(Path("FOLDER"))
    write_pictures(Path("IMAGES"))
    Path("my_drafter.py").write_text(FILE)

    def call(name: str, *more: object) -> str:
        code, out, err = call_main(capsys, *shlex.split(COMMANDS[name]), *more)
        assert (code, err) == (0, ""), f"{name}\n{out}{err}"
        return out

    return call


def test_the_commands_of_the_page(call: Call) -> None:
    assert [*COMMANDS] == ["train", "generate", "audit", "doctor"]
    call("train", "--steps", 2, "--batch", 2, "--horizontal", 3)
    model = DraftModel.read(OUT)
    assert (model.algorithm, model.drafts.config.horizontal) == ("linear", 3)
    assert model.config["speculators_config"]["proposal_methods"][0]["speculative_tokens"] == 3
    card = (OUT / "README.md").read_text()
    assert "--drafter linear" in card and "--plugin my_drafter.py" in card
    for rule in ("coupled", "rejection"):
        call("generate", "--verifier", rule, "--compare", "--json", f"{rule}.json")
        _, linear = json.loads(Path(f"{rule}.json").read_text())["methods"]
        assert linear["method"] == "linear" and linear["exact"]
        assert linear["seed_exact"] == (linear["same_tokens_as_ar"] == 1) == (rule == "coupled")
    rows = [re.split(r"\s{2,}", row) for row in call("audit").splitlines() if row.startswith("linear")]
    assert [row[1:4] for row in rows] == [
        ["coupled", "seed-exact", "seed-exact"],
        ["rejection", "exact", "no deviation"],
    ]
    out = call("doctor")
    assert "linear: width 32, horizontal 3" in out and re.search(r"^linear ", out, re.MULTILINE) and "0 failed" in out


def test_without_its_file(call: Call, capsys: pytest.CaptureFixture[str]) -> None:
    """The errors say which trained drafters there are, and how to make another known."""
    code, _, err = call_main(capsys, "train", "draft", "--target", "FOLDER", "--drafter", "linear", "--data", "IMAGES")
    assert code == 2 and "expected one of hawk, ssd, spatial-model, hydra, eagle, guide, and that of --config" in err
    call("train", "--steps", 1, "--batch", 1)
    del drafters.REGISTRY.named["linear"]
    code, _, err = call_main(capsys, "generate", "a cat", "--model", "FOLDER", "--draft", OUT, "--method", "hawk")
    assert code == 2 and "got drafts for the algorithm 'linear', expected one of hawk" in err and "--plugin" in err
