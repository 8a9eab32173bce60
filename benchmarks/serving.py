"""Throughput, latency, endurance of `spatialspec serve`: `python benchmarks/serving.py --report docs/results/serving`.

Two servers run, one that draws image by image and one that batches continuously. 1, 4, 16 and 64 clients ask each of
them for images by plain AR and by `spatial`, all four in alternation, so that a busy machine slows them alike. Ratios
are to plain AR, image by image, under the same number of clients. Then a server is abused: see `serving_abuse.py`.
`--render` writes the page from its record once more.
"""

import argparse
import json
import os
import sys
from contextlib import ExitStack
from pathlib import Path

import torch
from serving_abuse import at_rest, crowd, hang_ups, killed, malformed, replica_killed, slow_readers, wanted
from serving_load import load, server

from spatialspec import SpatialPipeline, __version__
from spatialspec.io.files import write_text
from spatialspec.io.identity import identity
from spatialspec.io.outputs import check_output

METHODS = ("ar", "spatial")


def compared(run: dict[str, float], base: dict[str, float]) -> dict[str, float]:
    """How many times the throughput, and what share of the latency."""
    ratio = {name: run[name] / base[name] for name in ("images_per_second", "p50", "p95")}
    return {"throughput": ratio["images_per_second"], "p50": ratio["p50"], "p95": ratio["p95"]}


def loads(common: list[str], options: argparse.Namespace) -> list[dict[str, object]]:
    """Every load of both servers."""
    runs: list[dict[str, object]] = []
    with ExitStack() as stack:
        sizes = (1, options.batch)
        clients = {n: stack.enter_context(server([*common, "--max-batch", str(n)])).http for n in sizes}
        prompts = clients[1].get("/v1/models").json()["data"][0]["examples"]
        arms = [(size, method) for size in sizes for method in METHODS]
        for size, method in arms:  # warms up
            load(clients[size], method, prompts, 1, 1)
        for number, count in enumerate(options.clients):
            results = {}
            for size, method in arms[:: 1 if number % 2 else -1]:
                results[size, method] = load(
                    clients[size], method, prompts, count, max(count * options.images, options.least)
                )
            for (size, method), run in results.items():
                ratios = compared(run, results[1, "ar"])
                runs.append({"clients": count, "batch": size, "method": method, **run, "to_ar_of_batch_1": ratios})
                print(f"{count:3} clients, batch {size}, {method:8} {ratios['throughput']:5.2f} x", flush=True)
    return runs


def abuse(common: list[str], pipeline: SpatialPipeline, options: argparse.Namespace) -> dict[str, object]:
    """A crowd, nonsense, clients that hang up or do not read, and SIGKILL.

    All with one thread: an image decoder rounds bytes by the number of threads, and a replica would have another.
    """
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"  # of the servers
    record: dict[str, object] = {}
    words = [*common, "--max-batch", str(options.batch)]
    with server(words) as running:
        prompts = running.http.get("/v1/models").json()["data"][0]["examples"][:3]
        images = wanted(pipeline, prompts, METHODS, 2)
        crowd(running.http, images, options.crowd, 0)  # warms up: every thread and buffer that a crowd needs
        record["start"] = at_rest(running)
        record["crowd"] = crowd(running.http, images, options.crowd, options.seconds)
        record["malformed"] = malformed(running.http, options.bodies)
        record["hang_ups"] = {"visits": options.visits, "left": hang_ups(running.http, images, options.visits)}
        record["slow_readers"] = slow_readers(running.http, images, options.batch // 2)
        record["end"] = at_rest(running)
    record["server_killed"] = killed(words, images, options.batch)
    if options.replicas:
        record["replica_killed"] = replica_killed(words, images, options.crowd, options.seconds)
    print(json.dumps(record, indent=1), flush=True)
    return record


def page(record: dict) -> str:
    """The record as a page."""
    s, abused = record["settings"], record["abuse"]
    text = [f"`{s['call']}`", ""]
    text += [
        f"`{s['model']}` on {s['device']}, {s['dtype']}, threads {s['threads']}, PyTorch {s['torch']}, spatialspec"
    ]
    text += [f"{s['version']}. Ratios are to plain AR, image by image, with as many clients.", ""]
    text += ["| clients | batch | method | throughput | p50 | p95 | seconds, p50 | seconds, p95 |", "|---" * 8 + "|"]
    for run in record["runs"]:
        ratios = " | ".join(f"{run['to_ar_of_batch_1'][name]:.2f}" for name in ("throughput", "p50", "p95"))
        name = f"| {run['clients']} | {run['batch']} | `{run['method']}` | "
        text.append(f"{name}{ratios} | {run['p50']:.2f} | {run['p95']:.2f} |")
    start, end = abused["start"], abused["end"]
    text += ["", "Every image is compared with that of a single thread:", "", "| what | what came of it |", "|---|---|"]
    rows = {f"{abused['crowd']['clients']} clients at once, {abused['crowd']['seconds']:.0f} seconds": "crowd"}
    rows[f"SIGKILL of the server with {abused['server_killed']['clients']} running requests"] = "server_killed"
    if "slow_readers" in abused:
        rows[f"beside {abused['slow_readers']['readers']} streams that nobody reads"] = "slow_readers"
    if "replica_killed" in abused:
        rows["SIGKILL of one of two replicas in such a crowd"] = "replica_killed"
    for what, name in rows.items():
        counts = [f"{count} {kind}" for kind, count in sorted(abused[name]["outcomes"].items())]
        text.append(f"| {what} | {', '.join(counts)} |")
    bad = abused["malformed"]
    statuses = ", ".join(f"{count} times {status}" for status, count in sorted(bad["statuses"].items()))
    text.append(f"| {bad['bodies']:,} malformed bodies | {statuses}; {bad['traces']} with a traceback or a path |")
    left = abused["hang_ups"]
    text.append(
        f"| {left['visits']} visits, {left['left']} of which hang up | {end['images']:.0f} images left behind |"
    )
    text.append(f"| memory before and after all this | {start['megabytes']:.0f} and {end['megabytes']:.0f} MB |")
    return "\n".join(text) + "\n"


def main(words: list[str] | None = None) -> None:
    """Run every load and every abuse, then write record and page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="icons", help="as for `spatialspec serve`, and so are the next two")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="fp32")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 4, 16, 64])
    parser.add_argument("--batch", type=int, default=8, help="images that share passes, where they do")
    parser.add_argument("--images", type=int, default=2, help="of each client")
    parser.add_argument("--least", type=int, default=8, help="images of a load, however few its clients")
    parser.add_argument("--crowd", type=int, default=100, help="clients at once")
    parser.add_argument("--seconds", type=float, default=60, help="that they ask for")
    parser.add_argument("--bodies", type=int, default=1000, help="malformed")
    parser.add_argument("--visits", type=int, default=200, help="of clients that may hang up")
    parser.add_argument("--replicas", action="store_true", help="also kill a replica, which needs Ray")
    parser.add_argument("--report", type=Path, default=Path("serving"), help="NAME.json and NAME.md")
    parser.add_argument("--render", action="store_true")
    options = parser.parse_args(words)
    out = options.report.with_suffix(".json")
    if not options.render:
        check_output(out, "", "--report")
        common = ["--model", options.model, "--device", options.device, "--dtype", options.dtype]
        pipeline = SpatialPipeline.from_pretrained(options.model, device=options.device, dtype=options.dtype)
        pipeline.set_progress_bar_config(disable=True)
        runs = loads(common, options)
        record = {"settings": {
            "command": "serving", "call": "python benchmarks/serving.py " + " ".join(words or sys.argv[1:]),
            "model": pipeline.target.name, "identity": identity(pipeline.target), "device": options.device,
            "dtype": options.dtype, "threads": torch.get_num_threads(), "torch": torch.__version__,
            "version": __version__,
        }, "runs": runs, "abuse": abuse(common, pipeline, options)}  # fmt: skip
        write_text(out, json.dumps(record, indent=1) + "\n")
    write_text(options.report.with_suffix(".md"), page(json.loads(out.read_text())))


if __name__ == "__main__":
    main()
