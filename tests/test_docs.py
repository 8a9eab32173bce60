"""The two pages on adding a method are true: their code runs as it stands, through the shipped loop."""

import re
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from spatialspec.audit import cases
from spatialspec.audit.audit import audit
from spatialspec.audit.cases import QUICK
from spatialspec.core.noise import Noise
from spatialspec.core.sampling import Sampling
from spatialspec.methods.method import Method
from spatialspec.methods.registry import methods
from tiny import call_main, tiny_folder
from toys import ToyTarget, Trial

DOCS = Path(__file__).resolve().parents[1] / "docs"
TARGET = ToyTarget.random("3x2", 4, 1)


def registered(page: str, module: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run the page's first block as a module and its second as a line of the registry; return the method's name."""
    code, line = re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(), re.DOTALL)
    made = ModuleType(module)
    monkeypatch.setitem(sys.modules, module, made)  # before it runs: dataclasses look their module up
    exec(compile(code, page, "exec"), made.__dict__)
    parts = {"Entry": Entry, "_D": "spatialspec.drafters.", "_V": "spatialspec.verifiers."}
    ((name, entry),) = eval("{" + line + "}", parts).items()
    monkeypatch.setitem(methods(), name, entry)
    return name


def test_the_drafter_of_the_page_is_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    name = registered("add-a-drafter.md", "spatialspec.drafters.repeat", monkeypatch)
    noises = [Noise(seed, 6, 4) for seed in range(40)]
    drawn = Trial(f"{name}:length=2", "coupled", Sampling(), TARGET).tokens(noises)
    assert (drawn == Trial("ar", "coupled", Sampling(), TARGET).tokens(noises)).all()


def test_the_verifier_of_the_page_keeps_what_is_good_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    name = registered("add-a-verifier.md", "spatialspec.verifiers.among", monkeypatch)
    noises = [Noise(seed, 6, 4) for seed in range(40)]
    ar = Trial("ar", "coupled", Sampling(), TARGET).tokens(noises)
    every = Trial(f"{name}:k=4", "coupled", Sampling(), TARGET).tokens(noises)
    assert (every != ar).any(), "every draft stays: pictures differ from AR's"
    one = Trial(f"{name}:k=1", "coupled", Sampling(temperature=0.0), TARGET).tokens(noises)
    greedy = Trial("ar", "coupled", Sampling(temperature=0.0), TARGET).tokens(noises)
    assert (one == greedy).all(), "greedy: the best token is the only one good enough, and the one that AR takes"


@pytest.mark.parametrize(
    ("page", "module", "found"),
    [
        ("add-a-drafter.md", "spatialspec.drafters.repeat", ["seed-exact", "seed-exact"]),
        ("add-a-verifier.md", "spatialspec.verifiers.among", ["not exact", "not exact"]),
    ],
)
def test_the_audit_knows_the_method_of_the_page(
    page: str, module: str, found: list[str], capsys, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As the pages have it typed, on a smaller model: what it declares, and what is found."""
    name = registered(page, module, monkeypatch)
    monkeypatch.setattr("os.cpu_count", lambda: 1)  # in this process, where it is registered
    monkeypatch.setattr(cases, "QUICK", replace(QUICK, size="3x4"))
    code, out, err = call_main(capsys, "audit", "--quick", "--methods", name, "--model", tiny_folder(tmp_path))
    assert (code, err) == (0, "")
    row = next(line for line in out.splitlines() if line.startswith(name))
    assert re.split(r"\s{2,}", row)[1:4] == ["coupled", *found] and row.endswith("ok")


def test_a_rule_that_keeps_the_law_alone_says_rejection(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the page on verifiers says: under the word coupled it would promise AR's tokens."""
    parts = "spatialspec.methods.sjd:SJD", "spatialspec.methods.rejection:Rejection"
    for word, ok in (("rejection", True), ("coupled", False)):
        monkeypatch.setitem(methods(), "law-alone", Entry("of the law alone", parts[0], word, parts[1]))
        assert audit([Method.parse("law-alone")], replace(QUICK, cases=QUICK.cases[1:2])).ok == ok
