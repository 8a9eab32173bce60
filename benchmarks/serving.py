"""Throughput and latency of `spatialspec serve`: `python benchmarks/serving.py --out FILE`.

Two servers run, one that draws image by image and one that batches continuously. 1, 4, 16 and 64 clients ask each of
them for images by plain AR and by `spatial`, all four in alternation, so that a busy machine slows them alike. Ratios
are to plain AR, image by image, under the same number of clients.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import numpy as np

from spatialspec import __version__
from spatialspec.io.files import write_text
from spatialspec.io.outputs import check_output

METHODS = ("ar", "spatial")


@contextmanager
def server(words: list[str]) -> Iterator[httpx.Client]:
    """A server of its own process, and a client of it."""
    command = [sys.executable, "-m", "spatialspec", "serve", "--port", "0", "--max-queue", "4096"]
    command += ["--max-seconds", "86400", *words]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"})
    assert process.stdout is not None
    try:
        url = process.stdout.readline().split()[3]
        limits = httpx.Limits(max_connections=None)
        with httpx.Client(base_url=url, timeout=None, limits=limits, trust_env=False) as client:
            yield client
    finally:
        process.terminate()
        process.wait()


def image(client: httpx.Client, method: str, prompt: str, seed: int) -> tuple[float, int]:
    """Seconds that a client waits for an image, and its tokens."""
    start = time.perf_counter()
    answer = client.post("/v1/images/generations", json={"prompt": prompt, "seed": seed, "method": method})
    answer.raise_for_status()
    return time.perf_counter() - start, answer.json()["usage"]["output_tokens"]


def load(client: httpx.Client, method: str, prompts: list[str], clients: int, images: int) -> dict[str, float]:
    """Clients that ask for one image after the other, `images` in all."""
    start = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        work = [pool.submit(image, client, method, prompts[i % len(prompts)], i) for i in range(images)]
        seconds, tokens = zip(*(one.result() for one in work), strict=True)
    whole = time.perf_counter() - start
    return {
        "images": images,
        "images_per_second": images / whole,
        "tokens_per_second": sum(tokens) / whole,
        "p50": float(np.quantile(seconds, 0.5)),
        "p95": float(np.quantile(seconds, 0.95)),
    }


def compared(run: dict[str, float], base: dict[str, float]) -> dict[str, float]:
    """How many times the throughput, and what share of the latency."""
    ratio = {name: run[name] / base[name] for name in ("images_per_second", "p50", "p95")}
    return {"throughput": ratio["images_per_second"], "p50": ratio["p50"], "p95": ratio["p95"]}


def main(words: list[str] | None = None) -> None:
    """Run every load, then write the record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="icons", help="as for `spatialspec serve`, and so are the next two")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 4, 16, 64])
    parser.add_argument("--batch", type=int, default=8, help="images that share passes, where they do")
    parser.add_argument("--images", type=int, default=2, help="of each client")
    parser.add_argument("--out", type=Path, default=Path("serving.json"))
    options = parser.parse_args(words)
    check_output(options.out, "", "--out")
    common = ["--model", options.model, "--device", options.device, "--dtype", options.dtype]
    runs: list[dict[str, object]] = []
    with ExitStack() as stack:
        servers = {
            size: stack.enter_context(server([*common, "--max-batch", str(size)])) for size in (1, options.batch)
        }
        model = servers[1].get("/v1/models").json()["data"][0]
        arms = [(size, method) for size in servers for method in METHODS]
        for size, method in arms:  # warms up
            load(servers[size], method, model["examples"], 1, 1)
        for number, clients in enumerate(options.clients):
            results = {}
            for size, method in arms[:: 1 if number % 2 else -1]:
                results[size, method] = load(
                    servers[size], method, model["examples"], clients, clients * options.images
                )
            for (size, method), run in results.items():
                ratios = compared(run, results[1, "ar"])
                runs.append({"clients": clients, "batch": size, "method": method, **run, "to_ar_of_batch_1": ratios})
                print(
                    f"{clients:3} clients, batch {size}, {method:8} {run['tokens_per_second']:8.1f} tokens/s "
                    f"({ratios['throughput']:5.2f} x), p50 {run['p50']:7.2f} s ({ratios['p50']:5.2f} x), "
                    f"p95 {run['p95']:7.2f} s ({ratios['p95']:5.2f} x)",
                    flush=True,
                )
    settings = {"command": "python benchmarks/serving.py", "version": __version__, "device": options.device}
    settings |= {"model": model["id"], "dtype": model["dtype"], "threads": os.environ.get("OMP_NUM_THREADS", "all")}
    write_text(options.out, json.dumps({"settings": settings, "runs": runs}, indent=1) + "\n")


if __name__ == "__main__":
    main()
