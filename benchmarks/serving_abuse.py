"""What a server has to bear: crowds, nonsense, clients that hang up or do not read, and SIGKILL. For `serving.py`.

Every image that arrives is compared with that of a single thread for the same prompt, seed and method.
"""

from __future__ import annotations

import base64
import io
import json
import os
import random
import re
import signal
import socket
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import httpx
import numpy as np
import psutil
from PIL import Image
from serving_load import IMAGES, Server, server

from spatialspec import SpatialPipeline

TRACES = re.compile(r'Traceback|File "|\.py\b|(?<![\w.~-])/(?:tmp|home|root|usr|var|opt)\b')
FIELDS = (
    "prompt", "model", "n", "size", "quality", "response_format", "output_format", "stream", "partial_images", "seed",
    "guidance_scale", "temperature", "top_k", "top_p", "method", "negative_prompt", "background", "colour",
)  # fmt: skip
WRONG: tuple[Any, ...] = (-1, 1e400, "../../etc/passwd", [], {}, [[]], True, 10**30, -0.5, "\0", "\ud800", "x" * 10_001)
Wanted = dict[tuple[str, str, int], np.ndarray]  # prompt, method, seed -> pixels


def wanted(pipeline: SpatialPipeline, prompts: list[str], methods: tuple[str, ...], seeds: int) -> Wanted:
    """Images of a single thread."""
    jobs = [(prompt, method, seed) for prompt in prompts for method in methods for seed in range(seeds)]
    return {(p, m, s): np.asarray(pipeline(p, method=m, seed=s).images[0].convert("RGB")) for p, m, s in jobs}


def outcome(client: httpx.Client, job: tuple[str, str, int], images: Wanted) -> str:
    """What became of a request: right, mixed up, the status of a refusal, or lost."""
    prompt, method, seed = job
    try:
        answer = client.post(IMAGES, json={"prompt": prompt, "method": method, "seed": seed})
    except httpx.HTTPError:
        return "lost"
    if answer.status_code != 200:
        return str(answer.status_code)
    (row,) = answer.json()["data"]
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(row["b64_json"]))))
    return "right" if np.array_equal(pixels, images[job]) else "mixed up"


def crowd(client: httpx.Client, images: Wanted, clients: int, seconds: float) -> dict[str, Any]:
    """Clients that all start at once, and ask again until the time is over."""
    end = time.monotonic() + seconds
    start = time.perf_counter()

    def visit(number: int) -> list[str]:
        choose, found = random.Random(number), list[str]()
        while not found or time.monotonic() < end:
            found.append(outcome(client, choose.choice([*images]), images))
        return found

    with ThreadPoolExecutor(clients) as pool:
        outcomes = Counter(one for found in pool.map(visit, range(clients)) for one in found)
    return {"clients": clients, "seconds": time.perf_counter() - start, "outcomes": dict(outcomes)}


def _fine(field: str, value: Any) -> bool:
    return (field == "stream" and value is True) or (field.endswith("prompt") and value == "../../etc/passwd")


def nonsense(choose: random.Random) -> bytes:
    """A body that is malformed: cut, not JSON, not an object, or with a field that is wrong."""
    field, value = choose.choice([(field, value) for field in FIELDS for value in WRONG if not _fine(field, value)])
    body = {"prompt": "a red apple", "seed": 0, field: value}
    text = json.dumps(body).encode("utf-8", "surrogatepass")
    kind = choose.randrange(4)
    if kind == 0:
        return text[: choose.randrange(len(text))]
    if kind == 1:
        return bytes(choose.randrange(256) for _ in range(choose.randrange(200)))
    return text if kind == 2 else json.dumps(choose.choice([[body], "text", 3, None, True])).encode()


def malformed(client: httpx.Client, count: int) -> dict[str, Any]:
    """Bodies that ask for nothing: their statuses, and how many answers show a traceback or a path."""
    choose = random.Random(0)
    answers = [
        client.post(IMAGES, content=nonsense(choose), headers={"Content-Type": "application/json"})
        for _ in range(count)
    ]
    statuses = Counter(str(answer.status_code) for answer in answers)
    return {"bodies": count, "statuses": dict(statuses), "traces": sum(bool(TRACES.search(a.text)) for a in answers)}


def hang_ups(client: httpx.Client, images: Wanted, visits: int) -> int:
    """Clients that leave at random moments, of plain requests and of streams; how many left before the end."""
    choose, url = random.Random(1), f"{client.base_url}".rstrip("/") + IMAGES
    plans = [(choose.choice([*images]), choose.random() < 0.5, choose.uniform(0.01, 2)) for _ in range(visits)]

    def visit(plan: tuple[tuple[str, str, int], bool, float]) -> bool:
        (prompt, method, seed), stream, patience = plan
        body = {"prompt": prompt, "method": method, "seed": seed, "stream": stream}
        end = time.monotonic() + patience
        try:
            with httpx.stream("POST", url, json=body, timeout=patience, trust_env=False) as answer:
                for _ in answer.iter_raw():
                    if time.monotonic() > end:
                        return True
        except httpx.TimeoutException:
            return True
        return False

    with ThreadPoolExecutor(32) as pool:
        return sum(pool.map(visit, plans))


def slow_readers(client: httpx.Client, images: Wanted, readers: int) -> dict[str, Any]:
    """Clients that ask for streams and read nothing: what others get meanwhile.

    Small packets and a small buffer keep the operating system from taking a whole stream of small images.
    """
    (prompt, method, seed), url = next(iter(images)), client.base_url
    fields = {"prompt": prompt, "method": method, "seed": seed, "n": 8, "stream": True, "partial_images": 3}
    body = json.dumps(fields).encode()
    head = f"POST {IMAGES} HTTP/1.1\r\nHost: {url.host}\r\nContent-Type: application/json\r\n"
    with ExitStack() as stack, ThreadPoolExecutor(len(images)) as pool:
        for _ in range(readers):
            connection = stack.enter_context(socket.socket())
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.connect((url.host, url.port))
            connection.sendall(head.encode() + f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
        outcomes = Counter(pool.map(lambda job: outcome(client, job, images), images))
    return {"readers": readers, "outcomes": dict(outcomes)}


def at_rest(running: Server) -> dict[str, float]:
    """Wait until nothing is queued or drawn; megabytes of the process then, and its images."""
    names = ("spatialspec_queue_images", "spatialspec_batch_images")
    end = time.monotonic() + 60
    while any(left := [running.metric(name) for name in names]) and time.monotonic() < end:
        time.sleep(0.1)
    return {"megabytes": psutil.Process(running.process.pid).memory_info().rss / 1e6, "images": sum(left)}


def killed(words: list[str], images: Wanted, clients: int) -> dict[str, Any]:
    """SIGKILL of a server with running requests: what its clients see, and that the next server draws."""
    with server(words) as running, ThreadPoolExecutor(clients) as pool:
        visits = [pool.submit(outcome, running.http, job, images) for job in [*images] * clients][:clients]
        while running.metric("spatialspec_batch_images") == 0:
            time.sleep(0.01)
        start = time.perf_counter()
        running.process.kill()
        outcomes = Counter(visit.result() for visit in visits)
        seconds = time.perf_counter() - start
    with server(words) as running:
        after = outcome(running.http, next(iter(images)), images)
    return {"clients": clients, "outcomes": dict(outcomes), "seconds_to_notice": seconds, "next_server": after}


def replica_killed(words: list[str], images: Wanted, clients: int, seconds: float) -> dict[str, Any]:
    """SIGKILL of one of two replicas while a crowd draws."""
    with server([*words, "--replicas", "2"]) as running, ThreadPoolExecutor(1) as pool:
        visits = pool.submit(crowd, running.http, images, clients, seconds)
        time.sleep(seconds / 3)
        family = psutil.Process(running.process.pid).children(recursive=True)
        mine = [one.pid for one in family if "ServeReplica" in " ".join(one.cmdline())]
        os.kill(mine[0], signal.SIGKILL)
        result = visits.result()
        start = time.monotonic()
        while (
            running.http.get("/metrics").text.count("spatialspec_batch_images{") < 2 and time.monotonic() < start + 60
        ):
            time.sleep(0.2)
        replicas = running.http.get("/metrics").text.count("spatialspec_batch_images{")
    return {"replicas_at_start": len(mine), "replicas_at_end": replicas, **result}
