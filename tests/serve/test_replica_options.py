"""What replicas are told: every option of `spatialspec serve`, so that none is taken and then forgotten."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest

from spatialspec.cli.serve import serve

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of Ray, when it is imported


@pytest.fixture
def replica_options() -> Any:
    pytest.importorskip("ray", reason="no package ray here: `pip install '.[ray]'` runs these tests")
    from spatialspec.serve.ray import ReplicaOptions

    return ReplicaOptions


def test_every_option_of_the_command_is_one_of_replicas(replica_options: Any) -> None:
    """But for the address, which is that of the door."""
    options = {*inspect.signature(serve).parameters}
    assert options - {*replica_options.model_fields} == {"host", "port"}


def test_the_model_is_told_as_it_was_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, replica_options: Any
) -> None:
    """Folders by their whole path, as a replica works in another one."""
    monkeypatch.chdir(tmp_path)
    for name in ("large", "small", "icons"):
        Path(name).mkdir()
    told = replica_options(model="large", draft_model="small", dtype="fp32", engine="eager", plugin="a.py").source
    assert (told.model, told.draft_model) == (str(tmp_path / "large"), str(tmp_path / "small"))
    assert (told.dtype, told.engine, told.plugins) == ("fp32", "eager", (Path("a.py"),))
    assert replica_options(draft_model="icons").source.draft_model == "icons", "the one of the package"
