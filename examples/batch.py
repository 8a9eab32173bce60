"""Several images at once, with previews, cancelled and resumed: `python examples/batch.py images`.

The resumed images are those that one uninterrupted call would have drawn.
"""

import argparse
from pathlib import Path

from spatialspec import SpatialPipeline

PROMPTS = ["a red apple, 3d", "a green tree, flat", "a blue heart, noto"]


def main(folder: Path, model: str = "icons", passes: int = 10) -> None:
    """Draw some passes, save previews, interrupt; then resume to the end."""
    folder.mkdir(exist_ok=True)
    pipe = SpatialPipeline.from_pretrained(model)

    def after_pass(pipe, step, timestep, callback_kwargs):
        record = callback_kwargs["step"]  # one pass of one image
        preview = pipe.preview(record.after)  # finished rows, None before the first
        if preview is not None:
            preview.save(folder / f"preview-{record.image}.png")
        if step + 1 == passes:
            pipe.interrupt()
        return callback_kwargs

    begun = pipe(PROMPTS, seed=0, callback_on_step_end=after_pass)
    print("cells written when interrupted:", [len(tokens) for tokens in begun.tokens])
    finished = pipe(PROMPTS, seed=begun.seeds, written=begun.tokens)
    for seed, image in zip(finished.seeds, finished.images, strict=True):
        image.save(folder / f"seed-{seed}.png")
    print("same as in one call:", finished.tokens == pipe(PROMPTS, seed=0).tokens)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=Path("images"))
    parser.add_argument("--model", default="icons", help="name, or a folder")
    parser.add_argument("--passes", type=int, default=10, help="after which to interrupt")
    main(**vars(parser.parse_args()))
