"""Weights are in memory once while they load, whatever the type and the number of files."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from spatialspec.targets.pretrained import load_model

SIZES = dict(vocab_size=64, hidden_size=512, intermediate_size=2048, num_hidden_layers=8, num_attention_heads=8)


def anonymous() -> int:
    """Bytes of this process that no file backs."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))


def peak(run: Callable[[], object]) -> int:
    """Most anonymous memory at any time of `run`, looked at every half millisecond, above that before it."""
    before, most, done = anonymous(), 0, threading.Event()

    def watch() -> None:
        nonlocal most
        while not done.wait(0.0005):
            most = max(most, anonymous())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        run()
    finally:
        done.set()
        watcher.join()
    return most - before


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_no_second_copy(tmp_path: Path) -> None:
    """136 MB in fp32, from shards in bfloat16; a whole second copy, even of the files, would be seen."""
    LlamaForCausalLM(LlamaConfig(**SIZES)).to(torch.bfloat16).save_pretrained(tmp_path, max_shard_size="10MB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 5
    kept: list[LlamaForCausalLM] = []
    most = peak(lambda: kept.append(load_model(LlamaForCausalLM, tmp_path)))
    weights = sum(weight.nbytes for weight in kept[0].parameters())
    assert all(weight.dtype == torch.float32 for weight in kept[0].parameters()) and weights > 1.3e8
    assert most < 1.25 * weights, f"{most / weights:.2f} times the weights"
