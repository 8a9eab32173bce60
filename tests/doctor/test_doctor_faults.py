"""Real faults in a model's folder: `doctor` names each, and never breaks down itself."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from helpers.doctors import at_rest, faults, named
from helpers.tiny import CODES, call_main, tiny_folder, tiny_target
from helpers.tiny_chameleon import random_vq, vq_config, write_anole, write_lumina
from helpers.tiny_checkpoints import tiny_emu3, tiny_janus
from spatialspec.doctor.files import ModelFolder, check_files, numbers
from spatialspec.drafts import weights
from spatialspec.methods.hawk import HawkConfig, HawkHeads
from spatialspec.targets.icons.text import train_bpe
from spatialspec.targets.icons.vq import VQConfig, VQTokenizer
from spatialspec.targets.registry import REGISTRY, TargetKind

SIZES = {"emu3": "3x5", "lumina": "4x6"}
Spoil = Callable[[Path], object]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("well")
    return {
        "icons": tiny_folder(root / "icons"),
        "janus": tiny_janus(root / "janus"),
        "emu3": tiny_emu3(root / "emu3"),
        "anole": write_anole(root / "anole"),
        "lumina": write_lumina(root / "lumina"),
    }


def cut(name: str, size: int) -> Spoil:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:size])


def tensors(name: str, change: Callable[[dict[str, Tensor]], object]) -> Spoil:
    def spoil(folder: Path) -> None:
        held = load_file(folder / name)
        change(held)
        save_file(held, folder / name, metadata={"format": "pt"})

    return spoil


def config(change: Callable[[dict], object], name: str = "config.json") -> Spoil:
    def spoil(folder: Path) -> None:
        held = json.loads((folder / name).read_text())
        change(held)
        (folder / name).write_text(json.dumps(held))

    return spoil


def pickled(folder: Path) -> None:
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def larger_codec(folder: Path) -> None:
    sizes = VQConfig(codes=2 * CODES, width=16, encoder_blocks=1, decoder_blocks=1)
    save_file(VQTokenizer(sizes).state_dict(), folder / "vq.safetensors")
    config(lambda held: held["vq"].update(codes=2 * CODES))(folder)


def other_words(folder: Path) -> None:
    train_bpe(["a cat", "two dogs"], 280).save(str(folder / "tokenizer.json"))


HEAD, FACE = "model.generation_head.vision_head.bias", "model.generation_embeddings.weight"
# kind, what is done to it, the check that fails, what it got, what it says
FAULTS: dict[str, tuple[str, Spoil, str, str, str]] = {
    "no config": ("icons", lambda f: (f / "config.json").unlink(), "config", "no file", "check the path"),
    "config cut": ("icons", cut("config.json", 40), "config", "does not parse", ""),
    "config is a list": ("icons", lambda f: (f / "config.json").write_text("[]"), "config", "config.json: list", ""),
    "unknown kind": ("janus", config(lambda c: c.update(model_type="show_o")), "config", "'show_o'", "another folder"),
    "odd kind": ("janus", config(lambda c: c.update(model_type=[1], architectures=3)), "config", "[1]", ""),
    "odd sizes": ("icons", config(lambda c: c["transformer"].update(heads=0)), "loading", "heads: 0", "fetch"),
    "no sizes": ("janus", config(lambda c: c.update(text_config=7)), "loading", "config.json", "fetch it again"),
    "cut": ("icons", cut("transformer.safetensors", 9000), "file transformer.safetensors", "9,000 bytes", "fetch it"),
    "cut in the header": ("icons", cut("vq.safetensors", 70), "file vq.safetensors", "70 bytes", "fetch it again"),
    "empty": ("janus", cut("model.safetensors", 0), "file model.safetensors", "0 bytes", "fetch it again"),
    "no shard": ("anole", lambda f: (f / "model-00002-of-00025.safetensors").unlink(), "files", "no model-00002", ""),
    "no tokenizer": ("janus", lambda f: (f / "tokenizer.json").unlink(), "files", "no tokenizer.json", "fetch"),
    "no processor": ("janus", lambda f: (f / "processor_config.json").unlink(), "loading", "processor", ""),
    "damaged index": ("anole", config(lambda c: c.update(weight_map=[]), "model.safetensors.index.json"), "files",
                      "no file names", "fetch it again"),
    "pickle": ("janus", pickled, "files", "pytorch_model.bin is no safetensors", "fetch the safetensors"),
    "a tensor is missing": ("janus", tensors("model.safetensors", lambda t: t.pop(HEAD)), "loading", HEAD, "fetch it"),
    "another shape": ("janus", tensors("model.safetensors", lambda t: t.update({FACE: torch.ones(3, 4)})), "loading",
                      f"{FACE} (3, 4) instead of (64, 4)", "another model's"),
    "another vocabulary": ("emu3", tensors("model.safetensors", lambda t: t.update({"text_model.lm_head.weight":
                           torch.ones(7, 32)})), "loading", "lm_head.weight (7, 32) instead of (", "another model's"),
    "another layer": ("icons", config(lambda c: c["transformer"].update(layers=3)), "loading", "tensor blocks.2.", ""),
    "codec of more codes": ("icons", larger_codec, "loading", "image decoder of 128 codes", "fetch both"),
    "codec of larger cells": ("icons", config(lambda c: c["vq"].update(patch=8)), "loading", "tensor ", ""),
    "codec of fewer codes": ("lumina", lambda f: save_file(random_vq(vq_config(num_embeddings=32)).state_dict(),
                             f / "vq.safetensors"), "loading", "quantize.embedding.weight: (32, 8)", ""),
    "no codec": ("lumina", lambda f: (f / "vq.safetensors").unlink(), "loading", "no image decoder", "convert"),
    "codec of noughts": ("icons", tensors("vq.safetensors", lambda t: [t[name].mul_(0) for name in t if "decoder" in
                         name]), "codec", "every pixel is 128", "fetch it again"),
    "not finite": ("icons", tensors("transformer.safetensors", lambda t: t["output.weight"].fill_(torch.nan)),
                   "image vocabulary", "not finite", "fetch the weights again"),
    "words of another model": ("icons", other_words, "prompts", "268 ids of text", "another model's"),
    "ids that moved": ("emu3", config(lambda c: c["vocabulary_map"].update({"a": 5})), "prompts", "'a' is ", "fetch"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_faults(made: dict[str, Path], fault: str, tmp_path: Path) -> None:
    kind, spoil, check, got, advice = FAULTS[fault]
    folder = Path(shutil.copytree(made[kind], tmp_path / kind))
    spoil(folder)
    found = at_rest(folder, size=SIZES.get(kind))
    failed = named([finding for finding in found if finding.status == "failed"], check)
    assert got in failed.got and advice in failed.advice and failed.expected and failed.advice


def test_what_is_not_read_is_named(made: dict[str, Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(made["anole"], tmp_path / "anole"))
    assert not faults(at_rest(folder))
    (folder / "modeling.py").write_text("raise SystemExit\n")
    save_file({"x": torch.ones(1)}, folder / "model-00026-of-00026.safetensors")
    found = at_rest(folder)
    assert faults(found) == ["foreign files warning"]
    assert named(found, "foreign files").got == "model-00026-of-00026.safetensors, modeling.py"


def test_a_kind_names_the_files_that_it_may_have(made: dict[str, Path], tmp_path: Path) -> None:
    """Those that exist are whole and not foreign; weights among them count."""
    assert (
        REGISTRY.named["chameleon"].optional_weights
        == ("vq.safetensors",)
        == REGISTRY.named["lumina_mgpt"].optional_weights
    )
    assert REGISTRY.named["llamagen"].optional_files == ("captions.safetensors",)
    needed, more, other = "model.safetensors", "more.safetensors", "other.safetensors"
    kind = TargetKind("mine", lambda config: True, lambda *parts: tiny_target(), None, (needed,), (more,), (other,))
    folder = ModelFolder(tmp_path, kind, {})
    save_file({"x": torch.ones(2)}, tmp_path / needed)
    assert folder.weights == folder.needed == [needed] and numbers(folder) == 2
    for name in (more, other):
        save_file({"x": torch.ones(3)}, tmp_path / name)
    assert folder.weights == [needed, more] and numbers(folder) == 5
    assert [finding.status for finding in check_files(folder)] == ["ok"]
    cut(more, 20)(tmp_path)
    assert [finding.check for finding in check_files(folder)] == [f"file {more}"]


def test_a_grid_that_does_not_fit(made: dict[str, Path]) -> None:
    """The tiny Emu3 has the published grid, and a sequence that is too short for it."""
    found = at_rest(made["emu3"])
    assert faults(found) == ["grid failed"]
    assert "90x90, 8190 tokens with row ends" in named(found, "grid").got


def test_drafts(made: dict[str, Path], tmp_path: Path) -> None:
    folder, drafts = made["icons"], tmp_path / "drafts"
    shutil.copytree(folder / "drafts" / "hawk", drafts / "cut")
    (drafts / "cut" / "model.safetensors").write_bytes(b"")
    shutil.copytree(folder / "drafts" / "hawk", drafts / "odd")
    config(lambda c: c["sizes"].update(width="wide"))(drafts / "odd")
    target, wide, empty = tiny_target(), HawkHeads(HawkConfig(48)), HawkHeads(HawkConfig(32))
    nn.init.constant_(empty.vertical, torch.nan)
    other = tiny_target(seed=1).fingerprint
    for name, heads, mark, grid in (
        ("stranger", HawkHeads(HawkConfig(32)), other, None),
        ("wide", wide, target.fingerprint, None),
        ("empty", empty, target.fingerprint, None),
        ("right", HawkHeads(HawkConfig(32)), target.fingerprint, target.grid),
    ):
        weights.save(heads, drafts / name, mark, "tiny-of-old", grid)
    found = at_rest(folder, drafts, "4x6")
    said = {f.check.removeprefix("drafts "): (f.status, f.got) for f in found if f.check.startswith("drafts ")}
    assert said["stranger"] == ("failed", f"drafts for target {other} (hawk for tiny-of-old)")
    assert named(found, "drafts stranger").expected == f"{target.fingerprint} (tiny)"
    assert said["wide"] == ("failed", "width 48 (hawk for tiny-of-old)")
    assert said["empty"] == ("failed", "numbers that are not finite (hawk for tiny-of-old)")
    assert said["right"] == ("warning", "trained on 6x6")
    assert {name for name, (status, _) in said.items() if status == "failed"} == {
        "cut", "odd", "stranger", "wide", "empty",
    }  # fmt: skip
    assert named(at_rest(folder, tmp_path), "drafts " + tmp_path.name).status == "failed", "there are none inside"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--model", "nowhere"), "got model 'nowhere'"),
        (("--draft", "nowhere"), "got draft 'nowhere'"),
        (("--size", "big"), "ROWSxCOLUMNS"),
        (("--size", "65x2"), "at most 64x64"),
        (("--dtype", "fp8"), "fp32, bf16, fp16"),
        (("--device", "abacus"), "this machine has"),
        (("--json", "nowhere/a.json"), "make nowhere first"),
    ],
)
def test_bad_input(
    made: dict[str, Path], capsys: pytest.CaptureFixture[str], options: tuple[str, str], said: str
) -> None:
    code, out, err = call_main(capsys, "doctor", "--model", made["icons"], *options)
    assert code == 2 and said in err and len(err.strip().splitlines()) == 1
    assert not out or "--size 65x2" in " ".join(options), "which sizes a model draws, only the loaded model knows"


def test_a_broken_folder_gets_a_report(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Exit code 1, no traceback, the same in the document; drafts of a folder without config.json count as given."""
    (tmp_path / "model").mkdir()
    report = tmp_path / "report.json"
    code, out, err = call_main(capsys, "doctor", "--model", tmp_path / "model", "--json", report)
    assert (code, err) == (1, "")
    assert "failed   config: got no file" in out and "nothing was measured: fix the failed checks first" in out
    assert out.endswith("1 checks: 0 ok, 0 warning, 1 failed\n")
    document = json.loads(report.read_text())
    assert [check["status"] for check in document["checks"]] == ["failed"] and document["methods"] == []
    code, _, err = call_main(capsys, "doctor", "--model", tmp_path / "model", "--draft", "nowhere")
    assert code == 2 and "got draft 'nowhere'" in err
