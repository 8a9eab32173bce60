"""`audit --methods` with methods whose drafts the model lacks: they are tried on toys alone, and a line says so."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from helpers.tiny import call_main, tiny_folder


def test_methods_without_drafts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The audit itself is tested in `tests/audit`."""
    given: list[Any] = []

    def audit(*arguments: Any) -> SimpleNamespace:
        given.extend(arguments)
        settings = SimpleNamespace(tests=1, level=0.01, false_alarm=0.01)
        return SimpleNamespace(methods=[], settings=settings, ok=True, json_text=str)

    monkeypatch.setattr("spatialspec.audit.audit.audit", audit)
    model = tiny_folder(tmp_path / "model")
    code, out, err = call_main(capsys, "audit", "--quick", "--model", model, "--methods", "sibling,hawk,hydra,eagle")
    assert (code, err) == (0, "") and "has no drafts for: sibling, hydra, eagle " in f"{' '.join(out.split())} "
    methods, *_, alone = given
    assert [str(method) for method in methods] == ["sibling", "hawk", "hydra", "eagle"]
    assert [str(method) for method in alone] == ["sibling", "hydra", "eagle"]
