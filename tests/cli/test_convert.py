"""`spatialspec convert`: which converter, its options, and an image from what it has written."""

import json
from functools import partial

import pytest
import torch
from PIL import Image

from helpers.llamagen_tiny import HEADS, write_files
from helpers.tiny import call_main


@pytest.fixture
def call(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    return partial(call_main, capsys)


def test_from_published_files_to_a_picture(call, tmp_path):
    source, vq = write_files(tmp_path / "published", "class")
    code, out, err = call("convert", source, "model", "--vq", vq, "--heads", HEADS)
    assert (code, err) == (0, "") and "wrote model: LlamaGen, class-conditional" in out and "6x6" in out
    code, out, err = call(
        "generate", "golden retriever", "--model", "model", "--method", "jacobi", "--compare", "--out", "a.png"
    )
    assert (code, err) == (0, ""), err
    assert "100.0%" in out, "not AR's image"
    assert Image.open("a.png").width >= 2 * 12


def test_a_size_is_read_and_a_bad_prompt_is_one_line(call, tmp_path):
    source, vq = write_files(tmp_path / "published", "class")
    assert call("convert", source, "model", "--vq", vq, "--heads", HEADS, "--size", "4x5")[0] == 0
    assert json.loads((tmp_path / "model" / "config.json").read_text())["sizes"]["columns"] == 5
    code, out, err = call("generate", "golden retriver", "--model", "model", "--out", "a.png")
    assert (code, out) == (2, "") and "golden retriever" in err and err.count("\n") == 1
    assert not (tmp_path / "a.png").exists()


def test_bad_input_is_one_line_and_leaves_nothing(call, tmp_path):
    source, vq = write_files(tmp_path / "published", "class")
    for words, message in (
        (("nowhere.pt", "model", "--vq", vq), "got no file nowhere.pt"),
        ((source, "model"), "expected --vq FILE"),
        ((source, "model", "--vq", vq, "--size", "7"), "expected ROWSxCOLUMNS"),
        ((source, tmp_path / "published", "--vq", vq), "which exists"),
    ):
        code, out, err = call("convert", *words)
        assert (code, out) == (2, "") and message in err and err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["published"]


def test_a_vqgan_is_known_by_its_names(call, tmp_path):
    torch.save({"quantize.embedding.weight": torch.ones(2), "decoder.up.0.x": torch.ones(2)}, tmp_path / "vqgan.ckpt")
    code, _, err = call("convert", "vqgan.ckpt", "lumina", "--vq", "x.pt", "--heads", 2)
    assert code == 2 and "got --vq, --heads, expected no such option for a VQGAN such as Meta's vqgan.ckpt" in err
    code, _, err = call("convert", "vqgan.ckpt", "lumina")
    assert code == 2 and "got no config.json in lumina, expected the folder of a checkpoint such as Lumina-mGPT" in err
