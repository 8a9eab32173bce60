"""A whole model folder in a second: random weights, 64 codes, a 6 x 6 grid, drafts beside it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import nn

from spatialspec.core.sampling import Sampling
from spatialspec.drafts import weights
from spatialspec.io.prompts import BUILT_IN
from spatialspec.methods.hawk import HawkConfig, HawkHeads
from spatialspec.methods.predictors import SSDConfig, SSDPredictors
from spatialspec.pipeline import SpatialPipeline
from spatialspec.targets.icons.target import IconsTarget
from spatialspec.targets.icons.text import PromptTokenizer, train_bpe
from spatialspec.targets.icons.transformer import GridTransformer, GridTransformerConfig
from spatialspec.targets.icons.vq import VQConfig, VQTokenizer

WORDS = ["red apple, 3d", "blue heart, flat", "a cat", "yellow star, noto", "green tree"]
CODES = 64


def tiny_target(seed: int = 0, name: str = "tiny") -> IconsTarget:
    """A target whose blocks and output layer are random, so that every token matters and p is far from flat."""
    torch.manual_seed(seed)
    prompts = PromptTokenizer(train_bpe([*WORDS, *BUILT_IN], 300), 24)
    config = GridTransformerConfig(
        codes=CODES,
        width=32,
        layers=2,
        heads=2,
        mlp_width=64,
        rows=6,
        columns=6,
        prefix=24,
        text_vocabulary=prompts.tokenizer.get_vocab_size(),
        text_layers=1,
        sketch_width=24,
        sketch_layers=1,
    )
    model = GridTransformer(config)
    for block in model.blocks:
        nn.init.normal_(block.attention.out.weight, std=0.3)
        nn.init.normal_(block.down.weight, std=0.3)
    nn.init.normal_(model.code_embedding.weight, std=0.5)
    nn.init.normal_(model.output.weight, std=0.35)
    nn.init.normal_(model.told_sketch.around.weight, std=0.3)
    vq = VQTokenizer(VQConfig(codes=CODES, width=16, encoder_blocks=1, decoder_blocks=1))
    return IconsTarget(name, model, vq, prompts, Sampling(guidance=1.5))


def tiny_folder(folder: Path, seed: int = 0) -> Path:
    """Write a tiny model and drafts for it into `folder`."""
    target = tiny_target(seed)
    target.save(folder)
    heads = HawkHeads(HawkConfig(target.width))
    nn.init.normal_(heads.horizontal, std=0.05)
    nn.init.normal_(heads.vertical, std=0.05)
    for name, drafts in (("hawk", heads), ("ssd", SSDPredictors(SSDConfig(target.width)))):
        weights.save(drafts, folder / "drafts" / name, target.fingerprint, target.name)
    return folder


def tiny_pipeline(folder: Path, seed: int = 0) -> SpatialPipeline:
    """Write a tiny model into `folder` and load it from there."""
    return SpatialPipeline.from_pretrained(tiny_folder(folder, seed))


def call_main(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """Run the command line in this process; returns exit code, stdout and stderr."""
    from spatialspec.cli import main

    with pytest.raises(SystemExit) as left:
        main([str(argument) for argument in arguments])
    printed = capsys.readouterr()
    return left.value.code, printed.out, printed.err


def write_pictures(folder: Path) -> None:
    """An ImageFolder with every split."""
    folder.mkdir()
    rows = ["file_name,text,tags,concept,style,split,licence"]
    for i, split in enumerate(["train", "train", "train", "concept", "pair"]):
        Image.new("RGB", (96, 96), (50 * i, 100, 200 - 40 * i)).save(folder / f"{i}.png")
        rows.append(f"{i}.png,thing {i},a|b,thing {i},3d,{split},MIT")
    (folder / "metadata.csv").write_text("\n".join(rows) + "\n")
