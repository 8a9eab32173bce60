"""Processes that compute for another one: they answer, they end with it, and a script needs no guard for them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from helpers.paths import ROOT
from spatialspec.core.errors import BadInput
from spatialspec.io.processes import Workers, alone

SRC = str(ROOT / "src")
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [SRC, *sys.path])), "OMP_NUM_THREADS": "1"}

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")


def heed_signals() -> None:
    """Undo what a background shell has its children ignore."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def started(folder: Path, program: str) -> subprocess.Popen[str]:
    (folder / "script.py").write_text(textwrap.dedent(program))
    return subprocess.Popen(
        [sys.executable, str(folder / "script.py")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
        start_new_session=True,
        preexec_fn=heed_signals,
    )


def soon(holds: Callable[[], bool]) -> bool:
    """Whether it comes to hold within a minute."""
    for _ in range(1200):
        if holds():
            return True
        time.sleep(0.05)
    return False


def alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_results_and_errors_come_back() -> None:
    with Workers(2) as workers:
        futures = [workers.submit(divmod, 7, n) for n in (2, 3, 0)]
        assert [future.result() for future in futures[:2]] == [(3, 1), (2, 1)]
        with pytest.raises(ZeroDivisionError):
            futures[2].result()
        assert list(workers.map(abs, [-1, 2, -3, 4, -5], 2)) == [1, 2, 3, 4, 5]
        with pytest.raises(BadInput, match="got a, expected b"):
            workers.submit(exec, "from spatialspec.core.errors import BadInput\nraise BadInput('a', 'b')").result()
        assert workers.submit(eval, "print('no result') or 5").result() == 5, "what a task prints is in the way"


def test_a_process_that_ends_is_one_error() -> None:
    with Workers(1) as workers:
        with pytest.raises(RuntimeError, match=r"ended \(3\)"):
            workers.submit(os._exit, 3).result()
        assert workers.submit(abs, -2).result() == 2, "no other one took its place"


SLEEPERS = """
    import os, time
    from spatialspec.io.processes import Workers
    with Workers(2) as workers:
        print(*workers.map(eval, ["__import__('os').getpid()"] * 4, 1), flush=True)
        busy = [workers.submit(time.sleep, 600) for _ in range(2)]
        print("ready", flush=True)
        busy[0].result()
"""


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks at /proc")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGKILL", "SIGHUP"])
def test_workers_end_with_their_parent_whatever_ends_it(tmp_path: Path, name: str) -> None:
    parent = started(tmp_path, SLEEPERS)
    assert parent.stdout is not None
    workers = {int(pid) for pid in parent.stdout.readline().split()}
    assert parent.stdout.readline() == "ready\n" and workers and all(map(alive, workers))
    parent.send_signal(getattr(signal, name))
    parent.wait(60)
    assert soon(lambda: not any(map(alive, workers))), f"{workers} compute on"


AUDIT = """
    import sys
    from spatialspec.audit.audit import audit
    from spatialspec.audit.cases import QUICK
    from dataclasses import replace
    from spatialspec.methods.ar import AR
    from spatialspec.methods.method import Method
    from spatialspec.methods.options import Options
    from spatialspec.methods.registry import find
    from spatialspec.plugins import register

    class Mine(AR):
        def __init__(self, context, options, verifier):
            pass

    register(Method("mine", "one of my own", Options(), Mine))
    register(replace(find("jacobi"), name="ours"))
    cases = tuple(replace(case, images=250) for case in QUICK.cases[1:2])
    plan = replace(QUICK, cases=cases, others=250, threes=3)
    document = audit([Method.parse(name) for name in ("ar", "mine", "ours")], plan, workers=2)
    print([result.method for result in document.methods if result.ok])
"""


def test_an_audit_from_a_script_without_a_guard(tmp_path: Path) -> None:
    """A drafter in the script itself, and one that the script has only named."""
    parent = started(tmp_path, AUDIT)
    out, error = parent.communicate(timeout=300)
    assert parent.returncode == 0, error
    assert out.count("'mine'") == 2 and out.count("'ours'") == 1 and not error


def test_one_process_at_a_time_writes_to_a_folder(tmp_path: Path) -> None:
    program = f"""
        from pathlib import Path
        from spatialspec.io.processes import alone
        with alone(Path({str(tmp_path)!r})):
            print("ready", flush=True)
            input()
    """
    (tmp_path / "other").mkdir()
    holder = started(tmp_path / "other", program.replace("input()", "import time; time.sleep(600)"))
    assert holder.stdout is not None and holder.stdout.readline() == "ready\n"
    with pytest.raises(BadInput, match="another process writes to"), alone(tmp_path):
        pass
    holder.kill()
    holder.wait(60)
    with alone(tmp_path):
        pass
    assert os.listdir(tmp_path) == ["other"], "something was left"
