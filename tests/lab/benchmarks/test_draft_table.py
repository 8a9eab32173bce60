"""The table of accepted probability by distance: the q of heads and copies, what is measured again and written."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import pytest
import torch

from helpers.paths import ROOT
from helpers.tiny import tiny_folder
from spatialspec.drafts import weights
from spatialspec.drafts.teacher import streams
from spatialspec.drafts.windows import Windows
from spatialspec.methods.hawk import HawkHeads
from spatialspec.methods.spatial_model.config import SpatialModelConfig
from spatialspec.methods.spatial_model.network import SpatialNetwork
from spatialspec.targets.icons.target import IconsTarget

SCRIPT = ROOT / "benchmarks" / "draft_table.py"
WAYS = [(True, True), (True, False), (False, True)]  # right, down


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    return runpy.run_path(str(SCRIPT))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tiny_folder(tmp_path_factory.mktemp("model"))
    target = IconsTarget.from_folder(made)
    card = "| minutes of training | 2.5 |"
    for name, options in (("mine", {}), ("options", {"features": 2, "vocabulary": 40})):
        network = SpatialNetwork(SpatialModelConfig(target.width, **options))
        weights.save(network, made / "drafts" / name, target.fingerprint, target.name, card=card)
    return made


@pytest.mark.parametrize("kind", ["hawk", "ssd"])
def test_heads_guess_from_their_own_source(script: dict[str, Any], folder: Path, kind: str) -> None:
    """Window at cell 8 of 6 x 6: heads right of cell 7, then heads down from the nearest known row."""
    target = IconsTarget.from_folder(folder)
    drafts: Any = weights.load(folder / "drafts" / kind, target)
    reach = drafts.config.horizontal
    codes = torch.randint(64, (1, 36), generator=torch.Generator().manual_seed(0))
    hidden, windows = streams(target, ["a cat"], codes), Windows.at(torch.tensor([[8]]), 20, 36)
    q = {way: script["head_distributions"](drafts, target, *way, hidden, codes, windows)[0] for way in WAYS}
    for i, cell in enumerate(range(8, 28)):
        up = (cell - 8) // 6 + 1
        for right, down in WAYS:
            if right and i < reach:
                heads, k, source = drafts.horizontal, i, 7
            elif down and up <= drafts.config.vertical:
                heads, k, source = drafts.vertical, up - 1, cell - 6 * up
            else:
                assert not q[right, down][i].any(), "no source, no guess"
                continue
            h, e = hidden[:, 0, source], target.embed(codes[0, source])
            if isinstance(drafts, HawkHeads):
                state = target.norm(h)
                logits = target.output(state + torch.nn.functional.silu(state @ heads[k].T))
            else:
                logits = target.output(target.norm(heads[k](h, e)))
            torch.testing.assert_close(q[right, down][i], target.default.distribution(logits), atol=1e-6, rtol=0)


def test_copies(script: dict[str, Any], folder: Path) -> None:
    target = IconsTarget.from_folder(folder)
    codes = torch.arange(36)[None]
    found = script["copies"](target, torch.zeros(1), codes, Windows.at(torch.tensor([[3, 8]]), 12, 36)).argmax(-1)
    from_3 = [2, 2, 2, 0, 1, 2] * 2  # nothing known above cells 3 to 5 and 9 to 11: the last known one
    assert found[0].tolist() == from_3 + [2, 3, 4, 5, 6, 7] * 2


def test_the_table_is_written_and_taken_up(
    script: dict[str, Any], folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    drafts = [str(folder / "drafts" / name) for name in ("hawk", "ssd", "mine", "options")]
    options = ["--model", str(folder), "--pictures", "2", "--windows", "4", "--length", "16", "--work", str(tmp_path)]
    options += ["--out", str(tmp_path / "drafts")]
    script["main"]([*drafts[:2], *options])
    first = json.loads((tmp_path / "drafts.json").read_text())
    names = [row["name"] for row in first["rows"]]
    assert names == ["copy", *(kind + way for kind in ("hawk", "ssd") for way in ("", " right only", " down only"))]
    capsys.readouterr()
    script["main"]([*drafts, *options])
    said = capsys.readouterr().out
    assert "mine: window" in said and "hawk: window" not in said, "what is known is not measured again"
    record = json.loads((tmp_path / "drafts.json").read_text())
    assert record["rows"][: len(names)] == first["rows"] and record["settings"]["guidance"] == 1.5
    hawk, mine, other = record["rows"][2], *record["rows"][-2:]
    assert other["parameters"] == mine["parameters"] + 32 * 32 and 0 < other["coupled"]["window"] < 1
    assert mine["minutes"] == 2.5 and mine["parameters"] > 10_000 and mine["share"] > 0
    assert hawk["coupled"]["right 3"] == 0 < hawk["coupled"]["right 1"] <= hawk["rejection"]["right 1"] < 1
    table = (tmp_path / "drafts.md").read_text()
    assert table.count("| mine | ") == 2 and f"| {mine['rejection']['down 1']:.3f} |" in table
    assert (tmp_path / "drafts.png").read_bytes().startswith(b"\x89PNG") and not list(tmp_path.glob("*.partial"))
