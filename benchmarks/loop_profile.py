"""Profile of a decoder: `python benchmarks/loop_profile.py [METHOD ...]`.

Prints, for each method, milliseconds per pass inside the target (layers and output head) and outside of it, and the
share outside. It draws one image after a warm-up.
"""

import argparse
import time
from typing import Any

from spatialspec import SpatialPipeline
from spatialspec.targets.icons.transformer import GridTransformer


class Clock:
    """Adds up the time spent in a method of a class."""

    def __init__(self, owner: type, name: str) -> None:
        self.seconds, self.calls = 0.0, 0
        inner = getattr(owner, name)

        def timed(*arguments: Any, **keywords: Any) -> Any:
            start = time.perf_counter()
            result = inner(*arguments, **keywords)
            self.seconds += time.perf_counter() - start
            self.calls += 1
            return result

        setattr(owner, name, timed)


def main(methods: list[str]) -> None:
    """Profile each method."""
    clocks = [Clock(GridTransformer, "forward"), Clock(GridTransformer, "head")]
    pipe = SpatialPipeline.from_pretrained("icons")
    print(f"{'method':<16}{'passes':>8}{'target ms':>12}{'outside ms':>12}{'outside share':>15}")
    for method in methods:
        pipe("red apple, 3d", method=method, size="6x6")
        for clock in clocks:
            clock.seconds, clock.calls = 0.0, 0
        seconds = pipe("red apple, 3d", method=method, seed=0).report.seconds
        inside, passes = sum(clock.seconds for clock in clocks), clocks[0].calls
        outside = seconds - inside
        ms = 1000 / passes
        print(f"{method:<16}{passes:>8}{inside * ms:>12.2f}{outside * ms:>12.2f}{outside / seconds:>15.1%}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("methods", nargs="*", metavar="METHOD", help="name[:key=value...]")
    main(parser.parse_args().methods or ["ar", "medusa", "hawk-vertical", "hawk", "ssd"])
