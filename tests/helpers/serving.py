"""A server on a free port of this process, and clients of it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from spatialspec.pipeline import SpatialPipeline
from spatialspec.serve.app import Server
from spatialspec.serve.scheduler import Limits
from spatialspec.serve.server import WebServer, bound

IMAGES, PATIENCE = "/v1/images/generations", 60.0


class Serving:
    """A server that runs.

    Attributes:
        server: its routes and its scheduler.
        url: without a slash at its end.
        http: a client.
    """

    def __init__(self, server: Server, url: str) -> None:
        self.server, self.url = server, url
        self.http = httpx.Client(base_url=url, timeout=PATIENCE, trust_env=False)

    def post(self, prompt: object = "a cat", **fields: Any) -> httpx.Response:
        return self.http.post(IMAGES, json={"prompt": prompt, **fields})

    def metric(self, name: str) -> float:
        """Value of a line of `/metrics`, 0 if there is none."""
        lines = self.http.get("/metrics").text.splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.rpartition(" ")[0] == name)

    @contextmanager
    def stream(self, prompt: str = "a cat", **fields: Any) -> Iterator[tuple[str, Iterator[dict[str, Any]]]]:
        """The id of a job and its events."""
        with self.http.stream("POST", IMAGES, json={"prompt": prompt, "stream": True, **fields}) as answer:
            assert answer.status_code == 200, answer.read()
            yield answer.headers["x-job-id"], events(answer)

    def settled(self) -> None:
        """Wait until nothing is queued, drawn or remembered."""
        scheduler = self.server.scheduler
        eventually(lambda: scheduler.idle and not scheduler.jobs, "the server does not come to rest")


def events(answer: httpx.Response) -> Iterator[dict[str, Any]]:
    """Data of server-sent events."""
    end = time.monotonic() + 2 * PATIENCE
    for line in answer.iter_lines():  # pings, too
        assert time.monotonic() < end, "the stream does not end"
        if line.startswith("data:"):
            yield json.loads(line[5:])


def drawn(served: Serving, settings: dict[str, Any]) -> dict[str, Any]:
    """The last event of a stream."""
    with served.stream(**settings) as (_, news):
        return list(news)[-1]


def eventually(true: Callable[[], object], complaint: str) -> None:
    """Wait until something is true; how long it takes does not matter."""
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end, complaint
        time.sleep(0.005)


@contextmanager
def serving(pipeline: SpatialPipeline, key: str | None = None, **limits: Any) -> Iterator[Serving]:
    """Serve a pipeline in a thread, until the block ends."""
    server, listening = Server(pipeline, Limits(**limits), key), bound("127.0.0.1", 0)
    web = WebServer(server.app, server.scheduler.limits.seconds)
    thread = threading.Thread(target=web.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        eventually(lambda: web.started or not thread.is_alive(), "the server does not start")
        yield Serving(server, f"http://127.0.0.1:{listening.getsockname()[1]}")
    finally:
        web.should_exit = True
        thread.join()
        listening.close()
