"""Tar's AR-DTok: a dense re-implementation of it and of TA-Tok's decoder, the converter, and what is refused."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor

from helpers.llamagen_tiny import CODES, HEADS, SIDE, reference, transformer_tensors
from helpers.recipes import run_recipes
from helpers.tiny import call_main
from helpers.tiny_tar import PROMPTS, siglip, tatok_tensors, tiny_tar, write_tar
from spatialspec import BadInput, Grid, SpatialPipeline
from spatialspec.core.proposal import Proposal
from spatialspec.core.sampling import Sampling
from spatialspec.core.state import State
from spatialspec.targets.llamagen.codes import CodeCondition, codes_of
from spatialspec.targets.llamagen.target import LlamaGenTarget

CLOSE = {"atol": 1e-5, "rtol": 0.0}
GRID = Grid(SIDE, SIDE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_tar(tmp_path_factory.mktemp("tar"))


def target_of(folder: Path) -> LlamaGenTarget:
    target = SpatialPipeline.from_pretrained(folder).target
    assert isinstance(target, LlamaGenTarget) and isinstance(target.prompts, CodeCondition)
    return target


@torch.no_grad()
def features(codes: list[int], normalised: bool) -> Tensor:
    """TA-Tok's, step by step; the transformer is that of transformers, as in the published code."""
    t = tatok_tensors()
    z = F.linear(
        t["bottleneck.regularizer.embedding.weight"],
        t["bottleneck.regularizer.embedding_proj.weight"],
        t["bottleneck.regularizer.embedding_proj.bias"],
    )[codes]
    z = z / z.norm(dim=-1, keepdim=True) if normalised else z
    z = z @ t["bottleneck.out_linear.weight"].T + t["bottleneck.out_linear.bias"]
    side = int(len(codes) ** 0.5)
    x = siglip()(z[None], torch.ones(1, len(codes)), torch.tensor([[side, side]])).last_hidden_state[0]
    x = torch.tanh(x @ t["decode_task_layer.0.weight"].T + t["decode_task_layer.0.bias"])
    return x @ t["decode_task_layer.2.weight"].T + t["decode_task_layer.2.bias"]


def expected(prompt: str, tokens: list[int]) -> Tensor:
    """Logits (2, tokens + 1, V) of both streams."""
    t, condition = transformer_tensors("codes"), features(codes_of(prompt), True)
    prefixes = [c @ t["clip_proj.weight"].T + t["clip_proj.bias"] for c in (condition, torch.zeros_like(condition))]
    seen = torch.ones(len(condition), dtype=torch.bool)
    return torch.stack([reference(t, prefix, seen, tokens, SIDE) for prefix in prefixes])


@pytest.mark.parametrize("images", [(0,), (0, 1)], ids=str)
def test_one_pass_equals_the_dense_model(folder: Path, images: tuple[int, ...]) -> None:
    """Prompts of nine and of four codes side by side: cells have other positions behind each."""
    target, draw = target_of(folder), random.Random(1)
    session = target.session([PROMPTS[i] for i in images], [""] * len(images), target.default, GRID)
    tokens = [[draw.randrange(CODES) for _ in range(GRID.cells - 1)] for _ in images]
    scored = session.score([State(GRID)] * len(images), [Proposal.chain(0, row) for row in tokens])
    for image, row, scores in zip(images, tokens, scored, strict=True):
        want = expected(PROMPTS[image], row)
        assert want.std() > 0.5, "flat logits would hide every mistake"
        torch.testing.assert_close(scores.logits, want, **CLOSE)


@pytest.mark.parametrize("normalised", [True, False])
def test_features_are_those_of_the_tokenizer(tmp_path: Path, normalised: bool) -> None:
    decoder = target_of(tiny_tar(tmp_path, normalised)).prompts.decoder  # type: ignore[union-attr]
    for prompt in PROMPTS:
        got = decoder(torch.tensor(codes_of(prompt))).detach()
        torch.testing.assert_close(got, features(codes_of(prompt), normalised), **CLOSE)


def test_the_sampling_is_the_published_one(folder: Path) -> None:
    assert target_of(folder).default == Sampling(guidance=4.0, temperature=1.0, top_k=0, top_p=1.0)


def test_exact_methods_in_bf16_and_from_a_saved_folder(folder: Path, tmp_path: Path) -> None:
    pipe = SpatialPipeline.from_pretrained(folder)
    ar = pipe(list(PROMPTS), method="ar", seed=3)
    assert len(set(ar.tokens)) == 2 and pipe(list(PROMPTS), method="spatial", seed=3).tokens == ar.tokens
    pipe.save_pretrained(tmp_path / "again")
    again = SpatialPipeline.from_pretrained(tmp_path / "again")
    assert again(list(PROMPTS), method="ar", seed=3).tokens == ar.tokens
    half = again.to(dtype="bf16")
    assert half.target.prompts.decoder.embedding.weight.dtype == torch.float32  # type: ignore[attr-defined]
    assert len(half(PROMPTS[0], seed=0, method="jacobi").tokens[0]) == GRID.cells


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ("a red apple", r"got a prompt of 0 codes \('a red apple'\), expected a square number up to 12 of codes"),
        ("<I1><I2>", "got a prompt of 2 codes"),
        ("<I1>" * 16, "got a prompt of 16 codes"),
        ("<I30>", "got code 30, expected codes below 30"),
    ],
)
def test_prompts_that_are_refused(folder: Path, prompt: str, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        SpatialPipeline.from_pretrained(folder)(prompt)


def test_other_grids_are_refused(folder: Path) -> None:
    with pytest.raises(BadInput, match="got size 3x3, expected 6x6, the only one of"):
        SpatialPipeline.from_pretrained(folder)(PROMPTS[0], size="3x3")


def test_the_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Two commands; before the second the folder says what it lacks."""
    monkeypatch.chdir(tmp_path)
    ar, tok, vq = write_tar(Path("published"))
    code, _, err = call_main(capsys, "convert", tok, "tar")
    assert code == 2 and "the folder of an AR-DTok" in err
    code, out, err = call_main(capsys, "convert", ar, "tar", "--vq", vq, "--heads", HEADS)
    assert (code, err) == (0, "") and "is Tar's AR-DTok" in out and "AR-DTok, codes-conditional" in out and "6x6" in out
    want, got = transformer_tensors("codes"), load_file("tar/transformer.safetensors")
    assert got.keys() == want.keys() and all(got[name].equal(want[name]) for name in want)
    with pytest.raises(BadInput, match=r"tatok.safetensors.*spatialspec convert csuhan/TA-Tok/ta_tok.pth FOLDER"):
        SpatialPipeline.from_pretrained("tar")
    code, out, err = call_main(capsys, "convert", tok, "tar")
    assert (code, err) == (0, "") and "is TA-Tok, Tar's tokenizer" in out
    code, out, err = call_main(capsys, "generate", PROMPTS[1], "--model", "tar", "--seed", 0, "--out", "a.png")
    assert code == 0 and Path("a.png").is_file(), err


def test_another_tokenizer_is_refused(folder: Path, tmp_path: Path) -> None:
    target = target_of(folder)
    target.save(tmp_path)
    path = tmp_path / "tatok.safetensors"
    save_file({name: t for name, t in load_file(path).items() if "layers.1.mlp.fc2" not in name}, path)
    with pytest.raises(BadInput, match=r"layers.1.mlp.fc2"):
        SpatialPipeline.from_pretrained(tmp_path)


def test_the_recipes_of_the_page(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run_recipes("tar", {"tar-512": folder}, {"prompt": PROMPTS[1]})
    assert (tmp_path / "macaw.png").is_file()
