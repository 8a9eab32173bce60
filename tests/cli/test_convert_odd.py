"""`spatialspec convert` of files that it was not made for: it says what they are, and believes no number in them."""

from __future__ import annotations

import collections
import io
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from helpers.llamagen_tiny import transformer_tensors, vq_tensors, write_files
from helpers.tiny import call_main
from spatialspec.models import WEIGHTS

NAME = "layers.1.attention.wo.weight"


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., str]:
    """Converts a file, expects to be refused in one line, and returns it."""
    monkeypatch.chdir(tmp_path)
    _, vq = write_files(tmp_path / "published", "class")

    def refused(source: object, *options: object, alone: bool = False) -> str:
        before = sorted(tmp_path.iterdir())
        usual = () if alone else ("--vq", vq, "--heads", 2)
        code, out, err = call_main(capsys, "convert", source, "out", *(options or usual))
        assert (code, out, err.count("\n")) == (2, "", 1) and "\x1b" not in err and sorted(tmp_path.iterdir()) == before
        return err

    return refused


def named(*names: str) -> dict[str, Tensor]:
    return {name: torch.zeros(2) for name in names}


FAMILIES = {
    "pytorch_model.bin": (named("language_model.model.x", "gen_vision_model.x"), "fetch all files of the folder"),
    "consolidated.pth": (
        named("tok_embeddings.weight", "layers.0.attention.wq.weight"),
        "fetch all files of the folder",
    ),
    "vqgan.ckpt": (named("quantize.embedding.weight", "decoder.up.0.x"), "spatialspec convert vqgan.ckpt FOLDER"),
    "vq_ds16_c2i.pt": (vq_tensors(), "give it with --vq, and the transformer"),
    "pytorch_model-1.bin": (named("model.layers.0.x"), "give its folder, with safetensors, as --model"),
    "odd.pt": (named("\x1b[2J"), r"tensors such as '\x1b[2J'"),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_each_family_has_advice_of_its_own(call: Callable[..., str], tmp_path: Path, name: str) -> None:
    tensors, advice = FAMILIES[name]
    torch.save({"state_dict": tensors}, tmp_path / name)
    assert advice in call(name, alone=True)


def test_weights_that_need_no_converting(call: Callable[..., str], tmp_path: Path) -> None:
    assert "give its folder as --model" in call(WEIGHTS / "icons" / "transformer.safetensors")
    save_file(named("model.language_model.x", "model.generation_head.x"), tmp_path / "model.safetensors")
    assert "Janus in the layout of transformers" in call("model.safetensors")


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "an empty file"), (b"hello", "other bytes"), (b"<", "a web page"), (b"PK\x03\x04", "of an archive"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git-lfs pointer"), (b"\x80\x02", "a damaged file"),
    ],
)  # fmt: skip
def test_bytes_that_are_no_checkpoint(call: Callable[..., str], tmp_path: Path, content: bytes, what: str) -> None:
    (tmp_path / "a.pt").write_bytes(content)
    assert what in call("a.pt")
    assert what in call("published/class_tiny_12.pt", "--vq", "a.pt", "--heads", 2)


ODD: dict[str, tuple[Callable[[], Any], str]] = {
    "int8": (lambda: torch.zeros(32, 32, dtype=torch.int8), "numbers of type int8"),
    "complex": (lambda: torch.zeros(32, 32, dtype=torch.complex64), "numbers of type complex64"),
    "not finite": (lambda: torch.full((32, 32), torch.nan), "not finite"),
    "meta": (lambda: torch.empty(32, 32, device="meta"), "got no numbers"),
    "sparse": (lambda: torch.eye(32).to_sparse(), "sparse"),
    "expanded": (lambda: torch.ones(1).expand(10**5, 10**5), "tensors of 40,0"),
    "a number": (lambda: 3, "1 missing tensors"),
}


@pytest.mark.parametrize("kind", ODD)
def test_odd_tensors_are_named(call: Callable[..., str], tmp_path: Path, kind: str) -> None:
    make, what = ODD[kind]
    torch.save({"model": transformer_tensors("class") | {NAME: make()}}, tmp_path / "a_12.pt")
    said = call("a_12.pt")
    assert what in said and (NAME in said or kind == "expanded")


@pytest.mark.parametrize("heads", [0, -1, 3, 7, 10**12])
def test_heads_that_do_not_divide(call: Callable[..., str], heads: int) -> None:
    assert "heads" in call("published/class_tiny_12.pt", "--vq", "published/vq_ds2.pt", "--heads", heads)


@pytest.mark.parametrize(
    ("size", "what"),
    [
        ("100000x100000", "got a grid with rows 100000, expected at least 1x1 and at most"),
        ("129x1", "got 129, expected a whole number from 1 to 128"),
        ("0x6", "got a grid with rows 0, expected at least 1x1 and at most"),
    ],
)
def test_sizes_that_nobody_draws(call: Callable[..., str], size: str, what: str) -> None:
    assert what in call("published/class_tiny_12.pt", "--vq", "published/vq_ds2.pt", "--heads", 2, "--size", size)


@pytest.mark.parametrize("out", ["file", "file/in", "a" * 256, "x/" + "b" * 300, ""])
def test_folders_that_cannot_be_made(capsys: Any, monkeypatch: Any, tmp_path: Path, out: str) -> None:
    monkeypatch.chdir(tmp_path)
    write_files(tmp_path / "published", "class")
    (tmp_path / "file").write_text("x")
    options = ("--vq", "published/vq_ds2.pt", "--heads", 2)
    code, _, err = call_main(capsys, "convert", "published/class_tiny_12.pt", out, *options)
    assert code == 2 and err.count("\n") == 1 and sorted(p.name for p in tmp_path.iterdir()) == ["file", "published"]


def test_nothing_is_left_where_writing_fails(call: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("spatialspec.targets.llamagen.convert.write_text", full)
    assert "No space left" in call("published/class_tiny_12.pt")


class Claim:
    """A tensor of other sizes than there are bytes."""

    def __init__(self, numbers: int, shape: tuple[int, ...]) -> None:
        self.numbers, self.shape = numbers, shape

    def __reduce__(self) -> tuple[Any, ...]:
        storage = ("storage", torch.FloatStorage, "0", "cpu", self.numbers)
        stride = (0,) * len(self.shape) if self.numbers == 1 else (1,) * len(self.shape)
        return torch._utils._rebuild_tensor_v2, (storage, 0, self.shape, stride, False, collections.OrderedDict())


class Bytes:
    """Ten thousand million bytes in a few."""

    def __reduce__(self) -> tuple[Any, ...]:
        return bytearray, (10**10,)


class Pickler(pickle.Pickler):
    """Writes storages as PyTorch does."""

    def persistent_id(self, value: object) -> object:
        return value if isinstance(value, tuple) and value[:1] == ("storage",) else None


@pytest.mark.parametrize("what", [Claim(10**11, (10**11,)), Claim(1, (10**6, 10**6)), Bytes()])
def test_sizes_in_a_pickle_are_not_believed(call: Callable[..., str], tmp_path: Path, what: object) -> None:
    held, names = io.BytesIO(), ("tok_embeddings.weight", "layers.0.attention.wqkv.weight", "cls_embedding.x")
    Pickler(held, 2).dump(dict.fromkeys(names, what))
    with zipfile.ZipFile(tmp_path / "a_12.pt", "w") as archive:
        archive.writestr("a/data.pkl", held.getvalue())
        archive.writestr("a/version", "3\n")
        archive.writestr("a/data/0", bytes(4))
    said = call("a_12.pt")
    assert "bytes in a file of" in said or "makes arrays of bytes" in said


def test_a_compressed_archive_is_refused(call: Callable[..., str], tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a_12.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", bytes(10**6))
    assert "got a compressed archive of 1,000,000 bytes" in call("a_12.pt")
