"""Folders in this package's own layout: odd sizes, words and drafts are refused by file and key, in every type."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from helpers.llamagen_tiny import tiny_folder as tiny_llamagen
from helpers.tiny import CODES, call_main, tiny_folder
from helpers.tiny_checkpoints import tiny_janus
from spatialspec import SpatialPipeline
from spatialspec.core.errors import BadInput
from spatialspec.drafts import weights
from spatialspec.methods.hawk import HawkConfig, HawkHeads
from spatialspec.targets.loading import load_target

ODD: list[Any] = [None, "x", 256.5, True, -1, 0, 10**9, 10**30, [], {}, "\x1b[2J"]
SECTIONS = {"icons": ("transformer", "vq", "sampling"), "llamagen": ("sizes", "vq", "sampling")}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("own")
    return {"icons": tiny_folder(root / "icons"), "llamagen": tiny_llamagen(root / "llamagen", "class")}


def change(path: Path, keys: tuple[str, ...], value: Any) -> None:
    """Set one value of a JSON file."""
    whole = json.loads(path.read_text())
    part = whole
    for key in keys[:-1]:
        part = part[key]
    part[keys[-1]] = value
    path.write_text(json.dumps(whole))


@pytest.mark.parametrize("kind", SECTIONS)
def test_odd_sizes_are_refused_by_file_and_key_before_anything_is_built(
    made: dict[str, Path], kind: str, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(made[kind], tmp_path / "copy"))
    config = folder / "config.json"
    text, whole = config.read_text(), json.loads(config.read_text())
    kept = 0
    for section in SECTIONS[kind]:
        for key in (*whole[section], "another"):
            for value in ODD:
                change(config, (section, key), value)
                try:
                    load_target(folder)
                    kept += 1
                except BadInput as error:
                    assert str(folder) in str(error), (key, value)
                    assert key in str(error) or ".safetensors" in str(error), (key, value, str(error))
                    assert "\x1b" not in str(error)
                config.write_text(text)
    assert kept < 40, "guidance 0, top_k 0, epsilon 0 and their like"


@pytest.mark.parametrize(("name", "good"), [(3, 0), (None, 0), ("\x1b[31mred", 0), ("a" * 101, 0), (" ", 0), ("é", 1)])
def test_a_name_is_text_that_can_be_shown(made: dict[str, Path], name: Any, good: bool, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(made["icons"], tmp_path / "copy"))
    change(folder / "config.json", ("name",), name)
    if good:
        assert load_target(folder).name == name
        return
    with pytest.raises(BadInput, match=r"config\.json: name: got .*, expected a name"):
        load_target(folder)


def test_a_picture_decoder_of_other_codes_is_refused(made: dict[str, Path], tmp_path: Path) -> None:
    other = tiny_folder(tmp_path / "other")
    held = load_file(other / "vq.safetensors")
    save_file({**held, "codebook": held["codebook"][: CODES // 2].contiguous()}, other / "vq.safetensors")
    change(other / "config.json", ("vq", "codes"), CODES // 2)
    with pytest.raises(BadInput, match="got an image decoder of 32 codes, expected one of the 64 that are drawn"):
        load_target(other)


def test_integers_for_weights_are_refused(made: dict[str, Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(made["icons"], tmp_path / "copy"))
    held = load_file(folder / "transformer.safetensors")
    held["norm.weight"] = held["norm.weight"].to(torch.int32)
    save_file(held, folder / "transformer.safetensors")
    with pytest.raises(BadInput, match=r"tensor norm\.weight: got numbers of type int32, expected float64 or"):
        load_target(folder)


TOKENIZERS: dict[str, Callable[[dict[str, Any]], object]] = {
    "normalizer": lambda t: t.update(normalizer=None),
    "truncation": lambda t: t.update(
        truncation={"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0}
    ),
    "dropout": lambda t: t["model"].update(dropout=0.5),
    "added_tokens": lambda t: t["added_tokens"].append({**t["added_tokens"][0], "id": 5, "content": "red"}),
    "the token id 70000": lambda t: t["model"]["vocab"].update({"zzzzz": 70000}),
    "no token for 1 bytes": lambda t: (t["model"].update(merges=[]), t["model"]["vocab"].pop("!")),
}


@pytest.mark.parametrize("fault", TOKENIZERS)
def test_a_tokenizer_of_another_kind_is_refused(made: dict[str, Path], fault: str, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(made["icons"], tmp_path / "copy"))
    path = folder / "tokenizer.json"
    tokenizer = json.loads(path.read_text())
    TOKENIZERS[fault](tokenizer)
    path.write_text(json.dumps(tokenizer))
    with pytest.raises(BadInput, match=r"tokenizer\.json: got") as error:
        load_target(folder)
    assert fault in str(error.value)


def test_what_is_typed_is_text(made: dict[str, Path]) -> None:
    prompts: Any = load_target(made["icons"])
    ids = prompts.prompts(["a <pad>cat"])[0]
    spelled = "".join(prompts.prompts.tokenizer.id_to_token(int(i)) for i in ids if i)
    assert spelled == "ĠaĠ<pad>cat" and prompts.prompts.tokenizer.get_vocab()["<pad>"] == 0


@pytest.mark.parametrize("stored", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("kind", ["icons", "llamagen", "janus"])
def test_the_fingerprint_is_that_of_the_file_whatever_the_type(kind: str, stored: torch.dtype, tmp_path: Path) -> None:
    """Numbers that float16 cannot hold, and such as are rounded to another bfloat16 by way of it."""
    make = {"icons": tiny_folder, "janus": tiny_janus}
    folder = make[kind](tmp_path) if kind in make else tiny_llamagen(tmp_path, "class")
    path = folder / ("transformer.safetensors" if kind in SECTIONS else "model.safetensors")
    tensors = {name: t.float() for name, t in load_file(path).items()}
    draw = torch.Generator().manual_seed(0)
    for name, tensor in tensors.items():
        if "emb" in name or "output" in name or "head" in name:
            flat = tensor.view(-1)
            flat[::7] = torch.randn(len(flat[::7]), generator=draw) * 1e-9
            flat[3:5] = torch.tensor([7e4, -1e5]) if stored != torch.float16 else torch.tensor([1.0, -1.0])
    save_file({name: t.to(stored).contiguous() for name, t in tensors.items()}, path, metadata={"format": "pt"})
    found = {load_target(folder, dtype=dtype).fingerprint for dtype in (torch.float32, torch.bfloat16, torch.float16)}
    assert len(found) == 1
    for name in list(tensors):
        if "emb" in name or "output" in name or "head" in name:
            tensors[name] = -tensors[name]
    save_file({name: t.to(stored).contiguous() for name, t in tensors.items()}, path, metadata={"format": "pt"})
    assert load_target(folder).fingerprint not in found, "it is the same for every model"


def test_drafts_that_do_not_fit_stop_only_the_methods_that_want_them(made: dict[str, Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(made["icons"], tmp_path / "copy"))
    target = load_target(folder)
    weights.save(HawkHeads(HawkConfig(48)), folder / "drafts" / "hawk", target.fingerprint, "another")
    change(folder / "drafts" / "ssd" / "config.json", ("target_fingerprint",), "0123456789abcdef")
    pipe = SpatialPipeline.from_pretrained(folder)
    assert pipe("a cat", size="2x2").tokens
    for method, fault in (("hawk", "got width 48"), ("ssd", "got drafts for target 0123456789abcdef")):
        with pytest.raises(BadInput, match=fault):
            pipe("a cat", size="2x2", method=method)
        with pytest.raises(BadInput, match=fault):
            SpatialPipeline.from_pretrained(folder, draft=method)
    shutil.copytree(made["icons"] / "drafts" / "hawk", folder / "drafts" / "hawk", dirs_exist_ok=True)
    assert SpatialPipeline.from_pretrained(folder)("a cat", size="2x2", method="hawk").tokens


def test_two_drafts_of_one_kind_are_not_chosen_between(made: dict[str, Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(made["icons"], tmp_path / "copy"))
    shutil.copytree(folder / "drafts" / "hawk", folder / "drafts" / "hawk-2")
    pipe = SpatialPipeline.from_pretrained(folder)
    assert pipe("a cat", size="2x2").tokens and pipe("a cat", size="2x2", method="ssd").tokens
    with pytest.raises(BadInput, match="got 2 hawk draft weights, expected one: name a folder of them with --draft"):
        pipe("a cat", size="2x2", method="hawk")
    assert SpatialPipeline.from_pretrained(folder, draft="hawk-2")("a cat", size="2x2", method="hawk").tokens


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (("sizes",), None), (("sizes", "width"), "32"), (("sizes", "horizontal"), 10**9), (("sizes", "vertical"), -1),
        (("sizes", "depth"), 1), (("grid",), [6, 6]), (("grid", "rows"), 0), (("target_fingerprint",), 5),
        (("speculators_config",), []), (("speculators_config", "algorithm"), ["hawk"]),
        (("speculators_config", "algorithm"), "eagle"), (("speculators_config", "verifier", "name_or_path"), "\x1b"),
    ],
)  # fmt: skip
def test_odd_configs_of_drafts(made: dict[str, Path], keys: tuple[str, ...], value: Any, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(made["icons"] / "drafts" / "hawk", tmp_path / "hawk"))
    if keys[0] == "grid":
        change(folder / "config.json", ("grid",), {"rows": 6, "columns": 6})
    change(folder / "config.json", keys, value)
    with pytest.raises(BadInput, match=r"config\.json"):
        weights.load(folder, load_target(made["icons"]))


def test_what_is_no_folder_of_drafts(made: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("x")
    for draft, fault in (
        (tmp_path / "empty", "got no draft weights in"), (tmp_path / "file", "got draft"), ("", "got draft"),
        ("a" * 300, "got draft"),
        (made["llamagen"], "as `train draft` writes them"), (made["icons"], "as `train draft` writes them"),
    ):  # fmt: skip
        with pytest.raises(BadInput, match=fault):
            SpatialPipeline.from_pretrained(made["icons"], draft=draft)


DAMAGE: dict[str, Callable[[Path], object]] = {
    "no weights": lambda f: (f / "transformer.safetensors").unlink(),
    "pointer": lambda f: (f / "transformer.safetensors").write_text("version https://git-lfs.github.com/spec/v1\n"),
    "a header": lambda f: (f / "transformer.safetensors").write_bytes(b'\x10\0\0\0\0\0\0\0{"\x1b[2J": 3}    '),
    "sizes": lambda f: change(f / "config.json", ("transformer", "rows"), "\x1b[2J"),
    "no sizes": lambda f: change(f / "config.json", ("transformer",), [1]),
    "card": lambda f: (f / "README.md").write_bytes(b"license: \xff\n"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_models_lists_or_refuses_a_damaged_model(
    made: dict[str, Path], capsys: Any, monkeypatch: pytest.MonkeyPatch, damage: str, tmp_path: Path
) -> None:
    DAMAGE[damage](Path(shutil.copytree(made["icons"], tmp_path / "icons")))
    monkeypatch.setattr("spatialspec.models.WEIGHTS", tmp_path)
    monkeypatch.setattr("spatialspec.cli.models.WEIGHTS", tmp_path)
    code, out, err = call_main(capsys, "models")
    assert code == 2 and err.count("\n") == 1 and "\x1b" not in out + err and "icons/" in err


def test_models_shows_names_and_licences_as_text(
    made: dict[str, Path], capsys: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(made["icons"], tmp_path / "icons"))
    (folder / "README.md").write_text("license: \x1b[31mMIT\n")
    (folder / "drafts" / "hawk").rename(folder / "drafts" / "\x1b[2Jhawk")
    monkeypatch.setattr("spatialspec.models.WEIGHTS", tmp_path)
    monkeypatch.setattr("spatialspec.cli.models.WEIGHTS", tmp_path)
    code, out, _ = call_main(capsys, "models")
    assert code == 0 and r"licence \x1b[31mMIT, drafts \x1b[2Jhawk, ssd" in out
