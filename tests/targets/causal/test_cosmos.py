"""Cosmos' decoder: what NVIDIA's own code draws, from a TorchScript file whose code is never run.

`cosmos.png` and the names in `cosmos_decoder.txt` are by github.com/NVIDIA/Cosmos-Tokenizer, see published/README.md.
"""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from helpers.paths import ROOT
from helpers.published_models import numbers
from helpers.tiny import call_main
from helpers.tiny_causal import tiny_simplear
from spatialspec.core.errors import BadInput
from spatialspec.core.grid import Grid
from spatialspec.targets.cosmos import LEVELS, load_cosmos, vectors
from spatialspec.targets.images import decode_image
from spatialspec.targets.originals import cosmos
from spatialspec.targets.originals.cosmos import convert
from spatialspec.targets.scripted import read_script

PUBLISHED = ROOT / "tests" / "published"
CODES = [0, 63999, 12345, 7, 40000, 31]


class Nested(nn.Module):
    """Tensors under nested names, as modules have them, in a module that does nothing."""

    def __init__(self, tensors: dict[str, Tensor]) -> None:
        super().__init__()
        below: dict[str, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            first, _, rest = name.partition(".")
            if rest:
                below.setdefault(first, {})[rest] = tensor
            else:
                self.register_buffer(first, tensor)
        for first, inner in below.items():
            self.add_module(first, Nested(inner))

    def forward(self, x: Tensor) -> Tensor:
        return x


def published() -> dict[str, Tensor]:
    lines = (PUBLISHED / "cosmos_decoder.txt").read_text().splitlines()
    shapes = dict(line.split(" ") for line in lines if not line.startswith("#"))
    return {name: numbers(name, [int(n) for n in shape.split(",")]) for name, shape in shapes.items()}


def write(path: Path, tensors: dict[str, Tensor]) -> Path:
    torch.jit.trace(Nested(tensors), torch.zeros(1)).save(str(path))
    return path


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("cosmos") / "decoder.jit", published())


def test_tensors_of_an_archive(tmp_path: Path) -> None:
    tensors = {
        "a.b.c": torch.randn(2, 3),
        "a.d": torch.randn(4, 5).T,
        "a.e": torch.arange(3),
        "f": torch.ones(2).half(),
    }
    path = write(tmp_path / "x.jit", {**tensors, "view.g": tensors["a.b.c"][1]})
    found = read_script(path, None)
    assert {name: t.tolist() for name, t in found.items()} == {
        name: t.tolist() for name, t in torch.jit.load(path).state_dict().items()
    }
    assert found["f"].dtype == torch.float16 and all(t.is_meta for t in read_script(path, "meta").values())


def test_an_image_of_nvidias_code(decoder: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    convert(decoder, tmp_path)
    vq = load_cosmos(tmp_path, 64_000)
    assert vq is not None and vq.patch == 16
    ours = np.asarray(decode_image(Decoding(vq), CODES, Grid(2, 3))).astype(int)
    theirs = np.asarray(Image.open(PUBLISHED / "figures" / "cosmos.png")).astype(int)
    assert ours.shape == theirs.shape == (32, 48, 3) and theirs.std() > 50
    assert np.abs(ours - theirs).max() <= 1


class Decoding:
    """A decoder beside its codebook, as `decode_image` wants it."""

    def __init__(self, vq: nn.Module) -> None:
        self.decode, self.codebook = vq.decode, torch.zeros(1)


def test_codes_are_vectors_of_fsq() -> None:
    """Every code has its own; digits from the lowest, in steps around 0 (the first and last, and one by hand)."""
    assert max(LEVELS) == 64_000 == len(vectors(torch.arange(64_000), 64_000).unique(dim=0))
    found = vectors(torch.tensor([0, 63_999, 8 * 3 + 5]), 64_000).tolist()
    assert found[0] == [-1.0] * 6 and found[1] == [0.75] * 3 + [1.0] * 3
    assert found[2] == [0.25, -0.25, -1.0, -1.0, -1.0, -1.0]


def test_the_command(decoder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The decoder of another model is refused when the folder is loaded, not when it draws."""
    folder = tiny_simplear(tmp_path / "model", decoder=False)
    capsys.readouterr()
    code, out, err = call_main(capsys, "convert", decoder, folder)
    assert (code, err) == (0, "") and "image decoder of SimpleAR" in out
    with pytest.raises(BadInput, match="got codes of 6 dimensions, expected 3, for 240 codes"):
        load_cosmos(folder, 240)
    code, _, err = call_main(capsys, "convert", decoder, tmp_path / "nowhere")
    assert code == 2 and "expected the folder of a SimpleAR" in err


def test_what_is_no_decoder(decoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.json").write_text("{}")
    tensors = published()
    for name, change, said in (
        ("decoder.mid.block_1.conv1.1.conv3d.weight", None, "mid.block_1.conv1.1.weight"),
        ("decoder.up.1.block.0.conv1.0.conv3d.weight", torch.zeros(1, 1, 1, 3, 3), "up.1.block.0.conv1.0.weight"),
        ("decoder.norm_out.norm.bias", torch.full((16,), float("nan")), "norm_out.bias: got numbers that are not"),
        ("decoder.up.2.block.0.norm2.norm.weight", None, "got other tensors"),
    ):
        changed = {key: tensor for key, tensor in tensors.items() if key != name} | (
            {} if change is None else {name: change}
        )
        monkeypatch.setattr(cosmos, "read", lambda *_, made=changed: made)
        with pytest.raises(BadInput, match=said):
            convert(decoder, tmp_path)
        assert not (tmp_path / "vq.safetensors").exists()


class Evil:
    """Runs when it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (exec, ("import pathlib; pathlib.Path('marker').write_text('run')",))


def test_nothing_in_an_archive_runs(decoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("config.json").write_text("{}")
    for data in (pickle.dumps(Evil()), pickle.dumps(nn.Linear), b"\x80\x02.", pickle.dumps([1])):
        with zipfile.ZipFile(decoder) as good, zipfile.ZipFile("bad.jit", "w") as bad:
            for entry in good.infolist():
                content = data if entry.filename.endswith("/data.pkl") else good.read(entry)
                bad.writestr(entry.filename, content)
        with pytest.raises(BadInput):
            convert(Path("bad.jit"), tmp_path)
    assert not Path("marker").exists() and not Path("vq.safetensors").exists()
