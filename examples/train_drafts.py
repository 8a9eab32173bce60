"""Train Hawk's heads for a target on its own images: `python examples/train_drafts.py prompts.txt --target icons`.

The target draws an image of each prompt; the heads learn to predict its tokens. Then one prompt is drawn with them.
The defaults are a demonstration: real drafts learn for hours, see docs/train-drafts.md.
"""

import argparse
import subprocess
import sys
from pathlib import Path

from spatialspec import SpatialPipeline


def main(prompts: Path, target: str = "icons", out: Path = Path("drafts/hawk"), steps: int = 50) -> None:
    """Train by the command line, as one does over several GPUs (`torchrun -m spatialspec ...`), then draw."""
    words = ["train", "draft", "--drafter", "hawk", "--target", target, "--self-distil", str(prompts)]
    words += ["--out", str(out), "--steps", str(steps), "--batch", "2"]
    subprocess.run([sys.executable, "-m", "spatialspec", *words], check=True)
    pipe = SpatialPipeline.from_pretrained(target, draft=out)
    prompt = prompts.read_text().splitlines()[0]
    for method in ("ar", "hawk", "spatial"):
        report = pipe(prompt, seed=0, method=method).report
        print(f"{method}: {report.target_passes:.0f} passes, {report.accepted_length:.2f} tokens per pass that commits")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("prompts", type=Path, help="a text file, one prompt a line")
    parser.add_argument("--target", default="icons", help="name, or a folder")
    parser.add_argument("--out", type=Path, default=Path("drafts/hawk"), help="folder of the drafts")
    parser.add_argument("--steps", type=int, default=50)
    main(**vars(parser.parse_args()))
