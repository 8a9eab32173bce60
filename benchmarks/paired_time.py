"""Speed ratio of two methods: `python benchmarks/paired_time.py jacobi:length=24 spatial:budget=23 --out FILE`.

They draw every image in alternation, so that a busy machine slows both alike. The record has the seconds of every
image and how many times as fast the second method is: the geometric mean over prompts with its 95 % interval.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch

from spatialspec import SpatialPipeline, arguments
from spatialspec.io.files import write_text
from spatialspec.io.outputs import check_output
from spatialspec.io.prompts import BUILT_IN
from spatialspec.measure.bench import describe
from spatialspec.measure.documents import DTYPES
from spatialspec.measure.intervals import mean_over_prompts
from spatialspec.request import Request


def main(words: list[str] | None = None) -> None:
    """Draw, then write the record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("methods", nargs=2, help="NAME or NAME:KEY=VALUE")
    parser.add_argument("--limit", type=int, default=64, help="prompts")
    parser.add_argument("--size", help="ROWSxCOLUMNS in tokens; by default the model's own")
    parser.add_argument("--dtype", choices=DTYPES, default="fp32", help="of the weights")
    parser.add_argument("--out", type=Path, default=Path("paired-time.json"))
    options = parser.parse_args(words)
    check_output(options.out, "", "--out")
    torch.set_num_threads(1)
    pipeline = SpatialPipeline.from_pretrained(torch_dtype=DTYPES[options.dtype])
    request = Request.of(
        tuple(BUILT_IN[: options.limit]), pipeline.target.default, arguments.grid(pipeline.target, options.size)
    )
    seconds: dict[str, list[float]] = {method: [] for method in options.methods}
    for method in seconds:  # warms up
        pipeline(request.prompts[0], method=method, seed=0, size=request.grid)
    for number, (prompt, seed) in enumerate(zip(request.prompts, request.seeds, strict=True)):
        for method in options.methods[:: 1 if number % 2 else -1]:
            report = pipeline(prompt, method=method, seed=seed, size=request.grid).report
            seconds[method].append(report.seconds)
    first, second = (np.log(seconds[method]) for method in options.methods)
    ratio = mean_over_prompts(first - second, range(len(first)), np.exp)
    assert ratio is not None and ratio.interval is not None
    record = {
        "settings": describe("python benchmarks/paired_time.py", pipeline, request).model_dump(),
        "seconds": seconds,
        "times_as_fast": ratio.value,
        "interval": ratio.interval,
    }
    print(f"{options.methods[1]} is {ratio.value:.3f} [{ratio.interval[0]:.3f}, {ratio.interval[1]:.3f}] times as fast")
    write_text(options.out, json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
