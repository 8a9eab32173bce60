"""Draw one prompt with two methods side by side, a frame per target pass: `python benchmarks/animate.py OUT.webp`.

A cell appears in the pass that commits it, with the pixels of the finished image. Under the same seed a seed-exact
method finishes with the image of AR.
"""

import argparse
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from spatialspec import Grid, SpatialPipeline
from spatialspec.io.outputs import check_output

SIDE, GAP, CAPTION, OPEN = 240, 12, 34, "#e4e6ea"
MILLISECONDS, HOLD = 30, 4000  # of a frame, and of the last one


def passes(pipe: SpatialPipeline, prompt: str, method: str, seed: int) -> tuple[Image.Image, list[int]]:
    """The finished image, enlarged, and how many cells were committed after each pass."""
    counts = []

    def count(pipe, index, timestep, callback_kwargs):
        counts.append(len(callback_kwargs["step"].after.tokens))
        return callback_kwargs

    (image,) = pipe(prompt, method=method, seed=seed, callback_on_step_end=count).images
    return image.resize((SIDE, SIDE), Image.Resampling.NEAREST), counts


def uncovered(image: Image.Image, cells: int, grid: Grid) -> Image.Image:
    """The image with only its first cells."""
    frame = image.copy()
    pen = ImageDraw.Draw(frame)
    row, column = divmod(cells, grid.columns)
    top, left = row * SIDE // grid.rows, column * SIDE // grid.columns
    if row < grid.rows:
        pen.rectangle((left, top, SIDE, (row + 1) * SIDE // grid.rows - 1), OPEN)
        pen.rectangle((0, (row + 1) * SIDE // grid.rows, SIDE, SIDE), OPEN)
    return frame


def animation(pipe: SpatialPipeline, prompt: str, methods: list[str], seed: int) -> list[Image.Image]:
    """One frame per pass of the slower method."""
    runs = [passes(pipe, prompt, method, seed) for method in methods]
    font, frames = ImageFont.load_default(15), []
    for index in range(max(len(counts) for _, counts in runs)):
        frame = Image.new("RGB", (len(runs) * (SIDE + GAP) + GAP, SIDE + CAPTION + GAP), "white")
        pen = ImageDraw.Draw(frame)
        for i, (method, (image, counts)) in enumerate(zip(methods, runs, strict=True)):
            done = min(index, len(counts) - 1)
            x = GAP + i * (SIDE + GAP)
            frame.paste(uncovered(image, counts[done], pipe.target.grid), (x, GAP))
            end = "  done" if done == len(counts) - 1 else ""
            pen.text((x, GAP + SIDE + 8), f"{method}: pass {done + 1}{end}", fill="black", font=font)
        frames.append(frame)
    return frames


def main(words: list[str] | None = None) -> None:
    """Draw, then write the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="a WebP file")
    parser.add_argument("--prompt", default="red apple, 3d")
    parser.add_argument("--methods", default="ar,spatial", help="the first is the slower one")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", default="icons", help="name or folder")
    options = parser.parse_args(words)
    check_output(options.out, ".webp", "OUT")
    pipe = SpatialPipeline.from_pretrained(options.model)
    frames = animation(pipe, options.prompt, options.methods.split(","), options.seed)
    durations = [MILLISECONDS] * (len(frames) - 1) + [HOLD]
    frames[0].save(
        options.out, save_all=True, append_images=frames[1:], duration=durations, loop=0, lossless=True, method=4
    )


if __name__ == "__main__":
    main()
