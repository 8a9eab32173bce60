"""The page on the server is true: its examples run as they stand, its tables name what there is."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from helpers.paths import ROOT
from helpers.serving import serving
from helpers.tiny import tiny_pipeline
from spatialspec.serve.request_body import ImageBody

PAGE = (ROOT / "docs" / "serve.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_the_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Against a small model under the name of the page's."""
    pipeline = tiny_pipeline(tmp_path / "tiny")
    pipeline.target.name = "icons"  # type: ignore[misc]
    monkeypatch.chdir(tmp_path)
    with serving(pipeline) as served:
        (shell,) = (block.replace("http://127.0.0.1:8000", served.url) for block in blocks("sh"))
        subprocess.run(["sh", "-ec", shell], check=True, cwd=tmp_path)
        assert json.loads((tmp_path / "answer.json").read_text())["data"][0]["seed"] == 0
        names: dict[str, object] = {}
        for block in blocks("python"):
            exec(compile(block.replace("http://127.0.0.1:8000", served.url), "serve.md", "exec"), names)
    assert {path.name for path in tmp_path.glob("*.png")} == {"apple-0.png", "apple-1.png", "apple.png"}
    printed = capsys.readouterr().out
    assert re.search(r"^\d+ passes, [\d.]+ seconds$", printed, re.MULTILINE)
    assert len(re.findall(r"^after \d+ passes, \d+ cells are written$", printed, re.MULTILINE)) == 2


def test_the_tables_name_every_field() -> None:
    named = set(re.findall(r"`(\w+)`", PAGE))
    assert {*ImageBody.model_fields} <= named, {*ImageBody.model_fields} - named
    text = (ROOT / "src" / "spatialspec" / "cli" / "serve.py").read_text()
    options = re.findall(r"^    (\w+): (?:Annotated|options)", text, re.MULTILINE)
    missing = [name for name in options if f"`--{name.replace('_', '-')}`" not in PAGE]
    assert len(options) > 9 and not missing
