"""The target's own pictures, made by batched AR, for self-distillation: shards written atomically, resumable.

Picture i of a list of prompts depends on (seed + i, prompt) and on nothing else, so any number of runs gives the same.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from spatialspec.core.files import write_text
from spatialspec.generation import Request, generate
from spatialspec.methods import Method
from spatialspec.targets.icons import IconsTarget
from spatialspec.training.checkpoint import tune_threads
from spatialspec.training.draft import Corpus


def self_distil(
    target: IconsTarget,
    prompts: Sequence[str],
    out: Path,
    batch: int = 48,
    seed: int = 0,
    report: Callable[[str], None] = print,
) -> Corpus:
    """Draw one picture per prompt with the target's default sampling; finished shards are read, not made again.

    Args:
        target: the target.
        prompts: what to draw.
        out: folder of shards.
        batch: pictures drawn at once, one shard.
        seed: of picture 0.
        report: called after every shard.
    """
    tune_threads()
    out.mkdir(parents=True, exist_ok=True)
    codes = []
    for start in range(0, len(prompts), batch):
        chosen = list(prompts[start : start + batch])
        path = out / f"{target.fingerprint}-{seed}-{start:06d}-{len(chosen)}.safetensors"
        if path.exists():
            with open(path.with_suffix(".json")) as file:
                made = json.load(file)
            if made != chosen:
                raise ValueError(f"{path}: got a shard of other prompts, expected these: use another folder")
        else:
            seeds = range(seed + start, seed + start + len(chosen))
            drawn, _ = generate(target, [], Method("ar"), Request(chosen, seeds, target.default, target.grid))
            write_text(path.with_suffix(".json"), json.dumps(chosen))
            partial = path.with_suffix(".partial")
            save_file({"tokens": torch.tensor(drawn, dtype=torch.int16)}, partial)
            os.replace(partial, path)
        codes.append(load_file(path)["tokens"])
        report(f"{min(start + batch, len(prompts))}/{len(prompts)} pictures")
    return Corpus(list(prompts), torch.cat(codes))
