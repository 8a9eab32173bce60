"""Draw with a model of transformers that is loaded already: `python examples/loaded_model.py --device cuda`.

Works for Janus-Pro, Emu3, Anole and Lumina-mGPT. The model is downloaded by transformers, as you do it today.
"""

import argparse
from pathlib import Path

import torch
from transformers import AutoModelForImageTextToText, AutoProcessor

from spatialspec import SpatialPipeline


def main(model: str, prompt: str, out: Path, device: str = "cpu") -> None:
    """Load, wrap, draw."""
    dtype = torch.float32 if device == "cpu" else torch.bfloat16
    loaded = AutoModelForImageTextToText.from_pretrained(model, dtype=dtype, device_map=device)
    pipe = SpatialPipeline.wrap(loaded, AutoProcessor.from_pretrained(model))
    print(pipe)
    output = pipe(prompt, seed=0)
    output.images[0].save(out)
    print(output.report)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="deepseek-community/Janus-Pro-1B", help="id on the Hub, or a folder")
    parser.add_argument("--prompt", default="a red fox in the snow")
    parser.add_argument("--out", type=Path, default=Path("fox.png"))
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    main(**vars(parser.parse_args()))
