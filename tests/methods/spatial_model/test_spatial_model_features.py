"""Multi-layer features: states after earlier blocks reach the drafter, in training and in the loop."""

from __future__ import annotations

import json
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from helpers import llamagen_tiny
from helpers.language import Toy
from helpers.lessons import common_target, corpus
from helpers.passes import keep
from helpers.sessions import model, session_of, texts
from helpers.tiny import call_main, tiny_folder
from helpers.toys import ToyTarget, Trial
from spatialspec.audit.grid_toy import GridToy
from spatialspec.core.context import DecodeContext
from spatialspec.core.grid import Grid
from spatialspec.core.noise import Noise
from spatialspec.core.proposal import Proposal
from spatialspec.core.sampling import Sampling
from spatialspec.core.state import State
from spatialspec.core.step import Verdict
from spatialspec.decode import Image, decode
from spatialspec.drafts.features import Prepared, Streamed
from spatialspec.drafts.teacher import _one_pass, states
from spatialspec.methods.coupled import Coupled
from spatialspec.methods.method import Method
from spatialspec.methods.spatial_model.config import SpatialModelConfig
from spatialspec.methods.spatial_model.drafter import SpatialModel, SpatialModelOptions
from spatialspec.methods.spatial_model.network import SpatialNetwork
from spatialspec.targets.icons.transformer import GridTransformer
from spatialspec.targets.llamagen.target import LlamaGenTarget
from spatialspec.targets.runners import Padded, Runner

CLOSE = {"atol": 1e-5, "rtol": 0.0}
GUIDED = Sampling(guidance=2.0, temperature=0.9)


@contextmanager
def outputs(block: nn.Module):
    """What a block puts out, call by call."""
    seen: list[Tensor] = []
    hook = block.register_forward_hook(
        lambda module, inputs, out: seen.append(out[0] if isinstance(out, tuple) else out)
    )
    yield seen
    hook.remove()


def test_a_grid_transformer_hands_out_states_of_its_blocks() -> None:
    """Teacher forcing as hooks see it; the session: prompt, pending token, chain, a pass that nobody asks in."""
    codes = torch.randint(13, (1, 12), generator=torch.Generator().manual_seed(2))
    tokens = codes[0].tolist()
    with outputs(model().blocks[0]) as low, outputs(model().blocks[1]) as middle:
        plain = model().teacher_forced(texts(3)[2:3], codes, 3, 4)
    expected = {1: low[0][0, 4:], 2: middle[0][0, 4:]}  # a prefix of 5 slots
    joined = model().teacher_forced(texts(3)[2:3], codes, 3, 4, layers=(2, 1))
    assert torch.equal(joined[0], torch.cat((expected[2], expected[1], plain[0]), dim=-1))
    session, states = session_of("3x4", [1, 1]), [State(Grid(3, 4))] * 2
    for first, last, layers in ((0, 4, (1,)), (5, 7, ()), (8, 12, (2, 1))):
        chain = Proposal.chain(first, tokens[first:last])
        for scores in session.score(tuple(states), [chain] * 2, layers):
            assert set(scores.layers) == set(layers)
            for layer, found in scores.layers.items():
                count = min(last - first + 1, 12 - first)
                torch.testing.assert_close(found[0, :count], expected[layer][first : first + count], **CLOSE)
                assert found.shape == scores.hidden.shape and (found[0] - found[1]).abs().max() > 1e-3, "two streams"
        verdict = Verdict(tuple(range(last - first)), tokens[last] if last < 12 else None)
        states = [keep(session, index, state, chain, verdict) for index, state in enumerate(states)]


def test_nobody_asks_nothing_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Any] = []
    honest = GridTransformer.forward
    monkeypatch.setattr(GridTransformer, "forward", lambda *a: given.append(a[3]) or honest(*a))
    toy = GridToy.random("3x4", 4, 0)
    Trial("spatial", "coupled", GUIDED, toy).tokens([Noise(0, 12, 4)])
    assert given and not any(isinstance(states, list) for states in given)


@pytest.mark.parametrize("runner", [Runner, Padded])
@pytest.mark.parametrize(("kind", "forced"), [("llama", 0), ("emu3", 1), ("chameleon", 2)])
def test_language_models_hand_out_states_of_their_blocks(kind: str, forced: int, runner: type[Runner]) -> None:
    """Row ends in between; the reference reads the whole sequence, without a cache."""
    toy, grid, tokens = Toy(kind), Grid(2, 3), [3, 1, 4, 1, 5, 9]
    toy.runner = runner()
    session, state = toy.session(grid, [0, 1], forced), State(grid)
    for first, last in ((0, 2), (3, 6)):
        chain = Proposal.chain(first, tokens[first:last])
        assert not session.score([state] * 2, [chain] * 2)[0].layers, "nobody asks"
        scores, _ = session.score([state] * 2, [chain] * 2, (1,))
        assert set(scores.layers) == {1}
        for row in range(min(last - first + 1, 6 - first)):
            for stream in range(2):
                with outputs(toy.model.layers[0]) as seen:
                    sequence = toy.sequence(stream, tuple(tokens[: first + row]), grid, forced)
                    toy.model(inputs_embeds=sequence[None], use_cache=False)
                torch.testing.assert_close(scores.layers[1][stream, row], seen[0][0, -1], **CLOSE)
        verdict = Verdict(tuple(range(last - first)), tokens[last] if last < 6 else None)
        after = keep(session, 0, state, chain, verdict)
        assert keep(session, 1, state, chain, verdict) == after
        state = after


def test_llamagen_hands_out_states_of_its_blocks(tmp_path: Path) -> None:
    target = LlamaGenTarget.from_folder(llamagen_tiny.tiny_folder(tmp_path, "class"))
    codes = torch.randint(64, (2, 36), generator=torch.Generator().manual_seed(1))
    with outputs(target.model.layers[0]) as seen:
        found = states(target, ["3", "7"], codes, torch.tensor([False, False]), (1,))
    assert target.depth == 2 and found.shape == (2, 36, 64)
    torch.testing.assert_close(found[..., :32], seen[0], **CLOSE)


def test_both_paths_of_the_teacher_join_the_same_states() -> None:
    target, pictures, dropped = common_target(), corpus(3), torch.tensor([False, True, False])
    direct = states(target, pictures.prompts, pictures.codes, dropped, (1,))
    both = _one_pass(target, pictures.prompts, pictures.codes, 2, (1,))
    torch.testing.assert_close(torch.where(dropped[:, None, None], both[1], both[0]), direct, **CLOSE)
    assert torch.equal(direct[..., 32:], states(target, pictures.prompts, pictures.codes, dropped))


def test_states_from_files_are_the_streamed_ones(tmp_path: Path) -> None:
    """Files of one choice of blocks are not taken for another."""
    target, pictures, pairs = common_target(), corpus(3), {(0, False), (1, True), (2, False)}
    chosen, dropped = torch.tensor([2, 1]), torch.tensor([False, True])
    for blocks in ((), (1,)):
        made = Prepared(target, pictures, pairs, tmp_path, 4, lambda line: None, layers=blocks)
        found = made(chosen, dropped)
        torch.testing.assert_close(found, Streamed(target, pictures, blocks)(chosen, dropped), **CLOSE)
        assert found.shape[-1] == 32 * (1 + len(blocks))


def test_which_blocks() -> None:
    def of(features: int) -> SpatialModelConfig:
        return SpatialModelConfig(16, features=features)

    assert of(1).layers_read(6) == of(1).layers_read(1) == ()
    assert (of(2).layers_read(6), of(3).layers_read(6), of(3).layers_read(24)) == ((3,), (2, 4), (8, 16))
    assert of(4).layers_read(4) == (1, 2, 3) and of(3).layers_read(7) == (2, 4)
    with pytest.raises(ValueError, match="got features 3, expected at most 2"):
        of(3).layers_read(2)
    with pytest.raises(ValueError, match="got features 0, expected 1 to 16"):
        of(0)


def test_every_state_has_its_own_scale() -> None:
    torch.manual_seed(0)
    network = SpatialNetwork(SpatialModelConfig(16, features=3)).requires_grad_(False)
    hidden, embedding = torch.randn(1, 5, 48), torch.randn(1, 5, 16)
    rotation = network.config.rotation(torch.arange(5), 3)
    base = network.read(hidden, embedding, rotation)
    loud, other = hidden.clone(), hidden.clone()
    loud[..., :16] *= 100
    other[..., :16] = torch.randn(1, 5, 16)
    torch.testing.assert_close(network.read(loud, embedding, rotation), base, atol=1e-4, rtol=0)
    assert (network.read(other, embedding, rotation) - base).abs().max() > 0.1, "all of them are read"


def test_weights_from_before_the_options_load() -> None:
    made = SpatialNetwork(SpatialModelConfig(width=16, layers=1, head_width=64, expansion=2, rows=3))
    layer = ("attention_norm", "query", "key_value", "query_norm", "key_norm", "out", "mlp_norm", "gate_up", "down")
    names = {"open", *(f"{name}.weight" for name in ("state_norm", "token_norm", "read_in"))}
    assert made.state_dict().keys() == names | {f"layers.0.{name}.weight" for name in layer}
    assert made.state_dict()["read_in.weight"].shape == (16, 32)


@pytest.mark.parametrize("method", ["spatial-model", "spatial:start=spatial-model"])
@pytest.mark.parametrize("written", [0, 5])
def test_seed_identity(method: str, written: int) -> None:
    """AR's tokens with guidance; also where an earlier run has written some, whose states are asked for as well."""
    toy, noises = GridToy.random("3x4", 4, 0), [Noise(seed, 12, 4) for seed in range(6)]
    ar = Trial("ar", "coupled", GUIDED, toy).tokens(noises).tolist()
    torch.manual_seed(1)
    network = SpatialNetwork(SpatialModelConfig(toy.width, rows=1, features=2)).requires_grad_(False)
    for weight in network.parameters():
        nn.init.normal_(weight, std=0.5)
    images = []
    for noise, tokens in zip(noises, ar, strict=True):
        context = DecodeContext(toy, [network], GUIDED, toy.grid, noise)
        images.append(Image(State(toy.grid), *Method.parse(method).make(context, "coupled"), GUIDED, tokens[:written]))
    read = {tuple(step.scores.layers) for step in decode(toy.session([""] * 6, [""] * 6, GUIDED, toy.grid), images)}
    assert [list(image.state.tokens) for image in images] == ar and read == {(1,)}


def test_a_target_that_hands_out_the_last_states_only() -> None:
    toy = ToyTarget.random("3x2", 4, 1)
    context = DecodeContext(toy, [SpatialNetwork(SpatialModelConfig(8, features=2))], GUIDED, toy.grid, Noise(0, 6, 4))
    with pytest.raises(ValueError, match="got features 2, expected at most 1, the layers whose states this target"):
        SpatialModel(context, SpatialModelOptions(), Coupled(Noise(0, 6, 4)))


def test_from_the_command_line(capsys: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """More features than blocks are refused before a picture is drawn; fewer make drafts that draw AR's picture."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    tiny_folder(Path("target"))
    Path("prompts.txt").write_text("a cat\na dog\nred apple\n")
    call = partial(call_main, capsys)
    asked = ["train", "draft", "--target", "target", "--self-distil", "prompts.txt", "--steps", 1, "--batch", 1]
    for name, features in (("many", 3), ("two", 2)):
        Path(f"{name}.yaml").write_text(f"drafter: spatial-model\nwindow: 9\nfeatures: {features}\n")
    code, _, err = call(*asked, "--config", "many.yaml", "--out", "many")
    assert code == 2 and err.count("\n") == 1 and "got features 3, expected at most 2" in err
    assert not list(Path("many").rglob("*.safetensors"))
    code, _, err = call(*asked, "--config", "two.yaml", "--out", "two", "--features", "files")
    assert (code, err) == (0, "") and "features 2" in Path("two/README.md").read_text()
    drawn = ["generate", "a cat", "--model", "target", "--draft", "two", "--compare", "--json", "a.json"]
    code, _, err = call(*drawn, "--out", "a.png", "--method", "spatial-model")
    assert (code, err) == (0, "") and json.loads(Path("a.json").read_text())["methods"][1]["same_tokens_as_ar"] == 1
