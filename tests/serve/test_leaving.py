"""Clients that hang up, cancel, read slowly or come too many: nobody else notices, and nothing stays behind."""

from __future__ import annotations

import asyncio
import gc
import logging
import random
import socket
import time
import weakref
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import httpx
import pytest

from helpers.gate import Gate
from helpers.serving import IMAGES, Serving, drawn, events, eventually, serving
from spatialspec.pipeline import SpatialPipeline
from spatialspec.serve import answers, app
from spatialspec.serve.batch import Batch
from spatialspec.serve.job import Job
from spatialspec.serve.scheduler import Scheduler


def outcomes(served: Serving) -> dict[str, float]:
    names = ("completed", "cancelled", "failed", "refused")
    return {name: served.metric(f'spatialspec_requests_total{{outcome="{name}"}}') for name in names}


def at_rest(served: Serving) -> bool:
    """Whether nothing of any request is left."""
    served.settled()
    scheduler = served.server.scheduler
    return scheduler._batch._session is None and not scheduler._batch.drawings and not scheduler._waiting


def test_cancel(pipeline: SpatialPipeline, gate: Gate) -> None:
    """One that is drawn and one that waits; both clients are told, and so is who watches."""
    gate.shut(lambda batch: len(batch.drawings) == 1 and batch.drawings[0].state is not None)
    with serving(pipeline, batch=1) as served, gate, served.stream(method="ar") as (first, news):
        eventually(lambda: served.metric("spatialspec_passes_total") == 1, "the first is not drawn")
        with served.http.stream("GET", f"/v1/images/jobs/{first}/events") as watching:
            seen = events(watching)
            assert next(seen) | {"seconds": 0, "tokens_per_second": 0} == {
                "type": "image_generation.progress", "index": 0, "passes": 1, "cells": 1, "total": 36, "seconds": 0,
                "tokens_per_second": 0, "b64_json": None, "writers": None,
            }  # fmt: skip
            with served.stream() as (second, others):
                for job, told in ((second, others), (first, news)):
                    assert served.http.delete(f"/v1/images/jobs/{job}").json()["status"] == "cancelled"
                    (error,) = told
                    assert error["error"]["code"] == "cancelled"
            assert list(seen)[-1] == {"type": "image_generation.ended", "outcome": "cancelled"}
        gate.open()
        assert at_rest(served) and outcomes(served)["cancelled"] == 2
        for verb, path in (("DELETE", first), ("GET", f"{first}/events"), ("DELETE", "none")):
            answer = served.http.request(verb, f"/v1/images/jobs/{path}")
            assert answer.status_code == 404 and answer.json()["error"]["code"] == "job_not_found"


def test_progress(pipeline: SpatialPipeline, gate: Gate) -> None:
    """Passes and cells grow, rows come as images, and each cell has its writer."""
    gate.shut()
    with serving(pipeline) as served, gate, served.stream(seed=4, n=2) as (job, news):
        listeners = served.server.scheduler.jobs[job]._listeners
        with served.http.stream("GET", f"/v1/images/jobs/{job}/events"):
            eventually(lambda: len(listeners) == 2, "nobody watches")
        eventually(lambda: len(listeners) == 1, "one who left is told still")
        with served.http.stream("GET", f"/v1/images/jobs/{job}/events") as watching:
            gate.open()
            *seen, last = events(watching)
        assert last == {"type": "image_generation.ended", "outcome": "completed"}
        finals = {event["index"]: event for event in news}
    for index, final in finals.items():
        mine = [event for event in seen if event["index"] == index]
        passes = [event["passes"] for event in mine]
        assert passes == sorted(set(passes)) and passes[-1] == final["passes"] and mine[-1]["cells"] == 36
        previews = [event for event in mine if event["b64_json"]]
        assert previews and previews[-1]["writers"] == final["writers"]
        assert {*final["writers"]} == {"1", "2"}, "spatial: some cells are the target's own, others guesses"
        assert final["writers"].count("1") <= final["passes"] + 6


@pytest.mark.parametrize("seed", range(2))
def test_clients_that_hang_up_at_random_moments(
    pipeline: SpatialPipeline, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Streams and plain requests, queued, drawn or almost done: queue and memory return to the start."""
    choose, jobs, submit = random.Random(seed), weakref.WeakSet[Job](), Scheduler.submit

    def noted(scheduler: Scheduler, job: Job) -> None:
        jobs.add(job)
        submit(scheduler, job)

    monkeypatch.setattr(Scheduler, "submit", noted)
    with serving(pipeline, batch=3) as served, ThreadPoolExecutor(12) as pool:

        def visit(number: int, patience: float, stream: bool) -> None:
            body = {"prompt": "a cat", "seed": number, "method": "ar", "n": 2, "stream": stream}
            try:
                with httpx.stream("POST", served.url + IMAGES, json=body, timeout=patience, trust_env=False) as answer:
                    for _ in answer.iter_raw():
                        if choose.random() < 0.3:
                            return
            except httpx.TimeoutException:
                pass

        visits = [(i, choose.choice((0.01, 0.05, 0.2, 60)), choose.random() < 0.5) for i in range(40)]
        list(pool.map(lambda visit_: visit(*visit_), visits))
        assert at_rest(served)
        eventually(lambda: gc.collect() >= 0 and not jobs, "jobs are still in memory")
        assert outcomes(served)["failed"] == 0
        assert drawn(served, {"prompt": "a cat", "seed": 1})["tokens"] == list(
            pipeline("a cat", seed=1, output_type="tokens").tokens[0]
        )


def test_a_client_that_leaves_frees_its_place(pipeline: SpatialPipeline, gate: Gate) -> None:
    """A plain request and a stream that are being drawn, and the session of the target, which goes with the last."""
    gate.shut(lambda batch: len(batch.drawings) == 2 and all(d.state for d in batch.drawings))
    with serving(pipeline) as served, gate:
        with served.stream(method="ar") as (_, _events), pytest.raises(httpx.ReadTimeout):
            httpx.post(served.url + IMAGES, json={"prompt": "a cat"}, timeout=1, trust_env=False)
        session = weakref.ref(served.server.scheduler._batch._session)  # type: ignore[arg-type]
        eventually(lambda: not served.server.scheduler.jobs, "jobs of clients that left")
        gate.open()
        assert at_rest(served) and outcomes(served) == {"completed": 0, "cancelled": 2, "failed": 0, "refused": 0}
        gc.collect()
        assert session() is None


def test_slow_readers_hold_nobody_up(pipeline: SpatialPipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """Images of 8 MB that three clients never read: their images are drawn, and others get theirs."""
    small = answers.file_of
    monkeypatch.setattr(
        answers, "file_of", lambda image, body, **how: small(image, body, **how) + "=" * 8_000_000 * (body.n == 2)
    )
    body = b'{"prompt": "a cat", "n": 2, "stream": true, "partial_images": 3}'
    head = f"POST {IMAGES} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    with serving(pipeline, batch=2) as served, ExitStack() as stack:
        address = ("127.0.0.1", int(served.url.rpartition(":")[2]))
        slow = [stack.enter_context(socket.create_connection(address)) for _ in range(3)]
        for connection in slow:
            connection.sendall(head.encode() + body)
        eventually(lambda: served.metric("spatialspec_tokens_total") == 6 * 36, "images of slow readers are not drawn")
        for seed in range(4):
            answer = drawn(served, {"prompt": "a cat", "seed": seed, "partial_images": 1})
            assert answer["type"] == "image_generation.completed"
        eventually(lambda: len(served.server.scheduler.jobs) == 3, "they have not been read")
        stack.close()
        assert at_rest(served)


def test_a_client_that_does_not_read_is_cut_off(
    pipeline: SpatialPipeline, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its job ends, and the log holds no traceback."""
    small = answers.file_of
    monkeypatch.setattr(answers, "file_of", lambda image, body, **how: small(image, body, **how) + "=" * 8_000_000)
    monkeypatch.setattr(app, "SLOWEST", 0.2)
    body = b'{"prompt": "a cat", "n": 2, "stream": true}'
    head = f"POST {IMAGES} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    with serving(pipeline) as served:
        logging.getLogger("uvicorn.error").addHandler(caplog.handler)  # which hands nothing on
        address = ("127.0.0.1", int(served.url.rpartition(":")[2]))
        with socket.create_connection(address) as connection:
            connection.sendall(head.encode() + body)
            eventually(lambda: served.metric("spatialspec_tokens_total") == 2 * 36, "its images are not drawn")
            eventually(lambda: not served.server.scheduler.jobs, "it is not cut off")
    logging.getLogger("uvicorn.error").removeHandler(caplog.handler)
    assert not [record for record in caplog.records if record.exc_info]


def test_streams_end_where_nobody_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of every kind, without an error."""
    monkeypatch.setattr(app, "SLOWEST", 0.05)

    async def events() -> AsyncIterator[dict[str, str]]:
        yield {"data": "x"}

    async def send(message: object) -> None:
        await asyncio.sleep(60)

    async def receive() -> dict[str, str]:
        await asyncio.sleep(60)
        return {}

    asyncio.run(app.Stream(events())({"type": "http", "method": "GET"}, receive, send))  # type: ignore[arg-type]


def test_a_full_queue(pipeline: SpatialPipeline, gate: Gate) -> None:
    gate.shut(lambda batch: len(batch.drawings) == 1)
    with serving(pipeline, batch=1, queue=2) as served, gate, ThreadPoolExecutor(3) as pool:
        first = [pool.submit(served.post, seed=0)]
        eventually(lambda: served.metric("spatialspec_batch_images") == 1, "the first is not drawn")
        first += [pool.submit(served.post, seed=i) for i in (1, 2)]
        eventually(lambda: served.metric("spatialspec_queue_images") == 2, "the others do not wait")
        refused = served.post(seed=3)
        assert refused.status_code == 429 and 1 <= int(refused.headers["Retry-After"]) <= 300
        assert refused.json()["error"]["code"] == "queue_full"
        gate.open()
        assert [one.result().status_code for one in first] == [200] * 3 and served.post(seed=3).status_code == 200
        assert outcomes(served) == {"completed": 4, "cancelled": 0, "failed": 0, "refused": 1}


def test_time_limit(pipeline: SpatialPipeline, gate: Gate) -> None:
    """Of an image that is drawn, and of one that waits."""
    gate.shut(lambda batch: bool(batch.drawings) and batch.drawings[0].state is not None)
    with serving(pipeline, batch=1, seconds=0.2) as served, gate, ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(served.post, method="ar", seed=i) for i in range(2)]
        jobs = served.server.scheduler.jobs
        eventually(lambda: len(jobs) == 2, "not both are there")
        deadline = max(job.deadline for job in jobs.values())
        eventually(lambda: time.monotonic() > deadline, "time stands still")
        gate.open()
        for answer in (one.result() for one in waiting):
            assert answer.status_code == 504 and answer.json()["error"]["code"] == "timeout"
        assert at_rest(served) and outcomes(served)["failed"] == 2


def test_nobody_waits_for_a_thread_that_has_ended(pipeline: SpatialPipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the batch itself fails: who waits is told, nobody else is taken, and health says that it is over."""

    def fails(batch: Batch, indices: list[int]) -> None:
        raise RuntimeError(f"{__file__}: a secret of the machine")

    monkeypatch.setattr(Batch, "leave", fails)
    with serving(pipeline) as served, ThreadPoolExecutor(3) as pool:
        answers = list(pool.map(lambda seed: served.post(seed=seed), range(3)))
        assert {answer.status_code for answer in answers} <= {500, 503} and answers[0].json()["error"]["message"]
        assert not any("secret" in answer.text for answer in answers)
        eventually(lambda: not served.server.scheduler.alive, "the thread goes on")
        for path, status in (("/health", 500), ("/ready", 503)):
            assert served.http.get(path).status_code == status
        late = served.post()
        assert late.status_code == 503 and late.json()["error"]["code"] == "shutting_down"
        assert late.headers["Retry-After"] and not served.server.scheduler.jobs
