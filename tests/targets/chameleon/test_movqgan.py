"""MoVQGAN's decoder: the published names and sizes, and the converter for the published file.

What its authors' code draws is compared in `test_published_fixtures.py`.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from helpers.paths import ROOT
from helpers.tiny import call_main
from helpers.tiny_lumina2 import original_movq, random_movq, tiny_lumina2
from spatialspec.core.errors import BadInput
from spatialspec.io.tensors import build, check_shapes, shapes_of
from spatialspec.targets.loading import load_target
from spatialspec.targets.movqgan import MoVQ, load_movq, movq_sizes
from spatialspec.targets.originals.emu3 import renamed
from spatialspec.targets.originals.movqgan import convert


def test_names_and_sizes_are_those_of_the_published_file() -> None:
    lines = (ROOT / "tests" / "published" / "movqgan_270m.txt").read_text().splitlines()
    pairs = [line.split(" ") for line in lines if not line.startswith("#")]
    published = {name: torch.empty([int(n) for n in shape.split(",")], device="meta") for name, shape in pairs}
    shapes = shapes_of(renamed(published))
    sizes = movq_sizes(shapes, Path("movqgan_270M.ckpt"))
    vq = build(lambda: MoVQ(sizes), "published")
    check_shapes(shapes_of(vq.state_dict()), shapes, "published")
    assert (vq.patch, *vq.codebook.shape) == (8, 16384, 4)
    assert sizes.channel_multiplier == [256, 512, 512, 1024] and sizes.attn_resolutions == [3]


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of the published file the decoder is taken; encoder, averages and losses are left."""
    folder, vq = tiny_lumina2(tmp_path / "model"), random_movq()
    (folder / "vq.safetensors").unlink()
    with pytest.raises(BadInput, match=r"no image decoder.*spatialspec convert movqgan_270M\.ckpt"):
        load_target(folder)
    others = {name: torch.ones(2) for name in ("encoder.conv_in.bias", "ema_decoder.decay", "quant_conv.bias")}
    torch.save(original_movq(vq) | others, tmp_path / "movqgan_270M.ckpt")
    capsys.readouterr()
    code, out, err = call_main(capsys, "convert", tmp_path / "movqgan_270M.ckpt", folder)
    assert (code, err) == (0, "") and "image decoder of Lumina-mGPT 2.0" in out
    made = load_file(folder / "vq.safetensors")
    assert made.keys() == vq.state_dict().keys()
    assert all(torch.equal(made[name], tensor) for name, tensor in vq.state_dict().items())
    load_target(folder)
    code, _, err = call_main(capsys, "convert", tmp_path / "movqgan_270M.ckpt", tmp_path / "nowhere")
    assert code == 2 and "expected the folder of a Lumina-mGPT 2.0" in err


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("decoder.conv_out.bias", None, r"decoder\.conv_out\.bias: got no such tensor"),
        ("decoder.mid.attn_1.q.weight", torch.zeros(8, 8, 1, 1), r"attn_1\.q_proj\.weight: got \(8, 8\)"),
        ("decoder.norm_out.conv_b.bias", torch.full((32,), float("nan")), "got numbers that are not finite"),
        ("decoder.up.1.block.0.conv2.weight", None, "got other tensors"),
        ("post_quant_conv.weight", torch.zeros(3), "got other tensors|expected"),
    ],
)
def test_what_is_no_such_decoder(name: str, change: torch.Tensor | None, said: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    tensors = original_movq(random_movq()) | ({} if change is None else {name: change})
    torch.save({key: t for key, t in tensors.items() if change is not None or key != name}, tmp_path / "x.ckpt")
    with pytest.raises(BadInput, match=said):
        convert(tmp_path / "x.ckpt", tmp_path)
    assert not (tmp_path / "vq.safetensors").exists()


def test_a_file_beside_the_model_is_checked(tmp_path: Path) -> None:
    save_file({"decoder.conv_in.weight": torch.zeros(1)}, tmp_path / "vq.safetensors")
    with pytest.raises(BadInput, match=r"got other tensors.*expected MoVQGAN's image decoder"):
        load_movq(tmp_path / "vq.safetensors")
