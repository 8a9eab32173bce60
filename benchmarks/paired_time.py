"""Speed of methods beside each other: `python benchmarks/paired_time.py ar jacobi:length=24 spatial --out FILE`.

They draw the same images in alternation, so that a busy machine slows all alike. The record has the seconds of every
image, or of every batch, and how many times as fast the last method is as each other: the geometric mean over
prompts with its 95 % interval. A budget that the last method leaves open is measured first, as by `--budget auto`.
"""

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from spatialspec import SpatialPipeline, arguments
from spatialspec.budget import tuned
from spatialspec.io.files import write_text
from spatialspec.io.outputs import check_output
from spatialspec.io.prompts import BUILT_IN
from spatialspec.measure.bench import describe
from spatialspec.measure.documents import DTYPES
from spatialspec.measure.intervals import mean_over_prompts
from spatialspec.methods.method import Method
from spatialspec.request import Request


def main(words: list[str] | None = None) -> None:
    """Draw, then write the record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("methods", nargs="+", help="NAME or NAME:KEY=VALUE")
    parser.add_argument("--limit", type=int, default=64, help="prompts")
    parser.add_argument("--batch", type=int, default=1, help="images that are drawn at once")
    parser.add_argument("--size", help="ROWSxCOLUMNS in tokens; by default the model's own")
    parser.add_argument("--dtype", choices=DTYPES, default="fp32", help="of the weights")
    parser.add_argument("--out", type=Path, default=Path("paired-time.json"))
    options = parser.parse_args(words)
    check_output(options.out, "", "--out")
    torch.set_num_threads(1)
    pipeline = SpatialPipeline.from_pretrained(torch_dtype=DTYPES[options.dtype])
    pipeline.set_progress_bar_config(disable=True)
    request = Request.of(
        tuple(BUILT_IN[: options.limit]), pipeline.target.default, arguments.grid(pipeline.target, options.size)
    )

    def draw(method: Method, batch: slice) -> None:
        prompts, seeds = request.prompts[batch], request.seeds[batch]
        pipeline(prompts, method=method, seed=seeds, size=request.grid, output_type="tokens")

    batches = [slice(start, start + options.batch) for start in range(0, len(request.prompts), options.batch)]
    first = request.only(range(len(request.prompts))[batches[0]])
    whole = replace(first, images=len(first.prompts))
    *others, last = map(Method.parse, options.methods)
    last, expected = tuned(pipeline.target, pipeline.drafts, last, whole, lambda method, cells: None)
    print(expected or f"{last} as it is")
    methods = {str(method): method for method in (*others, last)}
    seconds: dict[str, list[float]] = {name: [] for name in methods}
    for method in methods.values():  # warms up
        draw(method, batches[0])
    for number, batch in enumerate(tqdm(batches)):
        for name in list(methods)[:: 1 if number % 2 else -1]:
            start = time.perf_counter()
            draw(methods[name], batch)
            seconds[name].append(time.perf_counter() - start)
    logs = {name: np.log(values) for name, values in seconds.items()}
    ratios = {}
    for name in map(str, others):
        ratio = mean_over_prompts(logs[name] - logs[str(last)], range(len(batches)), np.exp)
        assert ratio is not None and ratio.interval is not None
        low, high = ratio.interval
        ratios[name] = {"value": ratio.value, "interval": ratio.interval}
        print(f"{last} is {ratio.value:.3f} [{low:.3f}, {high:.3f}] times as fast as {name}")
    record = {
        "settings": describe("python benchmarks/paired_time.py", pipeline, request).model_dump(),
        "batch": options.batch,
        "expected": expected,
        "seconds": seconds,
        "images_per_minute": {name: 60 * len(request.prompts) / sum(values) for name, values in seconds.items()},
        "times_as_fast": ratios,
    }
    write_text(options.out, json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
