"""Training the spatial draft model: what windows see, that the loop sees the same, resuming, cost, configs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from helpers.lessons import common_target, corpus, equal, run
from helpers.passes import keep, pass_of
from helpers.tiny import call_main, tiny_folder
from spatialspec.core.context import DecodeContext
from spatialspec.core.noise import Noise
from spatialspec.core.proposal import Proposal
from spatialspec.core.sampling import Sampling
from spatialspec.core.state import State
from spatialspec.core.step import Step, Verdict
from spatialspec.decode import Image, decode
from spatialspec.drafts.features import Streamed
from spatialspec.drafts.recipes import make_recipe, read_config
from spatialspec.drafts.spatial_model import SpatialModelRecipe, SpatialModelTask, distributions, guesses
from spatialspec.drafts.teacher import streams
from spatialspec.drafts.windows import Windows
from spatialspec.methods.ar import AR
from spatialspec.methods.coupled import Coupled
from spatialspec.methods.spatial_model.config import SpatialModelConfig
from spatialspec.methods.spatial_model.drafter import SpatialModel, SpatialModelOptions
from spatialspec.methods.spatial_model.network import SpatialNetwork
from spatialspec.models import WEIGHTS
from spatialspec.targets.engine import Prompt
from spatialspec.targets.grid_engine import GridEngine
from spatialspec.targets.icons.transformer import GridTransformer, GridTransformerConfig
from spatialspec.targets.session import TargetSession

SMALL: dict[str, Any] = {"steps": 4, "batch": 4, "warmup": 1, "window": 9, "frontiers": 3, "rows": 1, "columns": 2}


def lesson(**settings: Any) -> SpatialModelTask:
    target, pictures = common_target(), corpus(6)
    recipe = SpatialModelRecipe(**SMALL | settings)
    features = Streamed(target, pictures, SpatialModelTask.layers(target, recipe))
    return SpatialModelTask(target, pictures, corpus(2, seed=2), features, recipe)


def grown(made: SpatialModelTask) -> SpatialNetwork:
    """A network whose layers are not the identity."""
    torch.manual_seed(3)
    network = made.build().requires_grad_(False)
    for layer in network.layers:
        torch.nn.init.normal_(layer.out.weight, std=0.3)
        torch.nn.init.normal_(layer.down.weight, std=0.3)
    return network


@pytest.mark.parametrize("attention", ["local", "global"])
@pytest.mark.parametrize("frontier", [1, 6, 14, 33])
def test_open_tokens_and_states_are_never_seen(attention: str, frontier: int) -> None:
    """Whatever stands at the frontier or behind it, the guesses are the same; what stands before it matters."""
    made = lesson(attention=attention)
    network, held = grown(made), made.held_out
    hidden, codes = streams(made.target, held.prompts, held.codes)[0], held.codes.long()
    windows = Windows.at(torch.full((2, 1), frontier), 9, 36)
    base = guesses(made.target, network, hidden, codes, windows)[:, windows.inside[0]]
    for first, same in ((frontier, True), (frontier - 1, False)):
        other, tokens = hidden.clone(), codes.clone()
        other[:, first:] += torch.randn(other[:, first:].shape)
        tokens[:, first:] = (tokens[:, first:] + 1) % 64
        again = guesses(made.target, network, other, tokens, windows)[:, windows.inside[0]]
        assert torch.equal(again, base) == same


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"attention": "global"},
        {"positions": "1-d"},
        {"directions": "vertical"},
        {"features": 2},
        {"vocabulary": 40},
    ],
)
def test_the_loop_sees_what_the_training_saw(settings: dict[str, Any]) -> None:
    """The drafter's distributions while AR draws are those of the lesson, at every frontier, on both streams."""
    made = lesson(**settings)
    network, target = grown(made), made.target
    noise = Noise(3, 36, target.vocabulary)
    rule = Coupled(noise)
    context = DecodeContext(target, [network], target.default, target.grid, noise)
    model = SpatialModel(context, SpatialModelOptions(), rule)
    seen: list[torch.Tensor] = []

    class Onlooker(AR):
        layers = model.layers

        def observe(self, step: Step) -> None:
            model.observe(step)
            if step.before.frontier < 35:
                seen.append(model.distributions(step.after.frontier, min(9, 35 - step.before.frontier)))

    image = Image(State(target.grid), Onlooker(), rule, target.default)
    for _ in decode(target.session(["a cat"], [""], target.default, target.grid), [image]):
        pass
    codes = torch.tensor([image.state.tokens])
    windows = Windows.at(torch.arange(1, 36)[None], 9, 36)
    hidden = streams(target, ["a cat"], codes, layers=model.layers)
    found = distributions(target, network, target.default, hidden, codes, windows)[0, windows.inside[0]]
    torch.testing.assert_close(torch.cat(seen), found, rtol=0, atol=1e-5)
    assert found.max() > 0.1 and (found[0] - found[-1]).abs().max() > 1e-3, "distributions that could be told apart"


@pytest.mark.parametrize("objective", ["cross-entropy", "kl", "total-variation", "features"])
@pytest.mark.parametrize("settings", [{}, {"features": 2, "vocabulary": 40}], ids=str)
def test_a_batch_is_the_mean_of_its_pictures(objective: str, settings: dict[str, int]) -> None:
    """So that any number of processes has one gradient, also where the last windows are cut."""
    made = lesson(objective=objective, window=30, **settings)
    network, chosen, lots = grown(made), torch.tensor([0, 3, 1, 5]), torch.tensor([0.9, 0.05, 0.3, 0.77]).double()
    whole = made.loss(network, made.batch(chosen, lots))
    parts = [made.loss(network, made.batch(chosen[i : i + 1], lots[i : i + 1])) for i in range(4)]
    assert whole.item() == pytest.approx(torch.stack(parts).mean().item(), rel=1e-5)
    assert len({round(part.item(), 4) for part in parts}) == 4
    network.requires_grad_(True)
    made.loss(network, made.batch(chosen, lots)).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() and p.grad.any() for p in network.parameters())


def test_stopped_in_the_middle_it_goes_on_to_the_same(tmp_path: Path) -> None:
    settings = {"steps": 5, "save_every": 2, "evaluate_every": 5, "peak_rate": 1e-2}
    whole, best = run(lesson(**settings), tmp_path / "whole")
    broken, calls, honest = lesson(**settings), [], SpatialModelTask.loss

    def loss(*arguments: Any) -> torch.Tensor:
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return honest(broken, *arguments)

    broken.loss = loss  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        run(broken, tmp_path / "half")
    said: list[str] = []
    again, found = run(lesson(**settings), tmp_path / "half", said.append)
    assert "resuming at step 2/5" in said and equal(again, whole) and found.figures == best.figures
    assert best.before is not None and best.figures is not None and best.figures["window"] > best.before["window"]
    other, _ = run(lesson(**settings, drop=0.9), tmp_path / "drop")
    assert not equal(other, whole), "dropping captions changes what is learned"


def test_a_pass_costs_at_most_35_percent_of_the_targets() -> None:
    """Multiply-adds at the sizes of `icons`: 32 open cells and 8 cells read, both streams, half of an image there."""
    sizes = json.loads((WEIGHTS / "icons" / "config.json").read_text())["transformer"]
    model = GridTransformer(GridTransformerConfig(**sizes)).eval().requires_grad_(False)
    config = SpatialModelConfig(model.config.width)
    network = SpatialNetwork(config).eval().requires_grad_(False)
    print(f"{sum(p.numel() for p in network.parameters()) / 1e6:.2f} M parameters")
    assert sum(p.numel() for p in network.parameters()) < 0.15 * sum(p.numel() for p in model.parameters())
    grid, half = common_target().grid.parse("24x24"), 288
    engine = GridEngine()
    engine.model = model
    prompt = Prompt(list(torch.randn(2, model.config.prefix, model.config.width)), grid)
    session = TargetSession(engine, [prompt])
    state, written, verdict = State(grid), Proposal.chain(0, [0] * half, final=True), Verdict(tuple(range(half)))
    (scores,) = session.score([state], [written])
    after = keep(session, 0, state, written, verdict)

    class Head:
        norm, output, embed = model.norm, model.output, model.code_embedding

    noise = Noise(0, grid.cells, model.config.codes)
    context = DecodeContext(Head, [network], Sampling(guidance=2.5), grid, noise)  # type: ignore[arg-type]
    drafter = SpatialModel(context, SpatialModelOptions(), Coupled(noise))
    drafter.observe(pass_of(state, written, verdict, scores=scores))
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as target_cost:  # it does not count the others
        (scores,) = session.score([after], [Proposal.chain(half, [0] * 31)])
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as draft_cost:
        drafter.observe(pass_of(after, Proposal.chain(half, [0] * 7), Verdict(tuple(range(7)), 0), scores=scores))
        drafter.distributions(half + 8, 32)
    share = draft_cost.get_total_flops() / target_cost.get_total_flops()
    print(f"{share:.1%} of the target's multiply-adds")
    assert 0.1 < share <= 0.35


def test_shipped_ablations_differ_in_what_they_say() -> None:
    plain = make_recipe(SpatialModelRecipe, {k: v for k, v in read_config("spatial-model").items() if k != "drafter"})
    for name, change in {
        "1d": {"positions": "1-d"},
        "global": {"attention": "global"},
        "horizontal": {"directions": "horizontal"},
        "vertical": {"directions": "vertical"},
        "no-guidance-dropout": {"drop": 0.0},
        "multi-layer": {"features": 3},
        "reduced": {"vocabulary": 512},
    }.items():
        settings = read_config(f"spatial-model-{name}")
        assert settings.pop("drafter") == "spatial-model"
        assert vars(make_recipe(SpatialModelRecipe, settings)) == vars(plain) | change


def test_from_the_command_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Two steps on images that the target draws, a card, an image that is AR's."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    tiny_folder(Path("target"))
    Path("prompts.txt").write_text("a cat\na dog\nred apple\n")
    Path("mine.yaml").write_text("drafter: spatial-model\nwindow: 12\nfrontiers: 2\nobjective: kl\n")
    options = ["--config", "mine.yaml", "--self-distil", "prompts.txt", "--steps", 2, "--batch", 2, "--out", "made"]
    code, out, err = call_main(capsys, "train", "draft", "--target", "target", *options)
    assert (code, err) == (0, "") and "wrote made" in out
    card = Path("made/README.md").read_text()
    for part in ("guided, right 2, coupled", "accepted probability, down 1", "2-d positions", "objective kl"):
        assert part in card, part
    assert json.loads(Path("made/config.json").read_text())["speculators_config"]["algorithm"] == "spatial-model"
    asked = [
        "a cat",
        "--model",
        "target",
        "--draft",
        "made",
        "--method",
        "spatial-model",
        "--compare",
        "--json",
        "a.json",
    ]
    code, _, err = call_main(capsys, "generate", *asked, "--out", "a.png")
    assert (code, err) == (0, ""), err
    assert json.loads(Path("a.json").read_text())["methods"][1]["same_tokens_as_ar"] == 1
    code, _, err = call_main(capsys, "train", "draft", "--target", "target", *options, "--horizontal", 2)
    assert code == 2 and "got setting 'horizontal', expected one of steps" in err
