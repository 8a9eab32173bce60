"""One thread for torch in every test and in the programs that tests start: results and timings that repeat."""

import os
import sys

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Limit torch, once something has imported it; never import it for this."""
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)
