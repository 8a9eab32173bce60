"""Chameleon's picture decoder: published names and sizes, the blocks of transformers' encoder, codes there and back."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import ChameleonVQVAE, ChameleonVQVAEConfig

from helpers.paths import ROOT
from helpers.tiny_chameleon import CODES, edit, random_vq, vq_config, write_anole, write_lumina
from spatialspec.targets.chameleon.files import convert, load_reader, load_vq
from spatialspec.targets.chameleon.vq import ChameleonVQ

TABLE = ROOT / "tests" / "published" / "chameleon_vqgan.txt"
NO_ATTENTION = ChameleonVQVAEConfig()  # as published


def test_names_and_shapes_are_those_of_the_published_weights():
    published = dict(line.split() for line in TABLE.read_text().splitlines() if not line.startswith("#"))
    with torch.device("meta"):
        vq = ChameleonVQ(NO_ATTENTION)
    ours = {name: "x".join(map(str, tensor.shape)) for name, tensor in vq.state_dict().items()}
    assert len(published) == 167
    assert ours == published
    assert vq.patch == 16


def test_every_level_doubles_the_resolution():
    seen: list[tuple[int, ...]] = []
    with torch.device("meta"):
        vq = ChameleonVQ(NO_ATTENTION)
        for level in vq.decoder.up:
            level.register_forward_hook(lambda module, inputs, output: seen.append(tuple(output.shape[1:])))
        pixels = vq.decode(torch.zeros(2, 32, 48, dtype=torch.long))
    assert seen == [(512, 64, 96), (256, 128, 192), (256, 256, 384), (128, 512, 768), (128, 512, 768)]
    assert pixels.shape == (2, 3, 512, 768)


@pytest.mark.parametrize("grid", [(6, 6), (3, 5)], ids=str)
def test_pixels_are_in_range_and_repeat(grid: tuple[int, int]):
    vq = random_vq()
    vq.decoder.conv_out.weight.mul_(50)
    codes = torch.randint(CODES, (2, *grid), generator=torch.Generator().manual_seed(0))
    pixels = vq.decode(codes)
    assert pixels.shape == (2, 3, 4 * grid[0], 4 * grid[1])
    assert pixels.dtype == torch.float32
    assert (pixels.min(), pixels.max()) == (-1, 1), "clamped: the weights go beyond"
    assert torch.equal(pixels, vq.decode(codes))
    assert torch.allclose(pixels[1:], vq.decode(codes[1:]), atol=1e-3), "each picture on its own"


def test_blocks_are_those_of_the_encoder_of_transformers():
    vq, config = random_vq(), vq_config()
    encoder = ChameleonVQVAE(config).encoder.eval()
    encoder.mid.load_state_dict(vq.decoder.mid.state_dict())  # the same blocks under the same names
    x = torch.randn(2, 32, 5, 3, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        theirs = encoder.mid.block_2(encoder.mid.attn_1(encoder.mid.block_1(x.clone())))
    assert torch.allclose(vq.decoder.mid(x), theirs, atol=1e-5)


def test_attention_sits_where_the_configuration_wants_it():
    vq = ChameleonVQ(vq_config(attn_resolutions=[12]))
    assert [len(level.attn) for level in vq.decoder.up] == [0, 3, 0]
    assert not hasattr(ChameleonVQ(vq_config(attn_type="none")).decoder.mid.attn_1, "q")


def plain(module: nn.Module) -> None:
    """Make every block pass its input on: branches zero, convolutions of one tap that copy their channels."""
    for name, weight in module.named_parameters():
        weight.requires_grad_(False).zero_()
        if "norm_out" in name:
            weight.fill_(0.5 if name.endswith("weight") else 4.0)  # SiLU rises there
    for name, conv in module.named_modules():
        if isinstance(conv, nn.Conv2d) and not any(part in name for part in ("conv1", "conv2", "proj_out")):
            tap = 0 if conv.stride == (2, 2) else conv.kernel_size[0] // 2  # a step down takes the upper left pixel
            for channel in range(min(conv.in_channels, conv.out_channels, 3)):
                conv.weight[channel, channel, tap, tap] = 1.0
                conv.bias[channel] = -nn.functional.silu(torch.tensor(4.0)) if "conv_out" in name else 0.0


def test_codes_survive_decoder_and_encoder():
    """Three bits of a code travel as signs in three channels, which all the norms on the way keep."""
    config = vq_config(embed_dim=3, num_embeddings=8, latent_channels=3, channel_multiplier=[1, 1, 1])
    vq, reader = ChameleonVQ(config), ChameleonVQVAE(config).eval()
    plain(vq)
    plain(reader)
    bits = torch.tensor([[1.0 if code >> i & 1 else -1.0 for i in range(3)] for code in range(8)])
    vq.quantize["embedding"].weight.copy_(bits)
    reader.quantize.embedding.weight.copy_(bits)
    codes = torch.randint(8, (2, 5, 7), generator=torch.Generator().manual_seed(0))
    pixels = vq.decode(codes)
    assert pixels.std() > 0.1
    assert torch.equal(reader.encode(pixels).image_tokens.view(2, 5, 7), codes)


def write_ckpt(path: Path, **more: object) -> None:
    """A file as Meta published it: a dictionary of everything, the encoder and the discriminator too."""
    other = ChameleonVQVAE(vq_config()).state_dict() | {"loss.logvar": torch.zeros(1)}
    torch.save({"state_dict": other | random_vq(seed=1).state_dict() | more, "epoch": 3}, path)


def test_convert_takes_what_drawing_needs(tmp_path: Path):
    folder = write_lumina(tmp_path / "lumina")
    write_ckpt(tmp_path / "vqgan.ckpt")
    convert(tmp_path / "vqgan.ckpt", folder)
    wanted = random_vq(seed=1).state_dict()
    assert load_file(folder / "vq.safetensors").keys() == wanted.keys()
    loaded = load_vq(folder).state_dict()
    assert all(torch.equal(loaded[name], wanted[name]) for name in wanted)
    reader, published = load_reader(folder, torch.device("cpu")).state_dict(), torch.load(tmp_path / "vqgan.ckpt")
    assert {name.partition(".")[0] for name in reader} == {"encoder", "quant_conv", "quantize", "post_quant_conv"}
    assert all(torch.equal(reader[name], published["state_dict"][name]) for name in reader)
    assert not list(folder.glob("*.partial"))


class Thing:
    """An object that a pickle may hold."""


def test_convert_refuses_what_is_no_picture_decoder(tmp_path: Path):
    folder, source = write_lumina(tmp_path / "lumina"), tmp_path / "vqgan.ckpt"
    before = (folder / "vq.safetensors").read_bytes()
    torch.save({"state_dict": random_vq().state_dict(), "callbacks": Thing()}, source)
    with pytest.raises(ValueError, match="other objects or code in its pickle, expected tensors only"):
        convert(source, folder)
    write_ckpt(source, **{"decoder.conv_out.bias": torch.zeros(4)})
    with pytest.raises(ValueError, match=r"decoder\.conv_out\.bias: got \(4,\), expected \(3,\)"):
        convert(source, folder)
    source.write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"vqgan\.ckpt: got .*, expected a checkpoint of tensors"):
        convert(source, folder)
    with pytest.raises(ValueError, match="got no file"):
        convert(tmp_path / "absent.ckpt", folder)
    with pytest.raises(ValueError, match=r"config\.json"):
        convert(source, tmp_path)
    assert (folder / "vq.safetensors").read_bytes() == before


def test_a_file_that_misses_or_adds_a_tensor_names_it(tmp_path: Path):
    folder = write_lumina(tmp_path / "lumina")
    edit(folder / "vq.safetensors", drop="decoder.mid.attn_1.q.weight")
    with pytest.raises(ValueError, match=r"decoder\.mid\.attn_1\.q\.weight: got no such tensor"):
        load_vq(folder)
    save_file(random_vq().state_dict() | {"decoder.up.9.x": torch.zeros(1)}, folder / "vq.safetensors")
    with pytest.raises(ValueError, match=r"decoder\.up\.9\.x"):
        load_vq(folder)
    (folder / "vq.safetensors").unlink()
    with pytest.raises(ValueError, match=r"got no image decoder, expected vq\.safetensors"):
        load_vq(folder)


def test_shards_that_miss_or_add_a_tensor_of_the_decoder_name_it(tmp_path: Path):
    folder = write_anole(tmp_path / "anole")
    assert torch.equal(load_vq(folder).codebook, random_vq().codebook)
    (shard,) = (
        path for path in folder.glob("*.safetensors") if "model.vqmodel.decoder.conv_out.bias" in load_file(path)
    )
    edit(shard, drop="model.vqmodel.decoder.conv_out.bias")
    with pytest.raises(ValueError, match=r"decoder\.conv_out\.bias: got no such tensor, expected \(3,\)"):
        load_vq(folder)
    added = {"model.vqmodel.decoder.conv_out.bias": torch.zeros(3), "model.vqmodel.decoder.extra": torch.zeros(1)}
    edit(shard, add=added)
    with pytest.raises(ValueError, match=r"decoder\.extra: got \(1,\), expected no such tensor"):
        load_vq(folder)
    shard.unlink()
    with pytest.raises(ValueError, match="got no file"):
        load_vq(folder)
