"""From LlamaGen's published files to a folder: names, shapes, sizes, and everything that can be wrong with a file."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from helpers.llamagen_tiny import (
    CLASSES,
    HEADS,
    PATCH,
    SIDE,
    reference_picture,
    tiny_folder,
    transformer_tensors,
    vq_tensors,
    write_files,
)
from helpers.paths import ROOT
from spatialspec.core.grid import Grid
from spatialspec.targets.llamagen.convert import HEADS as PUBLISHED_HEADS
from spatialspec.targets.llamagen.convert import convert, infer, infer_vq
from spatialspec.targets.llamagen.target import LlamaGenTarget
from spatialspec.targets.llamagen.transformer import LlamaGenTransformer
from spatialspec.targets.llamagen.vq import LlamaGenVQ

# gpt.py of LlamaGen: layers, heads, width; millions of parameters as its README rounds them
MODELS = {
    "B": (12, 12, 768, 111),
    "L": (24, 16, 1024, 343),
    "XL": (36, 20, 1280, 775),
    "XXL": (48, 24, 1536, 1411),
    "3B": (24, 32, 3200, 3097),
}
KINDS = ("class", "text")


def published(title: str) -> dict[str, tuple[int, ...]]:
    """One section of the table of published names and shapes."""
    text = (ROOT / "tests" / "published" / "llamagen_keys.txt").read_text()
    lines = text.split(f"[{title}]\n")[1].split("[")[0].split("\n")
    pairs = (line.split() for line in lines if line)
    return {name: tuple(int(n) for n in shape.split("x")) for name, shape in pairs}


def empty(shapes: dict[str, tuple[int, ...]]) -> dict[str, Tensor]:
    return {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}


@pytest.mark.parametrize("title", ["c2i GPT-B", "c2i GPT-3B", "t2i GPT-XL"])
def test_names_and_shapes_are_the_published_ones(title):
    table = published(title)
    layers, heads, width, _ = MODELS[title.rpartition("-")[2]]
    for i in range(1, layers):
        table |= {n.replace("layers.0.", f"layers.{i}."): s for n, s in table.items() if n.startswith("layers.0.")}
    sizes = infer(empty(table), Path("x.pt"), Grid(24, 24), None)
    assert (sizes.layers, sizes.heads, sizes.width) == (layers, heads, width)
    assert (sizes.kind, sizes.prefix) == (("class", 1) if "c2i" in title else ("text", 120))
    with torch.device("meta"):
        model = LlamaGenTransformer(sizes)
    assert {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()} == table


@pytest.mark.parametrize("name", MODELS)
def test_parameters_count_as_the_published_ones(name):
    layers, heads, width, millions = MODELS[name]
    assert PUBLISHED_HEADS[width] == heads
    inner = -(-(8 * width // 3) // 256) * 256  # SwiGLU, a multiple of 256
    shapes = {"tok_embeddings.weight": (16384, width), "layers.0.feed_forward.w1.weight": (inner, width)}
    shapes |= {f"layers.{layers - 1}.norm": (1,), "cls_embedding.embedding_table.weight": (1001, width)}
    with torch.device("meta"):
        model = LlamaGenTransformer(infer(empty(shapes), Path("x.pt"), Grid(24, 24), None))
    assert round(sum(p.numel() for p in model.parameters()) / 1e6) == millions


@pytest.mark.parametrize(("title", "patch"), [("VQ-16", 16), ("VQ-8", 8)])
def test_the_picture_decoder_has_the_published_names_and_shapes(title, patch):
    table = published(title)
    with torch.device("meta"):
        vq = LlamaGenVQ(infer_vq(empty(table), Path("vq.pt")))
    del table["quantize.codebook_used"]
    assert {name: tuple(tensor.shape) for name, tensor in vq.state_dict().items()} == table
    assert vq.config.patch == patch and vq.config.codes == 16384


def test_pixels_are_those_of_a_plain_decoder(tmp_path):
    target = LlamaGenTarget.from_folder(tiny_folder(tmp_path, "class"), dtype=torch.bfloat16)
    codes = torch.arange(18).view(1, 3, 6)
    got, want = target.vq.decode(codes), reference_picture(vq_tensors(), codes[0])
    assert got.shape == (1, 3, 3 * PATCH, 6 * PATCH) and got.dtype == torch.float32
    assert want.abs().max() > 1, "nothing to clamp"
    torch.testing.assert_close(got[0], want.clamp(-1, 1), atol=1e-5, rtol=0)
    picture = target.pixels(codes.flatten().tolist(), Grid(3, 6))
    assert picture.size == (12, 6) and picture.mode == "RGB"
    pixel = torch.tensor(picture.getpixel((5, 2)))
    assert (pixel - (want[:, 2, 5].clamp(-1, 1) + 1) * 127.5).abs().max() <= 0.51
    torch.testing.assert_close(target.codebook.norm(dim=1), torch.ones(64))


@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_holds_the_very_tensors_and_sizes(tmp_path, kind):
    source, vq = write_files(tmp_path / "in", kind)
    line = convert(source, tmp_path / "out" / "model", vq=vq, heads=HEADS)
    assert f"{kind}-conditional" in line and "6x6" in line
    folder = tmp_path / "out" / "model"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["model"]
    assert sorted(p.name for p in folder.iterdir()) == ["config.json", "transformer.safetensors", "vq.safetensors"]
    got, want = load_file(folder / "transformer.safetensors"), transformer_tensors(kind)
    assert got.keys() == want.keys() and all(torch.equal(got[name], want[name]) for name in want)
    config = json.loads((folder / "config.json").read_text())
    assert config["model_type"] == "llamagen" and config["sizes"]["kind"] == kind
    assert (config["sizes"]["rows"], config["sizes"]["columns"], config["sizes"]["heads"]) == (SIDE, SIDE, HEADS)
    assert config["source"] == {"transformer": f"{kind}_tiny_12.pt", "vq": "vq_ds2.pt"}


def test_every_way_of_packing_tensors_is_read(tmp_path):
    source, vq = write_files(tmp_path, "class")
    right, wrong = transformer_tensors("class", 1), transformer_tensors("class", 2)
    packings = {
        "model over ema": {"ema": wrong, "model": right},
        "deepspeed": {"module": right},
        "lightning": {"state_dict": right},
        "average alone": {"ema": right},
        "fsdp": right,
    }
    for number, packed in enumerate(packings.values()):
        torch.save(packed, source, _use_new_zipfile_serialization=number % 2 == 0)
        convert(source, tmp_path / f"m{number}", vq=vq, heads=HEADS)
        got = load_file(tmp_path / f"m{number}" / "transformer.safetensors")
        assert torch.equal(got["output.weight"], right["output.weight"])
    save_file(right, tmp_path / "plain_12.safetensors")
    torch.save({"model": vq_tensors(2), "ema": vq_tensors(1)}, vq)
    convert(tmp_path / "plain_12.safetensors", tmp_path / "last", vq=vq, heads=HEADS)
    got = load_file(tmp_path / "last" / "vq.safetensors")
    assert torch.equal(got["post_quant_conv.weight"], vq_tensors(1)["post_quant_conv.weight"])


@pytest.mark.parametrize("part", ["transformer", "vq"])
@pytest.mark.parametrize("fault", ["missing", "surplus", "shape"])
def test_a_wrong_tensor_is_named(tmp_path, part, fault):
    source, vq = write_files(tmp_path, "class")
    path, tensors, name = {
        "transformer": (source, transformer_tensors("class"), "layers.1.attention.wo.weight"),
        "vq": (vq, vq_tensors(), "decoder.mid.1.proj_out.weight"),
    }[part]
    if fault == "missing":
        del tensors[name]
    elif fault == "surplus":
        tensors[name := name + "_extra"] = torch.zeros(3)
    else:
        tensors[name] = torch.zeros(5, 4)
    torch.save({"model": tensors}, path)
    with pytest.raises(ValueError, match=name.replace(".", r"\.")) as error:
        convert(source, tmp_path / "model", vq=vq, heads=HEADS)
    assert path.name in str(error.value) and (fault in str(error.value) or "got (5, 4)" in str(error.value))
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([source.name, vq.name]), "something was left behind"


class Runs:
    """What it writes shows that its pickle was run."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.write_text, (self.path, "ran")


@pytest.mark.parametrize("how", ["zip", "legacy", "bare"])
def test_a_pickle_with_code_is_refused(tmp_path, how):
    source, vq = write_files(tmp_path, "class")
    trap = {"model": transformer_tensors("class"), "args": Runs(tmp_path / "ran")}
    if how == "bare":
        source.write_bytes(pickle.dumps(trap["args"], protocol=2))
    else:
        torch.save(trap, source, _use_new_zipfile_serialization=how == "zip")
    with pytest.raises(ValueError, match=r"got a file with other objects or code .*, expected tensors only"):
        convert(source, tmp_path / "model", vq=vq, heads=HEADS)
    assert not (tmp_path / "ran").exists() and not (tmp_path / "model").exists()


def test_files_that_are_no_checkpoint_are_refused(tmp_path):
    source, vq = write_files(tmp_path, "class")
    whole = source.read_bytes()
    cases = {"got a damaged file": whole[: len(whole) // 2], "got no tensors": None, "expected": b"hello"}
    for message, content in cases.items():
        if content is None:
            torch.save({"model": {"epoch": 3}}, source)
        else:
            source.write_bytes(content)
        with pytest.raises(ValueError, match=message):
            convert(source, tmp_path / "model", vq=vq, heads=HEADS)
    with pytest.raises(ValueError, match=r"got no file .*nowhere\.pt"):
        convert(tmp_path / "nowhere.pt", tmp_path / "model", vq=vq, heads=HEADS)
    assert not (tmp_path / "model").exists()


def test_sizes_that_no_tensor_tells_are_asked_for(tmp_path):
    source, vq = write_files(tmp_path, "class")
    out = tmp_path / "model"
    with pytest.raises(ValueError, match="expected --vq FILE"):
        convert(source, out)
    with pytest.raises(ValueError, match="got width 32, expected --heads"):
        convert(source, out, vq=vq)
    with pytest.raises(ValueError, match="got 3 heads for width 32"):
        convert(source, out, vq=vq, heads=3)
    plain = source.rename(tmp_path / "consolidated.pth")
    with pytest.raises(ValueError, match="has no image size, expected --size"):
        convert(plain, out, vq=vq, heads=HEADS)
    convert(plain, out, vq=vq, heads=HEADS, size=Grid(4, 5))
    target = LlamaGenTarget.from_folder(out)
    assert target.grid == Grid(4, 5) and target.model.config.classes == CLASSES
    with pytest.raises(ValueError, match="which exists, expected a new folder"):
        convert(plain, out, vq=vq, heads=HEADS, size=Grid(4, 5))
