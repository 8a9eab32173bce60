"""The page on adding a target is true: its code is a file outside the package, and its commands do what it says."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from helpers.paths import ROOT
from spatialspec.cli import main
from spatialspec.targets.registry import REGISTRY

PAGE = (ROOT / "docs" / "add-a-target.md").read_text()
FILE, PROGRAM = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
COMMANDS = re.findall(r"^    spatialspec (.*)$", PAGE, re.MULTILINE)
SMALL = {"rows: int = 12": "rows: int = 8", "columns: int = 12": "columns: int = 9"}
Run = Callable[..., str]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Run a program in a folder of its own, in a process that has the package and nothing of its tests."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), str(ROOT / "src"), *filter(None, sys.path)]))

    def run(*words: str) -> str:
        result = subprocess.run([sys.executable, *words], capture_output=True, text=True)
        assert result.returncode == 0, result.stderr
        return result.stdout

    return run


@pytest.fixture(scope="module")
def palette(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model that the page's program makes, with a smaller image."""
    folder = tmp_path_factory.mktemp("page")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("PYTHONPATH", os.pathsep.join([str(folder), str(ROOT / "src"), *filter(None, sys.path)]))
        write(FILE)
        done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
    assert done.returncode == 0 and (folder / "apple.png").exists(), done.stderr
    return folder / "palette"


@pytest.fixture
def call(
    run: Run, palette: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], str]:
    """Save the page's file, beside its model; then commands run here."""
    write(FILE)
    shutil.copytree(palette, "palette")
    monkeypatch.setattr(REGISTRY, "named", REGISTRY.all())

    def call(command: str) -> str:
        with pytest.raises(SystemExit) as left:
            main(shlex.split(command))
        printed = capsys.readouterr()
        assert (left.value.code, printed.err) == (0, ""), f"{command}\n{printed.out}{printed.err}"
        return printed.out

    return call


def write(text: str, **change: str) -> None:
    for old, new in (SMALL | change).items():
        assert old in text
        text = text.replace(old, new)
    Path("my_target.py").write_text(text)


def same_tokens() -> dict[str, float]:
    return {m["method"]: m["same_tokens_as_ar"] for m in json.loads(Path("bench.json").read_text())["methods"]}


def test_the_commands_of_the_page(call: Callable[[str], str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A method draws the tokens of AR, in fewer passes; audit, show, doctor and evaluate take the target, too."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(Path("cache").resolve()))
    assert [command.split()[0] for command in COMMANDS] == ["generate", "bench", "audit", "show", "doctor", "evaluate"]
    out = {command.split()[0]: call(command) for command in COMMANDS}
    assert "kinds of targets: icons, " in call("methods") and "palette" in call("methods")
    assert same_tokens() == {"ar": 1.0, "jacobi": 1.0, "spatial": 1.0}
    passes = {m["method"]: m["target_passes"] for m in json.loads(Path("bench.json").read_text())["methods"]}
    assert passes["ar"] == 72 and passes["spatial"] < 36 and passes["jacobi"] < 36
    assert "(72 x 64 pixels)" in out["generate"] and "0 failed" in out["doctor"]
    assert "seed-exact" in out["audit"] and re.search(r"passes: spatial \d+, ar 72\n", out["show"])
    assert "spatial" in out["evaluate"] and Path("spatialspec.html").exists()


@pytest.mark.parametrize(
    ("right", "broken"),
    [
        ("attn_mask=mask)", "attn_mask=None)"),
        ("positions(inputs.positions)", "positions(torch.arange(inputs.x.shape[1], device=inputs.x.device))"),
    ],
    ids=["mask", "positions"],
)
def test_a_broken_rule_is_seen(call: Callable[[str], str], right: str, broken: str) -> None:
    """As the page says: where slots see what is not marked, or lie at other positions, tokens are not those of AR."""
    write(FILE, **{right: broken})
    call(next(command for command in COMMANDS if command.startswith("bench")))
    assert same_tokens()["ar"] == 1.0 > same_tokens()["spatial"]


def test_a_script_without_a_guard(run: Run) -> None:
    """The target in the script itself, which draws and has it audited by processes of their own."""
    write(FILE)
    script = Path("my_target.py").read_text()
    script += "torch.manual_seed(0)\nsave(GPT(Sizes()), Sizes(), Path('palette'))\n"
    script += """
from dataclasses import replace
from spatialspec import Method, SpatialPipeline
from spatialspec.audit.audit import audit
from spatialspec.audit.cases import QUICK

pipe = SpatialPipeline.from_pretrained("palette")
ours, ar = (pipe("a red apple", seed=3, method=method) for method in ("spatial", "ar"))
print(ours.tokens == ar.tokens)
cases = tuple(replace(case, images=250) for case in QUICK.cases[1:2])
plan = replace(QUICK, cases=cases, others=250, threes=3, size="")
document = audit([Method.parse("ar"), Method.parse("spatial")], plan, pipeline=pipe, workers=2)
print(document.ok, document.settings.model)
"""
    Path("script.py").write_text(script)
    assert run("script.py") == "True\nTrue palette\n"


def test_the_entry_point_of_the_page(run: Run, palette: Path) -> None:
    """Another package: the command line knows its kind of target without being told of a file."""
    write(FILE)
    shutil.copytree(palette, "palette")
    (lines,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    about = Path("my_target-1.dist-info")
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: my-target\nVersion: 1\n")
    (about / "entry_points.txt").write_text(re.sub(r'\[project.entry-points."(.*)"\]', r"[\1]", lines).replace('"', ""))
    out = run("-m", "spatialspec", "generate", "a cat", "--model", "palette", "--method", "ar")
    assert "(72 x 64 pixels)" in out
