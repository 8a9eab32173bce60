"""One thread for torch in every test and in the programs that tests start; marks by folder."""

import os
import sys
from functools import cache
from pathlib import Path

import pytest

from helpers.paths import ROOT

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")  # tests of the Hub imitate one on the loopback

MARKS = {"lab": "lab", "docs/records": "records"}  # folder of tests -> the mark of all tests in it
FAST = (  # what is behind every image: core, loop, methods with their verifiers, one target of each kind
    "core", "decode", "methods", "pipeline/test_streaming.py", "targets/test_grid_session.py",
    "targets/test_language_session.py", "targets/test_janus.py", "targets/test_emu3.py", "targets/chameleon",
    "targets/llamagen/test_llamagen.py",
)  # fmt: skip
NOT_FAST = "law", "unchecked", "slow", "long"


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limit torch, once something has imported it; never import it for this. A training would take every core."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0}, raising=False)
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def small_previews(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where GLM-Image is one of many kinds, its preview has six cells: those of its processor would take minutes."""
    call = getattr(request.node, "callspec", None)
    if call is not None and "glm" in call.params.values():
        from helpers.tiny_glm import shrink_previews

        shrink_previews(monkeypatch)


@cache
def marks(path: Path) -> tuple[str, ...]:
    """The marks of all tests in a file, by its folder; of "fast", whether they may have it."""
    given = [mark for folder, mark in MARKS.items() if path.is_relative_to(ROOT / "tests" / folder)]
    return (*given, *["fast"] * any(path.is_relative_to(ROOT / "tests" / place) for place in FAST))


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """With `-m fast` alone, files without fast tests are not even imported: many import half of Python's packages."""
    outside = collection_path.name.startswith("test_") and "fast" not in marks(collection_path)
    return True if config.option.markexpr == "fast" and outside else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for mark in marks(item.path):
            if mark != "fast":
                item.add_marker(mark)
        if "fast" in marks(item.path) and not any(item.get_closest_marker(mark) for mark in NOT_FAST):
            item.add_marker("fast")
