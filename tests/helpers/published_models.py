"""Small random models in the published layouts, the same wherever they are made: the authors' code drew with these.

A file in `published/figures/` has the small files of such a model (configurations, tokenizer, processor) and names and
shapes of its tensors. The numbers in them come from a counter, keyed by the tensor's name, through arithmetic that
rounds nowhere but in one product: no version of PyTorch or numpy changes them.
"""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from tokenizers import pre_tokenizers
from torch import Tensor

from helpers.paths import ROOT
from helpers.tiny_chameleon import write_tokenizer
from spatialspec.core.grid import Grid
from spatialspec.targets.llamagen.convert import convert

FIGURES = ROOT / "tests" / "published" / "figures"
SPREAD = {1: 0.2, 2: 1.5, 3: 0.7, 4: 0.7, 5: 2.0}  # by dimensions; of matrices and convolutions over sqrt(fan in)


def read_figures(kind: str) -> dict[str, Any]:
    """What is kept of one family."""
    table: dict[str, Any] = json.loads((FIGURES / f"{kind}.json").read_text(encoding="utf-8"))
    return table


def numbers(name: str, shape: list[int]) -> Tensor:
    """Random numbers of a tensor, in fp32: about 1 for scales of norms and variances, else about 0."""
    if name.endswith("num_batches_tracked"):
        return torch.tensor(0)
    key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:16], "little")
    words = np.random.Philox(key=key).random_raw(math.prod(shape)) >> np.uint64(40)
    x = words.astype(np.float32) * np.float32(2**-23) - np.float32(1)  # from -1 to 1, exact
    if name.endswith("running_var") or ("norm" in name and name.endswith("weight") and len(shape) < 4):
        made = np.float32(1) + np.float32(0.5) * x
    else:
        fan_in = math.prod(shape[1:])
        made = np.float32(SPREAD[len(shape)] * math.sqrt(3 / fan_in)) * x
    return torch.from_numpy(made.reshape(shape))


def tensors(tree: dict[str, Any], prefix: str = "") -> dict[str, Tensor]:
    """All tensors of a tree of names, whose leaves are shapes."""
    made = {}
    for name, below in tree.items():
        if isinstance(below, dict):
            made |= tensors(below, f"{prefix}{name}.")
        else:
            made[prefix + name] = numbers(prefix + name, below)
    return made


def chameleon_names(codes: int, shuffled: bool) -> dict[str, int]:
    """Name of every token -> id, in the published order; ids of image tokens in the order of their codes, or not."""
    order = [(5 * code + 3) % codes for code in range(codes)] if shuffled else list(range(codes))
    images = {4 + place: "".join("ABCDEFGHIJ"[int(digit)] for digit in str(code)) for code, place in enumerate(order)}
    names = ["<s>", "<pad>", "</s>", "<unk>", *(f"IMGIMG{images[4 + i]}Z" for i in range(codes))]
    names += ["<eoss>", "<racm3:break>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    first = len(names) - codes + 8188  # where there are 8192 codes, <reserved08706> is id 8710
    names += [f"<reserved{number:05d}>" for number in range(first, 8812)]
    return {name: i for i, name in enumerate(names)}


def write_model(folder: Path, made: dict[str, Any]) -> Path:
    """Write the model of a figures file into `folder`; returns the folder that is loaded."""
    folder.mkdir(parents=True, exist_ok=True)
    files = dict(made["files"])
    if "vocabulary" in made:
        names = chameleon_names(**made["vocabulary"])
        files["config.json"] = files["config.json"] | {"vocabulary_map": names}
        write_tokenizer(folder, names)
    for name, content in files.items():
        text = content if isinstance(content, str) else json.dumps(content)
        (folder / name).write_text(text, encoding="utf-8")
    for name, tree in made["tensors"].items():
        if name.endswith(".pt"):
            torch.save({"model": tensors(tree)}, folder / name)
        else:
            save_file(tensors(tree), folder / name, metadata={"format": "pt"})
    if "convert" not in made:
        return folder
    source, vq = (folder / name for name in made["tensors"])
    convert(source, folder / "model", vq, Grid(*made["convert"]["grid"]), made["convert"]["heads"])
    if "captions" in made:  # words -> shape of their features
        features = {words: numbers(words, shape) for words, shape in made["captions"].items()}
        save_file(features, folder / "model" / "captions.safetensors")
    return folder / "model"
