"""A noisy copy of a target, as a draft model: normal noise is added to the weights of its blocks.

`python benchmarks/noisy_copy.py --noise 0.2 --out DIR` writes it, for `--draft-model DIR`, and prints how often it
draws AR's token after AR's own tokens with the same noise. It costs as much as the target: it shows what a cheap model
of that agreement would save, in passes.
"""

import argparse
from pathlib import Path

import torch

from spatialspec import SpatialPipeline
from spatialspec.core.interfaces import Target
from spatialspec.drafts.acceptance import by_coupling
from spatialspec.drafts.teacher import streams
from spatialspec.io.prompts import BUILT_IN


def add_noise(target: Target, noise: float, seed: int = 0) -> None:
    """Add normal noise to every matrix of the blocks, `noise` times as large as the matrix's own deviation."""
    assert target.transformer is not None
    draw = torch.Generator().manual_seed(seed)
    for name, weight in target.transformer.named_parameters():
        if name.startswith("blocks.") and weight.dim() == 2:
            weight.data += noise * weight.data.std() * torch.randn(weight.shape, generator=draw)


@torch.inference_mode()
def agreement(small: Target, pipe: SpatialPipeline, prompts: list[str]) -> float:
    """Share of AR's tokens that the draft model draws after AR's tokens, in expectation over the noise."""
    images = pipe(prompts, method="jacobi:length=64", seed=0, output_type="tokens")
    codes, target = torch.tensor([list(tokens) for tokens in images.tokens]), pipe.target
    sampling = target.default
    p, q = (
        sampling.distribution(model.output(model.norm(streams(model, prompts, codes, sampling.streams))))
        for model in (target, small)
    )
    return by_coupling(p, q).mean().item()


def main() -> None:
    """Write the folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--noise", type=float, default=0.2)
    parser.add_argument("--limit", type=int, default=8, help="prompts for the agreement")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    small = SpatialPipeline.from_pretrained("icons")
    add_noise(small.target, options.noise)
    small.save_pretrained(options.out)
    pipe = SpatialPipeline.from_pretrained("icons")
    print(f"agreement {agreement(small.target, pipe, [*BUILT_IN[: options.limit]]):.2f}")


if __name__ == "__main__":
    main()
