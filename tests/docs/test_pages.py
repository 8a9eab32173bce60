"""The two pages on adding a method are true: their code is a file outside the package that runs as it stands."""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from helpers.paths import ROOT
from helpers.tiny import call_main, tiny_folder, tiny_pipeline
from helpers.toys import ToySession, ToyTarget, Trial
from spatialspec.audit import cases
from spatialspec.audit.audit import audit
from spatialspec.audit.cases import QUICK
from spatialspec.core.noise import Noise
from spatialspec.core.sampling import Sampling
from spatialspec.decode import decode
from spatialspec.methods import registry
from spatialspec.methods.method import Method
from spatialspec.methods.options import Options
from spatialspec.methods.rejection import Rejection
from spatialspec.methods.sjd import SJD, WindowOptions
from spatialspec.pipeline import SpatialPipeline
from spatialspec.plugins import register

TARGET = ToyTarget.random("3x2", 4, 1)
Load = Callable[..., Method]


def blocks(page: str, language: str = "python") -> list[str]:
    """Code of a page."""
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / "docs" / page).read_text(), re.DOTALL)


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Load:
    """Save the first block of a page as the page says, in a folder of its own, and import it from there."""
    folder = tmp_path / "outside"
    monkeypatch.setattr(registry.REGISTRY, "named", registry.methods())
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setitem(sys.modules, "my_method", None)
    folder.mkdir()

    def load(page: str, *change: str) -> Method:
        (folder / "my_method.py").write_text(re.sub(*change, blocks(page)[0]) if change else blocks(page)[0])
        del sys.modules["my_method"]
        importlib.invalidate_caches()
        method = importlib.import_module("my_method").METHOD
        assert registry.find(method.name) is method
        return method

    return load


def drawn(method: str, temperature: float = 1.0) -> list[list[int]]:
    """Forty images of a toy."""
    noises = [Noise(seed, 6, 4) for seed in range(40)]
    return Trial(method, "coupled", Sampling(temperature=temperature), TARGET).tokens(noises).tolist()


def test_the_drafter_of_the_page_is_exact(load: Load) -> None:
    """It is seed-exact, and a right guess saves a pass."""
    load("add-a-drafter.md")
    assert drawn("repeat:length=2") == drawn("ar")
    image = Trial("repeat:length=2", "coupled", Sampling(), TARGET).image(Noise(0, 6, 4))
    steps = list(decode(ToySession(TARGET, 1), [image]))
    assert image.state.complete and any(step.verdict.path for step in steps)
    assert all(step.proposal.placeholders == set(range(len(step.proposal))) for step in steps)


def test_no_tolerance_accepts_the_copies_of_the_page(load: Load) -> None:
    """With the options that the page names for a tolerance."""
    assert load("add-a-drafter.md", r"\bOptions\b", "Tolerance").exact
    assert not Method.parse("repeat:tolerance=inf").exact and drawn("repeat:tolerance=inf") == drawn("ar")


def test_the_verifier_of_the_page_keeps_what_is_good_enough(load: Load) -> None:
    load("add-a-verifier.md")
    assert drawn("jacobi-among:k=4") != drawn("ar"), "every guess is accepted: images differ from AR's"
    assert drawn("jacobi-among:k=1", 0.0) == drawn("ar", 0.0), "greedy: the best token is the only one good enough"
    image = Trial("jacobi-among:k=4", "coupled", Sampling(), TARGET).image(Noise(0, 6, 4))
    for step in decode(ToySession(TARGET, 1), [image]):
        for node in step.verdict.path:
            assert step.verdict.refined is not None
            own = step.verdict.refined[step.proposal.parents[node] + 1]
            assert node not in step.proposal.placeholders or step.proposal.tokens[node] == own


def test_the_program_of_the_page(load: Load, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As it stands, with a small model under the name of the page's."""
    method, program = load("add-a-drafter.md"), blocks("add-a-drafter.md")[1]
    pipe = tiny_pipeline(tmp_path / "tiny")
    monkeypatch.setattr(SpatialPipeline, "from_pretrained", lambda name: pipe)
    monkeypatch.chdir(tmp_path)
    exec(compile(program, "program", "exec"), {})
    assert (tmp_path / "apple.png").exists()
    ours, ar = (pipe("a red apple", method=chosen, seed=0) for chosen in (method.with_options(length=12), "ar"))
    assert ours.tokens == ar.tokens and ours.report.seed_exact


def test_the_entry_point_of_the_page(tmp_path: Path) -> None:
    """Another process, another package: the command line finds the method by its name."""
    (tmp_path / "my_method.py").write_text(blocks("add-a-drafter.md")[0])
    (lines,) = blocks("add-a-drafter.md", "toml")
    about = tmp_path / "my_method-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: my-method\nVersion: 1\n")
    (about / "entry_points.txt").write_text(re.sub(r'\[project.entry-points."(.*)"\]', r"[\1]", lines).replace('"', ""))
    path = os.pathsep.join([str(tmp_path), str(ROOT / "src")])
    words = ["generate", "a cat", "--model", str(tiny_folder(tmp_path / "tiny")), "--compare", "--json", "a.json"]
    result = subprocess.run(
        [sys.executable, "-m", "spatialspec", *words, "--method", "repeat:length=3"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    _, ours = json.loads((tmp_path / "a.json").read_text())["methods"]
    assert (ours["method"], ours["same_tokens_as_ar"]) == ("repeat:length=3", 1.0)


@pytest.mark.parametrize(
    ("page", "found", "processes"),
    [("add-a-drafter.md", ["seed-exact", "seed-exact"], 2), ("add-a-verifier.md", ["not exact", "not exact"], 1)],
)
def test_the_audit_knows_the_method_of_the_page(
    page: str, found: list[str], processes: int, load: Load, capsys, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As the pages have it typed, on a smaller model: what it declares, and what is found; in other processes, too."""
    name = load(page).name
    monkeypatch.setattr("os.cpu_count", lambda: processes)
    few = tuple(replace(case, images=250) for case in QUICK.cases)
    monkeypatch.setattr(cases, "QUICK", replace(QUICK, cases=few, size="3x4"))
    (typed,) = re.findall(rf"spatialspec (audit [^`\n]*--methods {name}[^`\n]*)", (ROOT / "docs" / page).read_text())
    words = [*typed.replace("--plugin my_method.py ", "").split(), *([] if "--quick" in typed else ["--quick"])]
    code, out, err = call_main(capsys, *words, "--model", tiny_folder(tmp_path / "tiny"))
    assert (code, err) == (0, "")
    row = next(line for line in out.splitlines() if line.startswith(name))
    assert re.split(r"\s{2,}", row)[1:4] == ["coupled", *found] and row.endswith("ok")


class Alone(Rejection):
    """Rejection under another name."""

    def __init__(self, context: object, options: Options, rule: Rejection) -> None:
        super().__init__(rule.noise)


def test_a_rule_that_keeps_the_distribution_alone_says_rejection(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the page on verifiers says: under the word coupled it would promise AR's tokens."""
    for word, ok in (("rejection", True), ("coupled", False)):
        monkeypatch.setattr(registry.REGISTRY, "named", registry.methods())
        register(Method("alone", "of the distribution alone", WindowOptions(), SJD, Alone, rule=word, lossless=True))
        assert audit([Method.parse("alone")], replace(QUICK, cases=QUICK.cases[1:2])).ok == ok
        monkeypatch.undo()
