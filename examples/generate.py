"""Draw one image with the embedded model: `python examples/generate.py "a red apple, 3d" apple.png`.

The image is identical to plain AR for the same seed; the report says how many passes of the model it took.
"""

import argparse
from pathlib import Path

from spatialspec import SpatialPipeline


def main(prompt: str, out: Path, model: str = "icons", seed: int = 0) -> None:
    """Draw with the default method and with plain AR, and compare."""
    pipe = SpatialPipeline.from_pretrained(model)
    ours = pipe(prompt, seed=seed)
    ar = pipe(prompt, seed=seed, method="ar")
    ours.images[0].save(out)
    print(f"{ours.report.target_passes:.0f} passes instead of {ar.report.target_passes:.0f}")
    print("same tokens as AR:", ours.tokens == ar.tokens)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("prompt", nargs="?", default="a red apple, 3d")
    parser.add_argument("out", nargs="?", type=Path, default=Path("apple.png"))
    parser.add_argument("--model", default="icons", help="name, or a folder")
    parser.add_argument("--seed", type=int, default=0)
    main(**vars(parser.parse_args()))
