"""Servers of their own process, and many clients of them: for `serving.py`."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np

IMAGES = "/v1/images/generations"
PATIENCE = 3600.0  # seconds of a client


@dataclass
class Server:
    """A server that runs.

    Attributes:
        process: of the command.
        http: a client of it, for any number of threads.
    """

    process: subprocess.Popen[str]
    http: httpx.Client

    def metric(self, name: str) -> float:
        """A figure of `/metrics`, summed over replicas."""
        lines = [line.rpartition(" ") for line in self.http.get("/metrics").text.splitlines()]
        return sum(float(value) for key, _, value in lines if key.partition("{")[0] == name)


@contextmanager
def server(words: list[str]) -> Iterator[Server]:
    """Start `spatialspec serve` at a free port, and end it."""
    command = [sys.executable, "-m", "spatialspec", "serve", "--port", "0", "--max-queue", "4096", *words]
    command += ["--max-seconds", "86400"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"})
    assert process.stdout is not None
    try:
        url = process.stdout.readline().split()[3]
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
        with httpx.Client(base_url=url, timeout=PATIENCE, limits=limits, trust_env=False) as client:
            yield Server(process, client)
    finally:
        process.terminate()
        process.wait()


def timed(client: httpx.Client, body: dict[str, Any]) -> tuple[float, int]:
    """Seconds that a client waits for an image, and its tokens."""
    start = time.perf_counter()
    answer = client.post(IMAGES, json=body)
    answer.raise_for_status()
    return time.perf_counter() - start, answer.json()["usage"]["output_tokens"]


def load(client: httpx.Client, method: str, prompts: list[str], clients: int, images: int) -> dict[str, float]:
    """Clients that ask for one image after the other, `images` in all."""
    start = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        bodies = [{"prompt": prompts[i % len(prompts)], "seed": i, "method": method} for i in range(images)]
        seconds, tokens = zip(*pool.map(lambda body: timed(client, body), bodies), strict=True)
    whole = time.perf_counter() - start
    return {
        "images": images,
        "images_per_second": images / whole,
        "tokens_per_second": sum(tokens) / whole,
        "p50": float(np.quantile(seconds, 0.5)),
        "p95": float(np.quantile(seconds, 0.95)),
    }
