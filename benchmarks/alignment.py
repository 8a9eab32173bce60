"""R@1 of AR images beside that of real images of the same prompts.

`python benchmarks/alignment.py --data train/data [--images 500] [--out FILE.json]` prints both for seen concepts in
their styles (split train), for held-out combinations (split pair) and for unseen concepts; then for prompts as people
type them (`src/spatialspec/lab/icons/people.csv`), which the judge reads as typed: drawn as the model reads
them, and with nothing added. Needs the extra `spatialspec[lab]`.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from spatialspec import SpatialPipeline
from spatialspec.drafts.image_folder import CaptionedImages, load
from spatialspec.io.files import write_text
from spatialspec.io.identity import identity
from spatialspec.lab.icons.precision import Precision, alignment
from spatialspec.lab.icons.prompts import PEOPLE
from spatialspec.targets.icons.target import IconsTarget

BATCH = 50
SHARES = {"train": 0.6, "pair": 0.4, "concept": 0.2}  # of --images


def draw(pipe: SpatialPipeline, prompts: Sequence[str], options: argparse.Namespace) -> np.ndarray:
    """AR images; the seed of image i is i."""
    images = []
    for start in range(0, len(prompts), BATCH):
        batch = list(prompts[start : start + BATCH])
        out = pipe(batch, method=options.method, seed=start, guidance_scale=options.guidance)
        images += [np.asarray(image) for image in out.images]
        print(f"{len(images)}/{len(prompts)} images", flush=True)
    return np.stack(images)


def figures(drawn: Precision, real: Precision) -> dict[str, object]:
    """Both with intervals, and their ratio."""
    both = {
        name: {"value": p.value, "interval": [p.low, p.high], "images": len(p.hits)}
        for name, p in (("drawn", drawn), ("real", real))
    }
    return {**both, "ratio": drawn.value / max(real.value, 1e-9)}


def real_images(pipe: SpatialPipeline, data: CaptionedImages) -> np.ndarray:
    """For each prompt of PEOPLE a training image: of its concept, in the style that it names or that is added."""
    assert isinstance(pipe.target, IconsTarget) and pipe.target.concepts is not None
    concepts = pipe.target.concepts
    place = {(row["concept"], row["style"]): i for i, row in enumerate(data.rows)}
    chosen = []
    for prompt, meant in PEOPLE.items():
        styles = concepts.known[meant].styles
        named = concepts.style_in(prompt)
        chosen.append(place[meant, named if named in styles else styles[0]])
    return data.pixels[chosen]


def main() -> None:
    """Draw, evaluate, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default="icons")
    parser.add_argument("--method", default="ar", help="any seed-exact method draws the same images")
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--guidance", type=float)
    parser.add_argument("--out", type=Path, help="a JSON file")
    options = parser.parse_args()
    pipe, data = SpatialPipeline.from_pretrained(options.model), load(options.data)
    train = data.select("train")
    distractors = [f"{row['text']}, {row['style']}" for row in train.rows]
    seen = {row["concept"] for row in train.rows}
    record: dict[str, dict[str, object]] = {}
    hits: dict[str, tuple[Precision, Precision]] = {}
    for split, part in SHARES.items():
        chosen = data.select(split)
        if split == "pair":  # the concept is known from another style
            known = [i for i, row in enumerate(chosen.rows) if row["concept"] in seen]
            chosen = CaptionedImages(chosen.pixels[known], [chosen.rows[i] for i in known])
        count = min(round(part * options.images), len(chosen.rows))
        picked = np.random.default_rng(0).permutation(len(chosen.rows))[:count]
        prompts = [f"{chosen.rows[i]['text']}, {chosen.rows[i]['style']}" for i in picked]
        real = alignment(chosen.pixels[picked], prompts, distractors)
        drawn = alignment(draw(pipe, prompts, options), prompts, distractors)
        hits[split], record[split] = (drawn, real), figures(drawn, real)
        print(f"{split}: AR {drawn}; real {real}; ratio {record[split]['ratio']:.2f}", flush=True)
    pooled = [Precision.of(np.concatenate([hits[s][i].hits for s in ("train", "pair")])) for i in (0, 1)]
    record["train and pair"] = figures(*pooled)
    ratio = record["train and pair"]["ratio"]
    print(f"train and pair: AR {pooled[0]}; real {pooled[1]}; ratio {ratio:.2f}", flush=True)

    settings = {
        "command": "python benchmarks/alignment.py", "model": pipe.target.name, "identity": identity(pipe.target),
        "method": options.method, "images": options.images, "guidance": options.guidance,
    }  # fmt: skip
    prompts = list(PEOPLE)
    real = alignment(real_images(pipe, train), prompts, distractors, meant=PEOPLE)
    for name, concepts in (("people", pipe.target.concepts), ("people, nothing added", None)):
        pipe.target.concepts = concepts
        drawn = alignment(draw(pipe, prompts, options), prompts, distractors, meant=PEOPLE)
        record[name] = figures(drawn, real)
        own = record[name]["ratio"]
        print(f"{name}: AR {drawn}; real {real}; ratio {own:.2f}, {own / ratio:.2f} of that above", flush=True)
    if options.out:
        write_text(options.out, json.dumps({"settings": settings, "figures": record}, indent=2) + "\n")


if __name__ == "__main__":
    main()
