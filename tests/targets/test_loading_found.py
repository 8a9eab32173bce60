"""Found by a tester of loading: faults of files that need not stop a run, and words that say which file and key."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from helpers.real_targets import MAKES
from spatialspec import SpatialPipeline, arguments
from spatialspec.core.errors import BadInput
from spatialspec.io.tensors import read_shapes
from spatialspec.targets.loading import load_target

MODELS = ("janus", "emu3", "anole", "lumina")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {kind: MAKES[kind].make(tmp_path_factory.mktemp(kind) / kind) for kind in ("icons", *MODELS)}


@pytest.fixture
def copy(made: dict[str, Path], tmp_path: Path) -> Callable[[str], Path]:
    return lambda kind: Path(shutil.copytree(made[kind], tmp_path / kind, dirs_exist_ok=True))


def put(path: Path, *keys: str, value: Any) -> None:
    """Set one value of a JSON file."""
    whole = part = json.loads(path.read_text())
    for key in keys[:-1]:
        part = part[key]
    part[keys[-1]] = value
    path.write_text(json.dumps(whole))


def fault(folder: Path) -> str:
    with pytest.raises(BadInput) as caught:
        load_target(folder)
    return str(caught.value)


@pytest.mark.parametrize("method", ["ar", "spatial", "hawk"])
def test_written_images_are_those_of_runs_that_went_through(made: dict[str, Path], method: str) -> None:
    """One that is finished, a part and none, each with a seed of its own."""
    pipe, words, seeds = SpatialPipeline.from_pretrained(made["icons"]), ["a cat", "a red fox", "two dogs"], [7, 3, 11]
    whole = pipe(words, seed=seeds, method=method, size="3x4")
    written = [whole.tokens[0], whole.tokens[1][:5], ()]
    assert pipe(words, seed=seeds, method=method, size="3x4", written=written).tokens == whole.tokens
    assert whole.report.exact and whole.report.seed_exact
    again = pipe(words, seed=seeds, method=method, size="3x4", written=whole.tokens)
    assert again.tokens == whole.tokens and again.report.target_passes == 0
    assert not again.report.exact and not again.report.seed_exact, "nothing was drawn"


NOTES = {"num_train_steps": 100_000, "num_images": 2000, "max_window_layers": 70, "num_experts_per_tok": 10**7}
NOTES |= {"trained_layers": [10**5, 10**6], "depth_of_focus": 5000, "tokens_seen": 10**13, "notes": {"num_runs": 10**6}}


@pytest.mark.parametrize("kind", MODELS)
def test_keys_that_a_config_class_does_not_have_may_be_anything(copy: Callable[[str], Path], kind: str) -> None:
    folder = copy(kind)
    path = folder / "config.json"
    config = json.loads(path.read_text()) | NOTES
    parts = [name for name, part in config.items() if name.endswith("_config")]
    assert parts
    path.write_text(json.dumps(config | {name: config[name] | NOTES for name in parts}))
    load_target(folder)


@pytest.mark.parametrize("kind", MODELS)
def test_counts_that_a_config_class_has_are_still_looked_at(copy: Callable[[str], Path], kind: str) -> None:
    text = {"janus": ("text_config",), "emu3": ("text_config",)}.get(kind, ())
    for keys in ((*text, "num_hidden_layers"), ("vq_config", "num_res_blocks"), ("num_labels",)):
        folder = copy(kind)
        put(folder / "config.json", *keys, value=100_000)
        assert f"got {keys[-1]} 100000" in fault(folder)


DAMAGE: dict[str, Callable[[Path], object]] = {
    "pointer": lambda folder: (folder / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\n"),
    "no weights": lambda folder: (folder / "model.safetensors").unlink(),
    "JSON": lambda folder: (folder / "config.json").write_text("{"),
    "no algorithm": lambda folder: put(folder / "config.json", "speculators_config", value={}),
    "width": lambda folder: put(folder / "config.json", "sizes", "width", value=16),
    "sizes": lambda folder: put(folder / "config.json", "sizes", value=None),
    "card": lambda folder: (folder / "README.md").write_bytes(b"\xff"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_drafts_stop_only_the_methods_that_want_them(copy: Callable[[str], Path], damage: str) -> None:
    folder = copy("icons")
    DAMAGE[damage](folder / "drafts" / "hawk")
    pipe = SpatialPipeline.from_pretrained(folder)
    for method in ("ar", "spatial", "ssd"):
        assert pipe("a cat", size="2x2", method=method).tokens
    with pytest.raises(BadInput, match=r"drafts/hawk.*, or go without: spatial needs none"):
        pipe("a cat", size="2x2", method="hawk")
    with pytest.raises(BadInput, match="drafts/hawk") as caught:
        SpatialPipeline.from_pretrained(folder, draft="hawk")
    assert "go without" not in str(caught.value)


POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n"


@pytest.mark.parametrize("kind", MODELS)
def test_pointers_of_git_lfs_are_told_for_every_file(copy: Callable[[str], Path], kind: str) -> None:
    folder = copy(kind)
    for path in sorted(folder.iterdir()):
        if kind == "emu3" and path.suffix == ".jinja":  # which nobody reads
            continue
        whole = path.read_bytes()
        path.write_text(POINTER)
        said = fault(folder)
        assert path.name in said and "git-lfs pointer" in said and "run `git lfs pull`" in said
        path.write_bytes(whole)


@pytest.mark.parametrize("kind", MODELS)
def test_an_index_without_metadata_is_named(copy: Callable[[str], Path], kind: str) -> None:
    folder = copy(kind)
    path, single = folder / "model.safetensors.index.json", folder / "model.safetensors"
    if single.exists():
        single.rename(folder / "one.safetensors")
        index = {"weight_map": dict.fromkeys(read_shapes(folder / "one.safetensors"), "one.safetensors")}
    else:
        index = {"weight_map": json.loads(path.read_text())["weight_map"]}
    for missing in ({}, {"metadata": None}, {"metadata": [1]}):
        path.write_text(json.dumps(index | missing))
        said = fault(folder)
        assert f"{path}: got metadata" in said and 'add "metadata": {} to it' in said
    path.write_text(json.dumps(index | {"metadata": {}}))
    load_target(folder)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("chat_template.jinja", ""),
        ("chat_template.jinja", " \n"),
        ("chat_template.json", "{}"),
        ("chat_template.json", '{"chat_template": ""}'),
    ],
)
def test_an_empty_chat_template_is_one_without_the_user(copy: Callable[[str], Path], name: str, text: str) -> None:
    folder = copy("janus")
    (folder / "chat_template.jinja").unlink()
    load_target(folder)
    (folder / name).write_text(text)
    assert f"{folder / name}: got a chat template without <|User|>" in fault(folder)


@pytest.mark.parametrize("kind", ["janus", "emu3"])
@pytest.mark.parametrize(
    ("file", "keys"),
    [
        ("processor_config.json", ("image_processor", "image_processor_type")),
        ("tokenizer_config.json", ("tokenizer_class",)),
    ],
)
@pytest.mark.parametrize("value", ["Evil", 5])
def test_classes_that_there_are_not_are_named_by_file_and_key(
    copy: Callable[[str], Path], kind: str, file: str, keys: tuple[str, ...], value: Any
) -> None:
    folder = copy(kind)
    if keys == ("tokenizer_class",):
        (folder / "tokenizer.json").unlink()  # with it no class is needed
    put(folder / file, *keys, value=value)
    said = fault(folder)
    assert f"{folder / file}: got {keys[-1]} {value!r}, expected the name of a class of transformers" in said


@pytest.mark.parametrize("kind", ["janus", "emu3", "anole"])
def test_ordinary_words_that_were_added_stay_text(made: dict[str, Path], kind: str) -> None:
    target: Any = load_target(made[kind])
    tokenizer = target.words.tokenizer
    grid = target.grid if MAKES[kind].size is None else arguments.grid(target, MAKES[kind].size)
    tokenizer.add_tokens(["red", "<cat-toy>", "<|fim|>"])
    target.model.resize_token_embeddings(target.model.get_input_embeddings().num_embeddings + 8)
    for prompt in ("a red apple", "a <cat-toy>"):
        target.check_prompts([prompt], [""], grid)
        assert SpatialPipeline(target)(prompt, size=grid, method="spatial").tokens
    for name in ("<|fim|>", {"janus": "<begin_of_image>", "emu3": "<image>", "anole": "<racm3:break>"}[kind]):
        with pytest.raises(BadInput, match="control token"):
            target.check_prompts([f"a {name}"], [""], grid)


@pytest.mark.parametrize("kind", ["janus", "emu3"])
def test_no_warning_of_a_library_about_a_file(copy: Callable[[str], Path], kind: str) -> None:
    folder = copy(kind)
    put(folder / "config.json", "rope_scaling", value=None)
    put(folder / "config.json", "text_config", "rope_scaling", value=None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_target(folder)


@pytest.mark.parametrize("section", ["transformer", "vq", "sampling"])
def test_an_unknown_key_in_a_folder_of_ours_is_named(copy: Callable[[str], Path], section: str) -> None:
    folder = copy("icons")
    put(folder / "config.json", section, "min_q", value=0.1)
    assert f"config.json: {section}: got the key 'min_q', expected one of" in fault(folder)
