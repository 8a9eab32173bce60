"""Several replicas through Ray Serve: one door, each image as it is alone, and a killed one takes no other along."""

from __future__ import annotations

import base64
import io
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
import pytest
from PIL import Image

from helpers.commands import ENVIRONMENT, started
from helpers.serving import IMAGES, events, eventually
from helpers.tiny import tiny_folder
from spatialspec import SpatialPipeline

pytest.importorskip("ray", reason="no package ray here: `pip install '.[ray]'` runs these tests")
pytestmark = [pytest.mark.slow, pytest.mark.long]
JOBS = [("a cat", 1, "ar"), ("green tree", 2, "spatial"), ("a cat", 3, "hawk"), ("blue heart, flat", 4, "ar")]


class Running:
    """The command, its URL, and the model that it serves."""

    def __init__(self, process: subprocess.Popen[str], url: str, folder: Path) -> None:
        self.process, self.url = process, url
        self.http = httpx.Client(base_url=url, timeout=120, trust_env=False)
        pipeline = SpatialPipeline.from_pretrained(folder)
        self.wanted = {job: np.asarray(pipeline(job[0], seed=job[1], method=job[2]).images[0]) for job in JOBS}

    def outcome(self, job: tuple[str, int, str]) -> str:
        """Whether an image is that of a single thread, or the code of an error."""
        body = {"prompt": job[0], "seed": job[1], "method": job[2]}
        answer = self.http.post(IMAGES, json=body)
        if answer.status_code != 200:
            return f"{answer.status_code} {answer.json()['error']['code']}"
        pixels = Image.open(io.BytesIO(base64.b64decode(answer.json()["data"][0]["b64_json"])))
        return "right" if np.array_equal(pixels, self.wanted[job]) else "mixed up"

    def places(self) -> set[str]:
        """Replicas that answer."""
        return places(self.http)

    def processes(self) -> list[psutil.Process]:
        """Of the replicas."""
        found = psutil.Process(self.process.pid).children(recursive=True)
        return [one for one in found if one.is_running() and "Replica" in " ".join(one.cmdline())]

    def drawing(self) -> float:
        """Images that are drawn or wait, in all replicas."""
        text = self.http.get("/metrics").text
        return sum(map(float, re.findall(r"spatialspec_(?:batch|queue)_images\{\S+ (\S+)", text)))


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tiny_folder(tmp_path_factory.mktemp("replicas") / "tiny")
    with started(folder, "--replicas", "2", "--max-batch", "4") as (process, url):
        yield Running(process, url, folder)


def test_nothing_listens_beyond_this_machine(running: Running) -> None:
    assert listening(running.process) == {"127.0.0.1"}


def test_images_of_all_replicas_are_those_of_one_thread(running: Running) -> None:
    with ThreadPoolExecutor(16) as pool:
        assert Counter(pool.map(running.outcome, JOBS * 16)) == {"right": 64}
    text = running.http.get("/metrics").text
    drawn = re.findall(r'spatialspec_requests_total\{outcome="completed",replica="(\w+)"\} (\S+)', text)
    assert {place for place, _ in drawn} == running.places() and len(drawn) == 2
    assert all(float(count) > 5 for _, count in drawn) and sum(float(count) for _, count in drawn) >= 64


def test_jobs_are_found_where_they_are_drawn(running: Running) -> None:
    """Twelve at once: each is watched, every other one is cancelled, and nothing stays behind."""
    seen = set[str]()

    def visit(number: int) -> None:
        body = {"prompt": "a cat", "seed": 1, "method": "ar", "n": 10, "stream": True}
        with running.http.stream("POST", IMAGES, json=body) as answer:
            job = answer.headers["x-job-id"]
            seen.add(job.rpartition(".")[2])
            with running.http.stream("GET", f"/v1/images/jobs/{job}/events") as watching:
                assert watching.status_code == 200
                news = events(watching)
                first = next(news)
                if number % 2:
                    assert running.http.delete(f"/v1/images/jobs/{job}").json()["status"] in ("cancelled", "completed")
                *_, last = news
            final = list(events(answer))[-1]
        assert first["type"] == "image_generation.progress"
        if last["outcome"] == "completed":
            assert final["type"] == "image_generation.completed"
        else:
            assert number % 2 and last["outcome"] == final["error"]["code"] == "cancelled"

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(visit, range(12)))
    assert seen == running.places()
    eventually(lambda: running.drawing() == 0, "images are still drawn")
    assert running.http.get("/v1/images/jobs/none.none/events").status_code == 404


def test_a_client_that_leaves_frees_its_place(running: Running) -> None:
    for stream in (False, True):
        with pytest.raises(httpx.ReadTimeout), httpx.stream(
            "POST", running.url + IMAGES, timeout=0.3, trust_env=False,
            json={"prompt": "a cat", "method": "ar", "n": 10, "stream": stream},
        ) as answer:  # fmt: skip
            time.sleep(0.3)
            raise httpx.ReadTimeout("left") from (answer.close() if stream else None)
    eventually(lambda: running.drawing() == 0, "an image of somebody who left is drawn")
    assert running.outcome(JOBS[0]) == "right"


def test_sigkill_of_a_replica_costs_its_running_requests_a_503(running: Running) -> None:
    """Nobody waits in vain, no image is wrong, and there are two replicas again."""
    stop, before = threading.Event(), running.places()

    def visit(number: int) -> list[str]:
        found = list[str]()
        while not stop.is_set():
            found.append(running.outcome(JOBS[number % 4]))
        return found

    with ThreadPoolExecutor(16) as pool:
        visits = [pool.submit(visit, number) for number in range(16)]
        eventually(lambda: running.drawing() >= 8, "there is no load")
        os.kill(running.processes()[0].pid, signal.SIGKILL)
        time.sleep(2)
        stop.set()
        outcomes = Counter(one for each in visits for one in each.result())
    assert {*outcomes} == {"right", "503 replica_died"}, outcomes
    assert outcomes["503 replica_died"] <= 16 and outcomes["right"] > 16
    eventually(lambda: len(running.places()) == 2 and running.places() != before, "no replica took its place")
    assert Counter(map(running.outcome, JOBS * 4)) == {"right": 16}


def test_it_finishes_what_it_took(running: Running) -> None:
    """SIGTERM, while ten images are drawn one after the other; the last test, as no process is left."""
    family = psutil.Process(running.process.pid).children(recursive=True)
    body: dict[str, Any] = {"prompt": "a cat", "seed": 1, "method": "ar", "n": 10, "stream": True}
    with running.http.stream("POST", IMAGES, json=body) as answer:
        news = events(answer)
        next(news)
        running.process.send_signal(signal.SIGTERM)
        assert len(list(news)) == 9
    assert running.process.wait(60) == 0
    assert running.process.stderr is not None and running.process.stderr.read() == ""
    eventually(lambda: not [one for one in family if one.is_running()], "processes of Ray are left")


PROGRAM = """
import sys
from spatialspec.serve.ray_cluster import cluster

with cluster():
    from ray import serve
    from spatialspec.serve.ray import app

    serve.start(http_options={"port": int(sys.argv[1])})
    serve.run(app(dict(word.split("=") for word in sys.argv[2:])))
    print("ready", flush=True)
    sys.stdin.read()
"""


def test_the_application_behind_the_proxy_of_ray(tmp_path: Path) -> None:
    """What `serve run spatialspec.serve.ray:app` runs, at a free port; with a key. A queue brings another replica."""
    folder = tiny_folder(tmp_path / "tiny")
    (tmp_path / "key").write_text("open-sesame")
    port = free_port()
    options = [f"model={folder}", f"api_key_file={tmp_path / 'key'}", "most_replicas=2", "max_batch=2"]
    words = [sys.executable, "-c", PROGRAM, str(port), *options]
    pipe = subprocess.PIPE
    with subprocess.Popen(words, env=ENVIRONMENT, cwd=tmp_path, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdin is not None and process.stdout is not None
        assert any(line == "ready\n" for line in process.stdout)
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120, trust_env=False) as http:
            assert http.get("/health").status_code == 200
            assert http.get("/v1/models").status_code == 401
            http.headers["Authorization"] = "Bearer open-sesame"
            assert http.get("/v1/models").json()["data"][0]["id"] == "tiny"
            assert http.post(IMAGES, json={"prompt": 3}).status_code == 400
            with http.stream("POST", IMAGES, json={"prompt": "a cat", "seed": 1, "stream": True}) as answer:
                (done,) = events(answer)
            assert listening(process) == {"127.0.0.1"}
            with ThreadPoolExecutor(12) as pool:  # six times what a replica is to have, until there is another one
                full = [pool.submit(keep_busy, http) for _ in range(12)]
                eventually(lambda: len(places(http)) == 2, "the queue brought no second replica")
                assert all(one.result() == {200} for one in full)
        process.stdin.close()
        assert process.wait(60) == 0
    assert done["tokens"] == list(SpatialPipeline.from_pretrained(folder)("a cat", seed=1).tokens[0])


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def places(http: httpx.Client) -> set[str]:
    """Replicas that answer."""
    return set(re.findall(r'spatialspec_batch_images\{replica="(\w+)"\}', http.get("/metrics").text))


def listening(process: subprocess.Popen[str]) -> set[str]:
    """Addresses at which a command and what it started listen."""
    found = [process, *psutil.Process(process.pid).children(recursive=True)]
    listening = [c for one in found for c in psutil.Process(one.pid).net_connections() if c.status == "LISTEN"]
    assert len(listening) > 3, "Ray itself listens"
    return {c.laddr.ip.removeprefix("::ffff:") for c in listening}


def keep_busy(http: httpx.Client) -> set[int]:
    """Draw images until there are two replicas; the codes of the answers."""
    codes, body = set[int](), {"prompt": "a cat", "seed": 1, "method": "ar", "n": 4}
    while len(places(http)) < 2 and codes <= {200}:
        codes.add(http.post(IMAGES, json=body).status_code)
    return codes or {200}
