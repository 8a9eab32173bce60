"""R@1 of AR images beside that of real images of the same prompts.

`python benchmarks/alignment.py --data train/data [--images 500] [--guidance W]` prints both for seen concepts in their
styles (split train), for held-out combinations (split pair) and for unseen concepts. Needs the extra
`spatialspec[lab]`.
"""

import argparse
from pathlib import Path

import numpy as np

from spatialspec import SpatialPipeline
from spatialspec.drafts.image_folder import CaptionedImages, load
from spatialspec.lab.icons.precision import alignment

BATCH = 50


def draw(pipe: SpatialPipeline, prompts: list[str], guidance: float | None) -> np.ndarray:
    """AR images; the seed of image i is i."""
    images = []
    for start in range(0, len(prompts), BATCH):
        out = pipe(prompts[start : start + BATCH], method="ar", seed=start, guidance_scale=guidance)
        images += [np.asarray(image) for image in out.images]
        print(f"{len(images)}/{len(prompts)} images", flush=True)
    return np.stack(images)


def main() -> None:
    """Draw, evaluate, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default="icons")
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--guidance", type=float)
    arguments = parser.parse_args()
    pipe, data = SpatialPipeline.from_pretrained(arguments.model), load(arguments.data)
    distractors = [f"{row['text']}, {row['style']}" for row in data.select("train").rows]
    seen = {row["concept"] for row in data.select("train").rows}
    share = {"train": 0.6, "pair": 0.4, "concept": 0.2}
    for split, part in share.items():
        chosen = data.select(split)
        if split == "pair":  # the concept is known from another style
            known = [i for i, row in enumerate(chosen.rows) if row["concept"] in seen]
            chosen = CaptionedImages(chosen.pixels[known], [chosen.rows[i] for i in known])
        count = min(round(part * arguments.images), len(chosen.rows))
        picked = np.random.default_rng(0).permutation(len(chosen.rows))[:count]
        prompts = [f"{chosen.rows[i]['text']}, {chosen.rows[i]['style']}" for i in picked]
        real = alignment(chosen.pixels[picked], prompts, distractors)
        drawn = alignment(draw(pipe, prompts, arguments.guidance), prompts, distractors)
        print(f"{split}: AR {drawn}; real {real}; ratio {drawn.value / max(real.value, 1e-9):.2f}", flush=True)


if __name__ == "__main__":
    main()
