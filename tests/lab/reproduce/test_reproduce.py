"""Every experiment runs on a tiny target, through the command line, and its page says what its JSON says."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from helpers.tiny import call_main, tiny_folder, tiny_target
from spatialspec.core.grid import Grid
from spatialspec.drafts import weights
from spatialspec.lab.reproduce.registry import EXPERIMENTS, function_of
from spatialspec.lab.reproduce.verdict import OPEN
from spatialspec.methods.predictors import SSDConfig, SSDPredictors

# Their plot is the one of hawk-table1 with other bars: drawn there, and left out here, as text takes long to lay out.
ALIKE = ("ssd-table1", "ssd-rounds", "ssd-criterion", "ssd-rows", "ssd-schedule")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_folder(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def drafts(tmp_path_factory):
    """Predictors of two kinds, trained on two numbers of images, as their cards say."""
    target, made = tiny_target(), []
    for space, token, pictures in (("pre-norm", True, "64"), ("embedding", False, "1,024")):
        made.append(tmp_path_factory.mktemp("drafts") / space)
        predictors = SSDPredictors(SSDConfig(target.width, 5, 1, space, token))
        card = f"5 heads to the right, 1 down, trained on {pictures} images that the target drew itself.\n"
        weights.save(predictors, made[-1], target.fingerprint, target.name, card=card)
    return ",".join(map(str, made))


@pytest.fixture
def call(capsys, monkeypatch, tmp_path):
    """Run `reproduce` in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: call_main(capsys, "reproduce", *arguments)


def shown(value: str | float | None, text: str) -> bool:
    """Whether a cell of a page shows a value, to the digits that it has."""
    if value is None or isinstance(value, str):
        return text.strip("`") == ("-" if value is None else value)
    number = text.replace(",", "")
    share = number.endswith("%")
    digits = len(number.rstrip("%").partition(".")[2])
    return abs(float(number.rstrip("%")) - value * (100 if share else 1)) <= 0.5001 * 10**-digits


def tables(page: str) -> list[list[list[str]]]:
    """Rows of every table of a page, without its head."""
    found = re.findall(r"(?:^\|.*\|\n)+", page, re.MULTILINE)
    return [[[c.strip() for c in row.strip("|").split("|")] for row in t.splitlines()[2:]] for t in found]


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_writes_a_page_that_says_what_its_json_says(call, folder, drafts, name, monkeypatch):
    size = "4x4" if name == "hawk-fig4" else "3x3"  # heads of depth 3 need four rows
    monkeypatch.setattr("spatialspec.lab.reproduce.context.QUICK", Grid.parse(size))
    if name in ALIKE:
        monkeypatch.setattr(
            f"{function_of(name).__module__}.compare",
            lambda plot, table, panels: plot.subplots().plot(range(len(panels))),
        )
    more = ["--drafts", drafts] if EXPERIMENTS[name].folders else []
    code, out, err = call(name, "--model", folder, "--quick", "--out", "pages", *more)
    assert (code, err) == (0, "") and f"{name}: {OPEN}" in out
    assert sorted(os.listdir("pages")) == [f"{name}.json", f"{name}.md", f"{name}.png"]
    record = json.loads(Path("pages", f"{name}.json").read_text(), parse_constant=pytest.fail)
    page = Path("pages", f"{name}.md").read_text()
    assert record["verdict"] == OPEN and record["claims"], "one prompt tells nothing, but there is a claim"
    assert record["settings"]["prompts"] == 1 and record["settings"]["size"] == size
    claims, *others = tables(page)
    for row, claim in zip(claims, record["claims"], strict=True):
        value = claim["value"]
        assert row[0] == claim["text"] and row[-1] == claim["found"] == OPEN
        assert row[1] == "-" if value is None else abs(float(row[1].split()[0]) - value) <= 0.0051 * abs(value)
    for rows, table in zip(others, record["tables"], strict=True):
        for cells, figures in zip(rows, table["rows"], strict=True):
            wanted = [figures.get(column["key"]) for column in table["columns"]]
            assert all(shown(value, text) for value, text in zip(wanted, cells, strict=True)), (wanted, cells)
    assert f"![{EXPERIMENTS[name].summary}]({name}.png)" in page and "A quick run" in page
    assert f"`spatialspec reproduce {name} --model" in page
    with Image.open(Path("pages", f"{name}.png")) as plot:
        assert min(plot.size) > 300 and len(set(plot.convert("L").resize((200, 200)).tobytes())) > 9


def test_the_list_needs_no_torch(tmp_path):
    program = (
        "import sys\nfrom spatialspec.cli import main\ntry: main(['reproduce'])\nexcept SystemExit as left: pass\n"
        "sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    )
    paths = os.pathsep.join(filter(None, sys.path))
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": paths}
    )
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert [line.split()[0] for line in lines] == list(EXPERIMENTS) and all(len(line) > 40 for line in lines)


def test_what_cannot_run_says_what_to_do(call, folder, monkeypatch):
    code, _, err = call("hawk-table9", "--model", folder)
    assert code == 2 and "hawk-table1" in err
    code, _, err = call("ssd-data", "--model", folder, "--quick", "--out", "pages")
    assert code == 2 and "spatialspec train draft" in err and "--drafts" in err
    code, _, err = call("hawk-fig6", "--model", folder, "--quick", "--limit", 8, "--out", "pages")
    assert code == 2 and "--quick" in err
    code, _, err = call("hawk-fig6", "--model", folder, "--drafts", "a,b", "--out", "pages")
    assert code == 2 and "ssd-data" in err
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    code, _, err = call("hawk-fig6", "--model", folder, "--quick", "--out", "pages")
    assert code == 2 and "pip install 'spatialspec[lab]'" in err and not os.listdir("pages")


def test_all_goes_on_behind_what_cannot_run(call, folder, monkeypatch):
    few = {name: EXPERIMENTS[name] for name in ("ssd-data", "hawk-fig6")}
    monkeypatch.setattr("spatialspec.cli.reproduce.EXPERIMENTS", few)
    code, out, err = call("all", "--model", folder, "--quick", "--out", "pages")
    assert code == 0 and "ssd-data: not run: " in err and "hawk-fig6: cannot be told" in out
    assert "hawk-fig6.md" in os.listdir("pages") and "ssd-data.md" not in os.listdir("pages")


def test_a_quick_run_does_not_overwrite_a_full_one(call, folder):
    arguments = ["hawk-fig6", "--model", folder, "--out", "pages"]
    assert call(*arguments, "--limit", 2)[0] == 0
    record = json.loads(Path("pages/hawk-fig6.json").read_text())
    assert record["settings"]["prompts"] == 2 and record["settings"]["size"] == "6x6"
    assert "--limit 2`" in Path("pages/hawk-fig6.md").read_text()
    code, _, err = call(*arguments, "--quick")
    assert code == 2 and "--out" in err
    assert call(*arguments, "--limit", 1)[0] == 0


def test_a_stopped_write_leaves_the_old_files(call, folder, monkeypatch):
    arguments = ["hawk-fig6", "--model", folder, "--quick", "--out", "pages"]
    assert call(*arguments)[0] == 0
    before = {path.name: path.read_bytes() for path in Path("pages").iterdir()}

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    assert call(*arguments)[0] == 2
    assert all(Path("pages", name).read_bytes() == content for name, content in before.items())


def test_drafts_that_do_not_say_their_pictures_are_refused(call, folder, tmp_path):
    target = tiny_target()
    for name in ("a", "b"):
        weights.save(SSDPredictors(SSDConfig(target.width, 1, 1)), tmp_path / name, target.fingerprint, target.name)
    code, _, err = call("ssd-data", "--model", folder, "--quick", "--out", "pages", "--drafts", "a,b")
    assert code == 2 and "README.md" in err and "trained on" in err
