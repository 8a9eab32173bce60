"""`benchmarks/oracle.py`: what an oracle knows saves passes and changes no image."""

import json
import runpy

import pytest

from helpers.paths import ROOT


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[int]]:
    script, out = runpy.run_path(str(ROOT / "benchmarks" / "oracle.py")), tmp_path_factory.mktemp("oracle") / "oracle"
    script["main"](["--limit", "2", "--size", "8x12", "--out", str(out)])
    assert "| starts |" in out.with_suffix(".md").read_text()
    return json.loads(out.with_suffix(".json").read_text())["passes"]


def test_the_more_it_knows_the_fewer_passes(found: dict[str, list[int]]) -> None:
    sums = {name: sum(counts) for name, counts in found.items()}
    assert sums["none"] > sums["first 2"] and sums["first 1"] > sums["first 4"]
    assert sums["none"] > sums["changed"] > sums["starts"]
