"""Other processes: workers that compute for this one, and locks against others that write to the same folder.

Workers are separate programs, not copies of this process: they import this package but not the main program, so that a
script needs no `if __name__ == "__main__"`. Each reads from a pipe that closes when this process ends for any reason;
then the worker ends too. Signals of the terminal do not reach workers.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from queue import SimpleQueue
from typing import IO, TYPE_CHECKING, Any

from spatialspec.core.errors import BadInput

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = """
import pickle, sys
sys.path[:] = pickle.load(sys.stdin.buffer)
from spatialspec.io.processes import serve
serve()
"""


class Workers:
    """A pool of processes that call functions of this package; a context manager that ends them.

    Args:
        count: largest number of processes; each is started when first needed.
    """

    def __init__(self, count: int) -> None:
        self._threads = ThreadPoolExecutor(count)
        self._idle: SimpleQueue[subprocess.Popen[bytes] | None] = SimpleQueue()
        self._all: list[subprocess.Popen[bytes]] = []
        self._lock, self._closed = threading.Lock(), False
        for _ in range(count):
            self._idle.put(None)

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Call a module-level function in the first free process; the future has its result or error.

        Raises:
            RuntimeError: by the future, if the process ended without a result.
        """
        return self._threads.submit(self._call, function, arguments)

    def map(self, function: Callable[[Any], Any], values: Sequence[Any], chunk: int) -> Iterator[Any]:
        """Results of a module-level function for many values, in order; a process takes `chunk` values at a time."""
        parts = [self.submit(_each, function, values[i : i + chunk]) for i in range(0, len(values), chunk)]
        for part in parts:
            yield from part.result()

    def _call(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        worker = self._idle.get()
        try:
            if worker is None:
                worker = self._start()
            assert worker.stdin is not None and worker.stdout is not None
            try:
                pickle.dump((function, arguments), worker.stdin)
                worker.stdin.flush()
                good, value = pickle.load(worker.stdout)
            except (OSError, EOFError, pickle.UnpicklingError) as error:
                code = worker.wait()
                worker = None
                raise RuntimeError(f"a worker process ended ({code}): check the free memory") from error
        finally:
            self._idle.put(worker)
        if not good:
            raise value
        return value

    def _start(self) -> subprocess.Popen[bytes]:
        group: dict[str, Any] = {"process_group": 0} if os.name == "posix" else {"creationflags": 0x200}
        with self._lock:
            if self._closed:
                raise RuntimeError("the workers were stopped")
            pipe, command = subprocess.PIPE, [sys.executable, "-c", PROGRAM]
            worker = subprocess.Popen(command, stdin=pipe, stdout=pipe, **group)
            self._all.append(worker)
        assert worker.stdin is not None
        pickle.dump(sys.path, worker.stdin)
        return worker

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._closed = True
            self._threads.shutdown(wait=False, cancel_futures=True)
            for worker in self._all:
                worker.kill()
        self._threads.shutdown(wait=True)
        for worker in self._all:
            worker.wait()
            for pipe in (worker.stdin, worker.stdout):
                if pipe is not None:
                    with suppress(OSError):
                        pipe.close()


def _each(function: Callable[[Any], Any], values: Sequence[Any]) -> list[Any]:
    return [function(value) for value in values]


def serve() -> None:
    """The program of a worker: read tasks, write results, until the input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # keep prints of tasks out of the results
    tasks: SimpleQueue[tuple[Callable[..., Any], tuple[Any, ...]]] = SimpleQueue()
    threading.Thread(target=_listen, args=(sys.stdin.buffer, tasks), daemon=True).start()
    while True:
        function, arguments = tasks.get()
        try:
            answer = pickle.dumps((True, function(*arguments)))
        except Exception as error:
            answer = pickle.dumps((False, _portable(error)))
        answers.write(answer)
        answers.flush()


def _portable(error: Exception) -> Exception:
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # it cannot be pickled
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


def _listen(pipe: IO[bytes], tasks: SimpleQueue[Any]) -> None:
    try:
        while True:
            tasks.put(pickle.load(pipe))
    finally:  # the main process has ended
        os._exit(0)


@contextmanager
def alone(folder: Path, wait: bool = False) -> Iterator[None]:
    """Lock a folder against other processes that also call this; the lock ends with this process.

    Does nothing if the system or the file system cannot lock a folder.

    Args:
        folder: an existing one.
        wait: for another process to release the lock, instead of an error.

    Raises:
        BadInput: another process writes to it.
    """
    try:
        import fcntl

        handle = os.open(folder, os.O_RDONLY)
    except (ImportError, OSError):
        yield
        return
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError as error:
            advice = "choose another, or wait until it has ended"
            raise BadInput(f"{folder}, which another process writes to", "another folder", advice) from error
        except OSError:  # a file system without locks
            pass
        yield
    finally:
        os.close(handle)
