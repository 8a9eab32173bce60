"""Models and drafts of the Hub, imitated on the loopback: what is fetched, how, and what is refused."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants
from PIL import Image
from safetensors.torch import load_file

from helpers.hub import SHA, LoopbackHub, serving
from helpers.llamagen_tiny import HEADS, write_files
from helpers.originals import original_janus
from helpers.terminal import run_in_terminal
from helpers.tiny import call_main, tiny_folder
from helpers.tiny_checkpoints import tiny_janus
from helpers.tiny_glm import tiny_glm_parts
from spatialspec import BadInput, SpatialPipeline
from spatialspec.io.hub import Repository, _snapshot, title
from spatialspec.measure.drawing import DrawingNote
from spatialspec.models import model_folder

JANUS, TINY, DRAFTS = "deepseek-community/Janus-Pro-1B", "someone/tiny", "someone/hawk"
NEEDED = {"config.json", "generation_config.json", "model.safetensors", "processor_config.json", "tokenizer.json"}
NEEDED |= {"tokenizer_config.json", "chat_template.jinja"}
FOREIGN = ("pytorch_model.bin", "README.md", "modeling_own.py", "original/model.safetensors", "model.onnx")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoopbackHub]:
    root = tmp_path_factory.mktemp("hub")
    with serving() as hub:
        janus, tiny = tiny_janus(root / "janus"), tiny_folder(root / "tiny")
        for name in FOREIGN:
            (janus / name).parent.mkdir(exist_ok=True)
            (janus / name).write_bytes(b"not to be fetched")
        hub.repositories = {JANUS: janus, TINY: tiny, DRAFTS: Path(shutil.copytree(tiny / "drafts/hawk", root / "d"))}
        for folder in ("files", "own"):
            (root / folder).mkdir()
        (root / "files" / "c2i_B_256.pt").write_bytes(b"x")
        (root / "own" / "config.json").write_text('{"model_type": "multi_modality"}')
        (root / "own" / "pytorch_model.bin").write_bytes(b"not to be fetched")
        hub.repositories |= {"FoundationVision/LlamaGen": root / "files", "deepseek-ai/Janus-Pro-1B": root / "own"}
        hub.gated = {"someone/gated"}
        yield hub


@pytest.fixture
def hub(served: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> LoopbackHub:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", served.endpoint)
    files = "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", served.endpoint + files)
    served.served.clear()
    served.tokens.clear()
    _snapshot.cache_clear()  # a process asks for a snapshot once
    return served


def refused(model: str, cache: Path, **options: object) -> str:
    with pytest.raises(BadInput) as error:
        SpatialPipeline.from_pretrained(model, cache_dir=cache, **options)  # type: ignore[arg-type]
    assert "\n" not in str(error.value)
    return str(error.value)


def test_only_needed_files_are_fetched_and_once(hub: LoopbackHub, tmp_path: Path) -> None:
    pipe = SpatialPipeline.from_pretrained(JANUS, cache_dir=tmp_path)
    assert sorted(hub.served) == sorted(f"{JANUS}/{name}" for name in NEEDED)
    assert pipe.target.name == "Janus-Pro-1B" and "Janus-Pro-1B" in repr(pipe)
    twin = SpatialPipeline.from_pretrained(hub.repositories[JANUS])
    assert pipe("a red apple", seed=0).tokens == twin("a red apple", seed=0).tokens
    SpatialPipeline.from_pretrained(JANUS, cache_dir=tmp_path)
    assert len(hub.served) == len(NEEDED)


def test_other_ways_to_write_a_name(hub: LoopbackHub, tmp_path: Path) -> None:
    for text in (JANUS, f"https://huggingface.co/{JANUS}", f"{JANUS}@v1", f"https://huggingface.co/{JANUS}/tree/main"):
        read = Repository.read(text)
        assert read is not None and read.name == JANUS and not read.file
        assert read.access.revision == (None if text.endswith("1B") else "v1" if "@" in text else "main")
    read = Repository.read("FoundationVision/LlamaGen/c2i_B_256.pt")
    assert read is not None and (read.name, read.file) == ("FoundationVision/LlamaGen", "c2i_B_256.pt")
    for text in ("icons", "./a/b", "/a/b", "../a", "a b/c", "~/models", "", "a\0b/c"):
        assert Repository.read(text) is None, text


def test_a_model_of_this_package_with_its_drafts(hub: LoopbackHub, tmp_path: Path) -> None:
    pipe = SpatialPipeline.from_pretrained(TINY, cache_dir=tmp_path)
    assert [type(part).__name__ for part in pipe.drafts] == ["HawkHeads", "SSDPredictors"]
    own = SpatialPipeline.from_pretrained(TINY, "hawk", cache_dir=tmp_path)
    published = SpatialPipeline.from_pretrained(TINY, DRAFTS, cache_dir=tmp_path)
    assert [len(p.drafts) for p in (own, published)] == [1, 1]
    assert f"{DRAFTS}/model.safetensors" in hub.served
    request = {"prompt": "a cat", "seed": 0, "method": "hawk"}
    assert own(**request).tokens == published(**request).tokens == pipe(**request).tokens


def test_a_pipeline_of_diffusers(hub: LoopbackHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of GLM-Image the AR part and its processor, its configuration first; others are refused before their weights."""
    folder, name = tiny_glm_parts(tmp_path / "GLM-Image"), "zai-org/GLM-Image"
    for foreign in ("transformer/model.safetensors", "vae/config.json", "processor/own.py"):
        (folder / foreign).parent.mkdir(exist_ok=True)
        (folder / foreign).write_bytes(b"not to be fetched")
    monkeypatch.setitem(hub.repositories, name, folder)
    pipe = SpatialPipeline.from_pretrained(name, cache_dir=tmp_path / "cache")
    twin = SpatialPipeline.from_pretrained(folder)
    assert pipe.target.name == twin.target.name == "GLM-Image"
    assert pipe("a cat", seed=0, size="1x2").tokens == twin("a cat", seed=0, size="1x2").tokens
    fetched = {served.removeprefix(f"{name}/") for served in hub.served}
    ours = {str(path.relative_to(folder)) for part in ("vision_*", "processor") for path in folder.glob(f"{part}/*")}
    assert fetched == {*ours, "model_index.json"} - {"processor/own.py"}
    hub.served.clear()
    (folder / "vision_language_encoder" / "config.json").write_text('{"model_type": "another"}')
    assert "got model_type 'another'" in refused(name, tmp_path / "other")
    assert not any(served.endswith(".safetensors") for served in hub.served)


def test_revision_token_and_cache(hub: LoopbackHub, tmp_path: Path) -> None:
    SpatialPipeline.from_pretrained(TINY, cache_dir=tmp_path / "a", revision="v1", token="hf_secret")
    assert hub.tokens == {"hf_secret"}
    assert (tmp_path / "a" / "models--someone--tiny" / "refs" / "v1").read_text() == SHA
    folder = model_folder(str(tmp_path / "a" / "models--someone--tiny"))
    assert folder.name == SHA and title(folder) == "tiny" and title(tmp_path / "x") == "x"
    assert "got revision 'v2' of" in refused(TINY, tmp_path / "a", revision="v2")
    for wrong in ({"revision": 3}, {"token": 3.5}, {"revision": ""}, {"local_files_only": "yes"}, {"cache_dir": 3}):
        with pytest.raises(BadInput, match=next(iter(wrong))):
            SpatialPipeline.from_pretrained(TINY, **wrong)  # type: ignore[arg-type]


def test_offline(hub: LoopbackHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From a cache that was filled before, by this or another program; told where it lacks a model."""
    said = refused(JANUS, tmp_path, local_files_only=True)
    assert "while only the cache is read" in said and f"run `hf download {JANUS}`" in said and not hub.served
    snapshot = tmp_path / "models--deepseek-community--Janus-Pro-1B" / "snapshots" / SHA
    shutil.copytree(hub.repositories[JANUS], snapshot)
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text(SHA)
    first = SpatialPipeline.from_pretrained(JANUS, cache_dir=tmp_path, local_files_only=True)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    again = SpatialPipeline.from_pretrained(JANUS, cache_dir=tmp_path)
    assert first("a red apple", seed=0).tokens == again("a red apple", seed=0).tokens and not hub.served
    assert f"or run `hf download {JANUS}`, the nearest known name; else run" in refused(JANUS.lower(), tmp_path)
    assert "nearest" not in refused(TINY, tmp_path) + refused(JANUS, tmp_path / "empty")


def test_drawn_again_from_the_cache(
    hub: LoopbackHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What only a file names is read where it is, and never fetched."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    first, again = tmp_path / "a.png", tmp_path / "b.png"
    words = ["--model", TINY, "--draft", DRAFTS, "--method", "hawk", "--out", first]
    assert call_main(capsys, "generate", "a cat", *words)[0] == 0
    hub.served.clear()
    assert call_main(capsys, "generate", "--again", first, "--out", again)[0] == 0 and not hub.served
    assert Image.open(first).tobytes() == Image.open(again).tobytes()
    note = DrawingNote.read(again)
    assert (note.model, note.draft) == (f"{TINY}@{SHA}", f"{DRAFTS}@{SHA}")


def test_what_is_refused(hub: LoopbackHub, tmp_path: Path) -> None:
    said = refused("deepseek-community/Janus-Pro-1b", tmp_path)
    assert "no public repository of the Hub" in said and f"run `hf download {JANUS}`" in said
    assert "check the name" in refused("nobody/qqqqqqqq", tmp_path)
    assert "accept the licence on its page" in refused("someone/gated", tmp_path)
    said = refused("FoundationVision/LlamaGen", tmp_path)
    assert "run `spatialspec convert FoundationVision/LlamaGen/c2i_B_256.pt OUT`" in said
    assert "run `spatialspec convert deepseek-ai/Janus-Pro-1B OUT`" in refused("deepseek-ai/Janus-Pro-1B", tmp_path)
    assert not any(name.endswith((".bin", ".pt")) for name in hub.served)


def test_converted_from_the_hub(
    hub: LoopbackHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A repository in its authors' layout, whose code is not fetched, and one file of another."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    source, vq = write_files(tmp_path / "published", "class")
    weights = original_janus(tmp_path / "deepseek", tmp_path / "twin")
    (tmp_path / "deepseek" / "modeling_own.py").write_text("raise SystemExit(7)")
    monkeypatch.setitem(hub.repositories, "someone/janus", tmp_path / "deepseek")
    monkeypatch.setitem(hub.repositories, "someone/files", source.parent)
    code, out, err = call_main(capsys, "convert", "someone/janus", tmp_path / "janus")
    assert code == 0 and "someone/janus is Janus in DeepSeek's own layout" in out, err
    assert load_file(tmp_path / "janus" / "model.safetensors").keys() == weights.keys()
    assert sorted(name.rpartition("/")[2] for name in hub.served) == [
        "config.json", "preprocessor_config.json", "pytorch_model.bin", "tokenizer.json", "tokenizer_config.json",
    ]  # fmt: skip
    hub.served.clear()
    names = [f"someone/files/{path.name}" for path in (source, vq)]
    code, _, err = call_main(capsys, "convert", names[0], tmp_path / "c2i", "--vq", names[1], "--heads", HEADS)
    assert code == 0 and sorted(hub.served) == sorted(names), err
    assert "got no file" in call_main(capsys, "convert", "someone/files/none.pt", tmp_path / "x")[2]


def test_drafts_of_a_model_of_the_hub_want_a_place(
    hub: LoopbackHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("a cat\n")
    code, _, err = call_main(capsys, "train", "draft", "--target", TINY, "--self-distil", prompts)
    assert code == 2 and "got no --out, expected a folder for the drafts" in err
    assert hub.served == [f"{TINY}/config.json"]


def test_a_bar_in_a_terminal(served: LoopbackHub, tmp_path: Path) -> None:
    out = tmp_path / "a.png"
    words = ["generate", "a cat", "--model", TINY, "--method", "ar", "--size", "1x1", "--out", out]
    home = {
        "HF_HUB_OFFLINE": "0",
        "HF_ENDPOINT": served.endpoint,
        "HF_HOME": str(tmp_path / "home"),
        "TQDM_DISABLE": "",
    }
    code, written = run_in_terminal(words, **home)
    assert code == 0 and out.is_file(), written
    files = sum(name.startswith(f"{TINY}/") for name in {*served.served})
    assert f"Fetching {files} files: 100%" in written


def test_no_way_to_the_hub(hub: LoopbackHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    assert "expected a way to the Hub: check the network" in refused(TINY, tmp_path)


def test_the_command_line(served: LoopbackHub, tmp_path: Path) -> None:
    """HF_ENDPOINT and HF_HOME are those of its client; options are checked before weights are fetched."""
    served.served.clear()
    path = os.pathsep.join(filter(None, sys.path))
    home = {"HF_HUB_OFFLINE": "0", "HF_ENDPOINT": served.endpoint, "HF_HOME": str(tmp_path / "home")}

    def call(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "spatialspec", "generate", "a cat", "--seed", "0", "--model", TINY, *words],
            env={**os.environ, **home, "PYTHONPATH": path}, cwd=tmp_path, capture_output=True, text=True,
        )  # fmt: skip

    wrong = call("--temperature", "-1")
    assert wrong.returncode == 2 and "--temperature" in wrong.stderr
    assert served.served == [f"{TINY}/config.json"]
    drawn = call("--draft", DRAFTS, "--method", "hawk", "--out", "a.png")
    assert drawn.returncode == 0, drawn.stderr
    assert (tmp_path / "a.png").is_file() and f"{DRAFTS}/model.safetensors" in served.served
