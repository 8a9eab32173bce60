"""Emu3.5: BAAI's layout converted, and against transformers. Its authors' figures: `test_published_fixtures.py`."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoTokenizer, Qwen3ForCausalLM

from helpers.originals import RANKS, SPECIALS
from helpers.recipes import run_recipes
from helpers.tiny import call_main
from helpers.tiny_chameleon import CODES, random_vq
from helpers.tiny_emu35 import original_emu35, tiny_emu35
from helpers.tiny_lumina2 import original_movq, random_movq
from spatialspec import BadInput, SpatialPipeline
from spatialspec.core.grid import Grid
from spatialspec.core.sampling import Sampling
from spatialspec.targets import emu35
from spatialspec.targets.loading import load_target, wrap

GRID = Grid(3, 5)
BOV = len(RANKS) + len(SPECIALS) - CODES  # id of the first code, as in src/utils/logits_processor.py
OPENING = "<|image start|>3*5<|image token|>"
Call = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_emu35(tmp_path_factory.mktemp("emu35") / "emu35")


@pytest.fixture(scope="module")
def loaded(folder: Path) -> dict[str, Any]:
    """As a user loads them."""
    model = Qwen3ForCausalLM.from_pretrained(folder).eval()
    return {"model": model, "processor": AutoTokenizer.from_pretrained(folder)}


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Call:
    monkeypatch.chdir(tmp_path)
    return partial(call_main, capsys)


def test_the_command(call: Call) -> None:
    twin = original_emu35(Path("Emu3.5-Image"), Path("vision"))
    with pytest.raises(BadInput, match=r"convert Emu3\.5-Image OUT .*Emu3\.5-VisionTokenizer/model\.ckpt"):
        load_target(Path("Emu3.5-Image"))
    assert "expected --vq BAAI/Emu3.5-VisionTokenizer/model.ckpt" in call("convert", "Emu3.5-Image", "made")[2]
    code, out, err = call("convert", "Emu3.5-Image", "made", "--vq", "vision/model.ckpt")
    assert (code, err) == (0, "") and out.startswith("Emu3.5-Image is Emu3.5 in BAAI's own layout\n"), err
    made = Qwen3ForCausalLM.from_pretrained("made")
    assert all(torch.equal(made.state_dict()[name], tensor) for name, tensor in twin.state_dict().items())
    assert made.config.rms_norm_eps == 1e-5 and made.config.rope_parameters["rope_theta"] == 1e6
    vq = load_file("made/vq.safetensors")
    assert vq.keys() == random_vq().state_dict().keys()
    assert all(torch.equal(vq[name], tensor) for name, tensor in random_vq().state_dict().items())
    assert call("convert", "made", "again")[0] == 2, "it needs no converting"


def test_what_is_not_converted(call: Call) -> None:
    original_emu35(Path("image"), Path("vision"))
    torch.save(original_movq(random_movq()), "movqgan.ckpt")
    assert "expected Emu3.5's image decoder: give BAAI/" in call("convert", "image", "made", "--vq", "movqgan.ckpt")[2]
    whole = torch.load("vision/model.ckpt")["state_dict"]
    for name, change, said in (
        ("decoder.up.2.block.0.conv2.weight", None, "other tensors"),
        ("decoder.mid.attn_1.q.weight", torch.zeros(3), r"tensor decoder.mid.attn_1.q.weight: got (3,)"),
        ("decoder.conv_in.bias", torch.full_like(whole["decoder.conv_in.bias"], float("inf")), "not finite"),
    ):
        changed = {key: t for key, t in whole.items() if key != name} | ({} if change is None else {name: change})
        torch.save({"state_dict": changed}, "bad.ckpt")
        assert said in call("convert", "image", "made", "--vq", "bad.ckpt")[2]
    Path("image/emu3_vision_tokens.txt").unlink()
    assert "src/tokenizer_emu3_ibq of github.com" in call("convert", "image", "made", "--vq", "vision/model.ckpt")[2]
    assert not Path("made").exists()


def test_what_a_checkpoint_says(folder: Path) -> None:
    target: Any = load_target(folder)
    assert target.ids.tolist() == list(range(BOV, BOV + CODES)) and target.grid == Grid(55, 73)
    assert target.default == Sampling(guidance=5.0, top_k=5120) and target.patch == 4
    assert [target.words.tokenizer.id_to_token(i) for i in target.row_end] == ["<|extra_200|>"]


def test_prompts_are_those_of_the_published_script(folder: Path, loaded: dict[str, Any]) -> None:
    """With letters and accents composed, as its tokenizer does."""
    tokenizer, targets = loaded["processor"], (load_target(folder), wrap(**loaded))
    empty = f"<|extra_203|>You are a helpful assistant. USER:  ASSISTANT: <|extra_100|>{OPENING}"
    for words in ("a red apple", " {braces} 42\n", "re\u0301d"):
        text = f"<|extra_203|>You are a helpful assistant for t2i task. USER: {words} ASSISTANT: <|extra_100|>{OPENING}"
        expected = [tokenizer(one.replace("e\u0301", "\u00e9")).input_ids for one in (text, empty)]
        assert all(target.prompt_ids([words], [""], 2, GRID) == expected for target in targets)  # type: ignore[attr-defined]
    (_, negative) = targets[0].prompt_ids(["a"], ["fog"], 2, GRID)  # type: ignore[attr-defined]
    assert negative == tokenizer(empty.replace("USER: ", "USER: fog")).input_ids


@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_greedy_tokens_are_those_of_generate(folder: Path, loaded: dict[str, Any], guidance: float) -> None:
    """With its own guidance, which is of log-probabilities as the published one."""
    target: Any = load_target(folder)
    row, other = (torch.tensor([ids]) for ids in target.prompt_ids(["a red apple"], [""], 2, GRID))
    (eol,) = target.row_end

    def allowed(_: int, ids: Tensor) -> Any:
        return [eol] if (len(ids) - row.shape[1] + 1) % (GRID.columns + 1) == 0 else range(BOV, BOV + CODES)

    drawn = loaded["model"].generate(
        row, do_sample=False, max_new_tokens=GRID.rows * (GRID.columns + 1), pad_token_id=0,
        prefix_allowed_tokens_fn=allowed,
        **({} if guidance == 1 else {"guidance_scale": guidance, "negative_prompt_ids": other}),
    )  # fmt: skip
    expected = (drawn[0, row.shape[1] :].view(GRID.rows, -1)[:, :-1] - BOV).flatten().tolist()
    for method in ("ar", "spatial"):
        pipe, options = SpatialPipeline(target), {"temperature": 0.0, "guidance_scale": guidance, "top_k": 0}
        out = pipe("a red apple", size=GRID, method=method, **options)  # type: ignore[arg-type]
        assert out.tokens == [tuple(expected)] and len(set(expected)) > 3


def test_what_is_refused(folder: Path, loaded: dict[str, Any], tmp_path: Path) -> None:
    pipe = SpatialPipeline.from_pretrained(folder)
    for words in ("a cat <|extra_7|>", "<|visual token 000003|>"):
        with pytest.raises(BadInput, match="control token"):
            pipe(words, size=GRID)
    with pytest.raises(BadInput, match="got size 21x24, 525 tokens with row ends, expected fewer than 512"):
        pipe("a cat", size="21x24")
    with pytest.raises(BadInput, match=r"got no encoder of images.*--self-distil PROMPTS"):
        pipe.target.codes(torch.zeros(1, 16, 16, 3, dtype=torch.uint8))  # type: ignore[attr-defined]
    bare = tmp_path / "bare"
    shutil.copytree(folder, bare, ignore=shutil.ignore_patterns("vq.*"))
    with pytest.raises(BadInput, match=r"without an image decoder, expected .* it is a model of text, or was not conv"):
        load_target(bare)
    model = Qwen3ForCausalLM.from_pretrained(folder)
    model.resize_token_embeddings(BOV + CODES - 7)
    with pytest.raises(BadInput, match=f"got {CODES - 7} image tokens behind {BOV} of text, expected {CODES}"):
        wrap(model, loaded["processor"])
    loaded["model"].config.layer_types = ["full_attention", "sliding_attention"]
    with pytest.raises(BadInput, match="got layers with sliding_attention"):
        wrap(**loaded)
    loaded["model"].config.layer_types = ["full_attention"] * 2


def test_recipes_of_the_page(
    folder: Path, loaded: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(emu35, "USUAL", GRID)
    run_recipes("emu35", {"Emu3.5-Image": folder, "64x64": "3x5"}, loaded)
    assert (tmp_path / "dogs.png").stat().st_size > 0
