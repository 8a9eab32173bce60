"""The table of layouts in `docs/checkpoints.md`, row by row: each layout is made in small and given as users do."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from helpers.layout_rows import Call, converted, draws, refused
from helpers.llamagen_tiny import HEADS, write_files
from helpers.originals import original_chameleon, original_emu3, original_janus
from helpers.paths import ROOT
from helpers.tiny import call_main, tiny_folder
from helpers.tiny_causal import tiny_liquid, tiny_simplear
from helpers.tiny_chameleon import write_anole, write_lumina
from helpers.tiny_checkpoints import tiny_emu3, tiny_janus
from helpers.tiny_emu35 import original_emu35
from helpers.tiny_glm import tiny_glm, tiny_glm_parts
from helpers.tiny_lumina2 import original_movq, random_movq, tiny_lumina2
from helpers.tiny_tar import PROMPTS, write_tar
from spatialspec import BadInput, SpatialPipeline

PLAIN = ("a red apple", None)
LOADS, CONVERTS, AFTER, REFUSED = "loads", "converts", "loads after `convert", "refused"


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Call:
    monkeypatch.chdir(tmp_path)
    return partial(call_main, capsys)


def deepseek(call: Call) -> None:
    original_janus(Path("deepseek"), Path("twin"))
    refused("deepseek", "run `spatialspec convert deepseek OUT`")
    converted(call, *PLAIN, "deepseek")
    as_safetensors("deepseek")
    shutil.rmtree("made")
    converted(call, *PLAIN, "deepseek")


def as_safetensors(folder: str) -> None:
    tensors = torch.load(Path(folder, "pytorch_model.bin"))
    Path(folder, "pytorch_model.bin").unlink()
    save_file({name: t.contiguous() for name, t in tensors.items()}, Path(folder, "model.safetensors"))


def older_janus(call: Call) -> None:
    original_janus(Path("Janus-1.3B"), Path("twin"))
    assert "its authors draw with another template" in call("convert", "Janus-1.3B", "made")[2]
    template = Path("twin", "chat_template.jinja")
    template.write_text(template.read_text().replace("<|User|>", "User"))
    refused("twin", "Janus 1.3B is not understood")


def baai(call: Call) -> None:
    original_emu3(Path("Emu3-Gen"), Path("Emu3-VisionTokenizer"))
    Path("Emu3-Gen", "modeling_own.py").write_text("raise SystemExit(7)")
    refused("Emu3-Gen", "run `spatialspec convert Emu3-Gen OUT --vq BAAI/Emu3-VisionTokenizer`")
    converted(call, "a red apple", "3x5", "Emu3-Gen", "--vq", "Emu3-VisionTokenizer")


def baai35(call: Call) -> None:
    original_emu35(Path("Emu3.5-Image"), Path("vision"))
    refused("Emu3.5-Image", "run `spatialspec convert Emu3.5-Image OUT .*Emu3.5-VisionTokenizer/model.ckpt")
    converted(call, "a red apple", "3x5", "Emu3.5-Image", "--vq", "vision/model.ckpt")


def anole_without(call: Call) -> None:
    folder = write_anole(Path("Anole"))
    for path in sorted(folder.glob("*.safetensors")):
        kept = {name: t for name, t in load_file(path).items() if ".vqmodel.decoder." not in name}
        save_file(kept, path, metadata={"format": "pt"})
    index = folder / "model.safetensors.index.json"
    table = json.loads(index.read_text())
    table["weight_map"] = {name: file for name, file in table["weight_map"].items() if ".vqmodel.decoder." not in name}
    index.write_text(json.dumps(table))
    with_decoder(call, folder)


def with_decoder(call: Call, folder: Path) -> None:
    refused(folder, "spatialspec convert")
    original_chameleon(Path("Anole-7b-v0.1"))
    code, _, err = call("convert", "Anole-7b-v0.1/tokenizer/vqgan.ckpt", folder)
    assert code == 0, err
    draws(folder, size=None if folder.name == "Anole" else "4x6")


def meta(shards: int, call: Call) -> None:
    original_chameleon(Path("Anole-7b-v0.1"), shards)
    refused("Anole-7b-v0.1", "run `spatialspec convert Anole-7b-v0.1 OUT`")
    converted(call, *PLAIN, "Anole-7b-v0.1")


def anole_of_meta(call: Call) -> None:
    meta(1, call)
    shutil.rmtree("Anole-7b-v0.1")
    shutil.rmtree("made")
    meta(2, call)


def lumina(call: Call) -> None:
    folder = write_lumina(Path("Lumina-mGPT-7B-768"))
    (folder / "vq.safetensors").unlink()
    tokenizer = (folder / "tokenizer.json").read_text()
    (folder / "tokenizer.json").unlink()
    refused(folder, "fetch it, see docs/targets|spatialspec convert")
    (folder / "tokenizer.json").write_text(tokenizer)  # that of 768
    with_decoder(call, folder)


def lumina2(call: Call) -> None:
    folder = tiny_lumina2(Path("Lumina-mGPT-2.0"))
    (folder / "vq.safetensors").unlink()
    refused(folder, "spatialspec convert movqgan_270M.ckpt")
    torch.save(original_movq(random_movq()), "movqgan_270M.ckpt")
    assert call("convert", "movqgan_270M.ckpt", folder)[0] == 0
    draws(folder, size="4x8")


def glm(parts: bool, call: Call) -> None:
    draws((tiny_glm_parts if parts else tiny_glm)(Path("GLM-Image")), size="2x3")


def liquid(call: Call) -> None:
    folder = tiny_liquid(Path("Anole"))
    (folder / "vq.safetensors").unlink()
    with_decoder(call, folder)


def simplear(call: Call) -> None:
    tiny_simplear(Path("SimpleAR"), decoder=False)  # `decoder.jit`: tests/targets/causal/test_cosmos.py
    pipe = SpatialPipeline.from_pretrained("SimpleAR")
    assert pipe("a red apple", size="4x4", output_type="tokens").tokens
    with pytest.raises(BadInput, match="decoder"):
        pipe("a red apple", size="4x4")


def of_text(call: Call) -> None:
    refused(tiny_simplear(Path("text"), codes=0), "it is a model of text")


def llamagen(call: Call) -> None:
    source, vq = write_files(Path("LlamaGen"), "class")
    refused("LlamaGen", "run `spatialspec convert LlamaGen OUT`")
    converted(call, "golden retriever", None, str(source), "--vq", vq, "--heads", HEADS)


def tar(call: Call) -> None:
    source, tokenizer, vq = write_tar(Path("TA-Tok"))
    assert call("convert", source, "made", "--vq", vq, "--heads", HEADS)[0] == 0
    converted(call, PROMPTS[0], None, str(tokenizer))


def own(call: Call) -> None:
    draws("icons", size="4x4")
    draws(tiny_folder(Path("own")))


def bin_only(call: Call) -> None:
    folder = tiny_janus(Path("old"))
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    refused(folder, "fetch the safetensors of this model, or load it with transformers and call save_pretrained")


def adapters(call: Call) -> None:
    Path("lora").mkdir()
    Path("lora", "adapter_config.json").write_text("{}")
    refused("lora", "merge them with it")


def quantised(call: Call) -> None:
    folder = tiny_janus(Path("int8"))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"quantization_config": {"quant_method": "quanto"}}))
    refused(folder, "load it with transformers and give model and processor to")


def of_diffusers(call: Call) -> None:
    Path("pipeline").mkdir()
    Path("pipeline", "model_index.json").write_text("{}")
    refused("pipeline", "this is a pipeline of diffusers")


ROWS: dict[tuple[str, str], tuple[str, Callable[[Call], None]]] = {  # family, start of the layout -> outcome, check
    ("Janus-Pro", "transformers"): (LOADS, lambda call: draws(tiny_janus(Path("Janus-Pro-1B")))),
    ("Janus-Pro", "DeepSeek's"): (CONVERTS, deepseek),
    ("Janus-Pro", "Janus 1.3B"): (REFUSED, older_janus),
    ("Emu3-Gen", "transformers"): (LOADS, lambda call: draws(tiny_emu3(Path("Emu3-Gen-hf")), size="3x5")),
    ("Emu3-Gen", "BAAI's"): (CONVERTS, baai),
    ("Emu3.5-Image, Emu3.5", "BAAI's"): (CONVERTS, baai35),
    ("Anole", "transformers, with the image decoder"): (LOADS, lambda call: draws(write_anole(Path("Anole-7b")))),
    ("Anole", "transformers, without it"): (AFTER, anole_without),
    ("Anole", "Meta's"): (CONVERTS, anole_of_meta),
    ("Chameleon", "Meta's"): (CONVERTS, partial(meta, 1)),
    ("Lumina-mGPT", "its authors'"): (AFTER, lumina),
    ("Lumina-mGPT 2.0", "its authors'"): (AFTER, lumina2),
    ("GLM-Image", "a pipeline of diffusers"): (LOADS, partial(glm, True)),
    ("GLM-Image", "transformers"): (LOADS, partial(glm, False)),
    ("Liquid", "its authors'"): (AFTER, liquid),
    ("SimpleAR", "its authors'"): (LOADS, simplear),
    ("Gemma or Qwen2 without image tokens", "transformers"): (REFUSED, of_text),
    ("LlamaGen", "its authors' .pt"): (CONVERTS, llamagen),
    ("Tar's AR-DTok", "its authors' .pth"): (CONVERTS, tar),
    ("`icons` and your own of this kind", "this package's"): (LOADS, own),
    ("any of them", "transformers' layout, .bin only"): (REFUSED, bin_only),
    ("any of them", "adapters"): (REFUSED, adapters),
    ("any of them", "stored quantised"): (REFUSED, quantised),
    ("any of them", "other pipelines of diffusers"): (REFUSED, of_diffusers),
}


def table() -> list[tuple[str, str, str]]:
    """Family, layout and what happens, of every row of the page."""
    lines = [line for line in (ROOT / "docs" / "checkpoints.md").read_text().splitlines() if line.startswith("| ")]
    start = lines.index("| family | layout, for example | what happens |")
    rows, family = [], ""
    for line in lines[start + 1 :]:
        if line.startswith("| layout | what changes"):
            break
        first, layout, outcome = (cell.strip() for cell in line.strip("|").split("|"))
        family = first or family
        rows.append((family, layout, outcome))
    return rows


def test_every_row_is_checked() -> None:
    known = [
        (key, outcome)
        for family, layout, outcome in table()
        for key, (expected, _) in ROWS.items()
        if key[0] == family and layout.startswith(key[1]) and outcome.startswith(expected)
    ]
    assert len(table()) == len(known) == len(ROWS) and {key for key, _ in known} == ROWS.keys()


@pytest.mark.parametrize("row", ROWS, ids=" ".join)
def test_the_row(row: tuple[str, str], call: Call) -> None:
    ROWS[row][1](call)
