"""Seconds of a pass against its width (slots), on this machine: a table and a JSON file for `replay`.

`python benchmarks/pass_cost.py --model icons --device cuda --out pass-cost.json`. The model `chameleon-7b` has the size
of Chameleon (32 layers of width 4,096, but a tiny vocabulary) and random weights: the cost of a pass does not depend on
the weights.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import torch
from tokenizers import Tokenizer, models
from transformers import ChameleonConfig, ChameleonForConditionalGeneration, ChameleonVQVAEConfig

from spatialspec import SpatialPipeline
from spatialspec.io.files import write_text
from spatialspec.io.outputs import check_output
from spatialspec.lab.replay.replay import measure_cost
from spatialspec.targets.chameleon.target import ChameleonTarget
from spatialspec.targets.chameleon.vq import ChameleonVQ

SLOTS = (1, 2, 4, 8, 16, 32, 48, 64, 96, 128, 192, 256)
CODES, SIDE = 64, 24


def random_chameleon(device: str, dtype: torch.dtype, width: int, layers: int) -> ChameleonTarget:
    """A target of the published sizes on a 24 x 24 grid, for timing only."""
    image_tokens = ["IMGIMG" + "".join("ABCDEFGHIJ"[int(digit)] for digit in str(code)) + "Z" for code in range(CODES)]
    words = [
        "<s>",
        "<pad>",
        "</s>",
        "<unk>",
        *image_tokens,
        "<eoss>",
        "<racm3:break>",
        "<reserved08706>",
        "<reserved08707>",
    ]
    names = {name: i for i, name in enumerate([*words, *map(chr, range(32, 127))])}
    tokenizer = Tokenizer(models.BPE(vocab=names, merges=[], unk_token="<unk>"))
    tokenizer.add_special_tokens([name for name in words if name.startswith("<")])
    sizes = {"embed_dim": 8, "num_embeddings": CODES, "latent_channels": 16, "base_channels": 32}
    vq = ChameleonVQVAEConfig(**sizes, channel_multiplier=[1, 2, 1], resolution=4 * SIDE)
    config = ChameleonConfig(
        hidden_size=width,
        intermediate_size=width * 43 // 16,
        num_hidden_layers=layers,
        num_attention_heads=width // 128,
        num_key_value_heads=width // 128,
        vocab_size=len(names),
        vocabulary_map=names,
        vq_config=vq.to_dict(),
        bos_token_id=1,
        eos_token_id=2,
    )
    usual = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    with torch.device(device):
        model = ChameleonForConditionalGeneration(config).eval().requires_grad_(False)
    torch.set_default_dtype(usual)
    return ChameleonTarget(model, tokenizer, "random Chameleon", ChameleonVQ(vq).eval())


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="icons", help="name or folder, or chameleon-7b")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument("--width", type=int, default=4096, help="of chameleon-7b, a multiple of 128")
    parser.add_argument("--layers", type=int, default=32, help="of chameleon-7b")
    parser.add_argument("--turns", type=int, default=9)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args(arguments)
    check_output(options.out, "", "--out")
    dtype = getattr(torch, options.dtype)
    if options.model == "chameleon-7b":
        pipe = SpatialPipeline(random_chameleon(options.device, dtype, options.width, options.layers))
    else:
        pipe = SpatialPipeline.from_pretrained(options.model, device=options.device, torch_dtype=dtype)
    measure_cost(pipe, slots=(1, 16), repeats=2)  # warm-up
    curve = measure_cost(pipe, slots=SLOTS, repeats=options.turns).seconds
    machine = torch.cuda.get_device_name() if options.device.startswith("cuda") else "CPU"
    for slots, seconds in curve.items():
        print(f"{slots:4d} slots {1000 * seconds:8.2f} ms")
    record = {"model": options.model, "machine": machine, "dtype": options.dtype, "torch": torch.__version__}
    write_text(options.out, json.dumps(record | {"seconds": curve}, indent=1) + "\n")


if __name__ == "__main__":
    main()
