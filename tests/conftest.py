"""One thread for torch in every test and in the programs that tests start; marks by folder."""

import os
import sys

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
def one_thread() -> None:
    """Limit torch, once something has imported it; never import it for this."""
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def small_previews(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where GLM-Image is one of many kinds, its preview has six cells: those of its processor would take minutes."""
    call = getattr(request.node, "callspec", None)
    if call is not None and "glm" in call.params.values():
        from helpers.tiny_glm import shrink_previews

        shrink_previews(monkeypatch)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for folder, mark in MARKS.items():
            if item.path.is_relative_to(ROOT / "tests" / folder):
                item.add_marker(mark)
        fast = any(item.path.is_relative_to(ROOT / "tests" / place) for place in FAST)
        if fast and not any(item.get_closest_marker(mark) for mark in NOT_FAST):
            item.add_marker("fast")
