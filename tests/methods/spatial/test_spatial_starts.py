"""Where new cells of `spatial` start: the law that is asked, one pass of a draft model, and what a tolerance keeps."""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import Tensor

from helpers.tiny import call_main, tiny_folder
from helpers.toys import Trial
from spatialspec.audit.grid_toy import GridToy
from spatialspec.core.context import DecodeContext
from spatialspec.core.noise import Noise
from spatialspec.core.proposal import ROOT, Proposal
from spatialspec.core.sampling import Sampling
from spatialspec.core.state import State
from spatialspec.core.step import Step
from spatialspec.decode import Image, decode
from spatialspec.methods.ar import AR
from spatialspec.methods.coupled import Coupled
from spatialspec.methods.hawk import HawkHeads
from spatialspec.methods.method import Method
from spatialspec.methods.network import DraftNetwork
from spatialspec.methods.spatial.drafter import Spatial, SpatialOptions
from spatialspec.methods.spatial_model.drafter import SpatialModel, SpatialModelOptions
from spatialspec.methods.spatial_model.network import SpatialNetwork

GUIDED = Sampling(guidance=2.0, temperature=0.9)
DRAFTED = ("hawk", "spatial-model")


@cache
def target() -> GridToy:
    return GridToy.random("5x4", 5, 0)


@cache
def drafts(start: str) -> DraftNetwork:
    """One head down and two to the right, or a network whose laws differ from cell to cell."""
    made = target().drafts(start, 1, 2)
    if isinstance(made, SpatialNetwork):
        for weight in made.parameters():
            weight.data *= 3
    if isinstance(made, HawkHeads):
        made.vertical.data = made.vertical.data[:1]
        made.config = type(made.config)(target().width, 2, 1)
    return made


class Watched(AR):
    """`spatial` beside a look at every proposal; what a draft knows is worked out anew from states and tokens."""

    def __init__(self, noise: Noise, rule: Coupled, settings: SpatialOptions) -> None:
        context = DecodeContext(target(), [drafts(settings.start)], GUIDED, target().grid, noise)
        self.noise, self.spatial = noise, Spatial(context, settings, rule)
        self.ranked = self.spatial.ranked
        self.states: list[Tensor] = []  # normed, of every cell
        self.model: SpatialModel | None = None
        if settings.start == "spatial-model":
            self.model = SpatialModel(context, SpatialModelOptions(), rule)
        self.winners: list[list[int]] = []  # what AR would take in every row of every pass
        self.guessed = self.copied = 0

    def law(self, cell: int, state: State, window: int) -> Tensor | None:
        """q of an open cell, None where there is none."""
        if self.model is not None:
            return self.model.distributions(state.frontier, window)[cell - state.frontier]
        heads, columns = drafts("hawk"), state.layout.columns
        assert isinstance(heads, HawkHeads)
        ahead = cell - state.frontier
        if ahead < 2:
            h, weight = self.states[-1], heads.horizontal[ahead]
        elif columns <= cell < state.frontier + columns:
            h, weight = self.states[cell - columns], heads.vertical[0]
        else:
            return None
        return GUIDED.distribution(target().output(h + torch.nn.functional.silu(h @ weight.T)))

    def propose(self, state: State) -> Proposal:
        memory = self.spatial.memory
        proposal = self.spatial.propose(state)
        window = min(self.spatial.options.main, state.layout.cells - state.frontier)
        written = list(state.tokens)
        assert proposal.placeholders == {i for i, cell in enumerate(proposal.cells) if cell not in memory}
        for i, (cell, token) in enumerate(zip(proposal.cells[:window], proposal.tokens, strict=False)):
            assert proposal.parents[i] == i - 1, "the main path comes first"
            if cell not in memory:
                q = self.law(cell, state, window)
                if q is None:
                    self.copied += 1
                    assert token == written[cell - 4 if cell >= 4 else cell - 1]
                else:
                    self.guessed += 1
                    order = (q.log() + self.noise.gumbel([cell])[0]).argsort(descending=True).tolist()
                    assert token == order[0]
                    beside = [t for t, up in zip(proposal.tokens, proposal.parents, strict=True) if up == i - 1]
                    assert beside == order[: len(beside)], "other candidates in their order"
            written.append(token)
        return proposal

    def observe(self, step: Step) -> None:
        self.winners.append(step.scores.winners)
        self.states += [target().norm(step.scores.hidden[:, slot]) for slot in step.verdict.slots()]
        for one in (self.spatial, self.model):
            if one is not None:
                one.observe(step)


def watch(settings: SpatialOptions, seed: int, tolerance: float = 0.0) -> tuple[Watched, list[Step]]:
    noise = Noise(seed, target().grid.cells, target().vocabulary)
    rule = Coupled(noise, tolerance)
    drafter = Watched(noise, rule, settings)
    image = Image(State(target().grid), drafter, rule, GUIDED)
    return drafter, list(decode(target().session([""], [""], GUIDED, target().grid), [image]))


@pytest.mark.parametrize("start", DRAFTED)
def test_new_cells_start_from_the_law_of_the_draft(start: str) -> None:
    """Best first, other candidates beside it; a cell without a law copies the one above, or to its left in row 0."""
    guessed = copied = 0
    for seed in range(6):
        drafter, _ = watch(SpatialOptions(budget=6, front=0.3, candidates=3, start=start), seed)
        guessed, copied = guessed + drafter.guessed, copied + drafter.copied
    assert guessed > 20 and (copied > 20) == (start == "hawk")


@pytest.mark.parametrize("start", DRAFTED)
def test_drafted_candidates_stand_beside_new_cells_at_the_front(start: str) -> None:
    """Behind the first token nothing is remembered, so the whole tree is drafted."""
    _, steps = watch(SpatialOptions(budget=64, front=0.5, candidates=3, start=start), 0)
    first = steps[1].proposal
    assert len(first.placeholders) == len(first) > 19 and first.cells[0] == 1
    assert sum(parent == ROOT for parent in first.parents) > 1
    assert any(cell == 2 and first.parents[i] != 0 for i, cell in enumerate(first.cells)), "and goes on behind them"


@pytest.mark.parametrize("start", DRAFTED)
def test_no_tolerance_keeps_a_start(start: str) -> None:
    """Every guess would do, but of starts only those that AR would take."""
    starts = others = 0
    for seed in range(4):
        drafter, steps = watch(SpatialOptions(budget=12, front=0.3, candidates=3, start=start), seed, math.inf)
        for step, winners in zip(steps, drafter.winners, strict=True):
            for row, node in zip((0, *(i + 1 for i in step.verdict.path)), step.verdict.path, strict=False):
                right = step.proposal.tokens[node] == winners[row]
                assert right or node not in step.proposal.placeholders
                starts, others = starts + (node in step.proposal.placeholders), others + (not right)
    assert starts and others, "the test has seen what it is for"


def test_one_pass_of_the_network_and_only_where_there_is_a_new_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    network = drafts("spatial-model")
    calls: list[int] = []
    honest = SpatialNetwork.forward
    monkeypatch.setattr(SpatialNetwork, "forward", lambda *a: calls.append(a[3].shape[-2]) or honest(*a))
    noise = Noise(0, 20, 5)
    context, rule = DecodeContext(target(), [network], GUIDED, target().grid, noise), Coupled(noise)
    settings = SpatialOptions(budget=8, front=0.0, candidates=3, start="spatial-model")
    image = Image(State(target().grid), Spatial(context, settings, rule), rule, GUIDED)
    wanted = []
    for step in decode(target().session([""], [""], GUIDED, target().grid), [image]):
        wanted += [len(step.proposal)] * bool(step.proposal.placeholders)
    assert calls == wanted and 0 < len(wanted) < image.state.passes - 1, "no tree: the proposal is the window"


@pytest.mark.parametrize("start", DRAFTED)
@pytest.mark.parametrize(
    "sampling", [Sampling(guidance=3.0, top_k=3, temperature=0.8), Sampling(temperature=0.0)], ids=str
)
def test_seed_identity_on_a_transformer(start: str, sampling: Sampling) -> None:
    """AR's tokens with caches and two streams, for three kinds of random drafts; also where q has no mass."""
    toy = GridToy.random("3x4", 4, 0)
    noises = [Noise(seed, 12, 4) for seed in range(6)]
    ar = Trial("ar", "coupled", sampling, toy).tokens(noises)
    for heads in range(3):
        method = f"spatial:start={start}:budget={(64, 9, 3)[heads]}:candidates={(32, 2, 4)[heads]}"
        assert (Trial(method, "coupled", sampling, toy, heads).tokens(noises) == ar).all()


def test_no_weights_is_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path / "tiny")
    asked = ["generate", "a cat", "--model", folder, "--out", tmp_path / "a.png", "--method"]
    code, _, err = call_main(capsys, *asked, "spatial:start=spatial-model")
    assert code == 2 and err.count("\n") == 1 and "got no spatial-model draft weights" in err
    code, _, err = call_main(capsys, *asked, "spatial:start=hawk", "--compare", "--json", tmp_path / "a.json")
    assert (code, err) == (0, "") and '"same_tokens_as_ar": 1.0' in (tmp_path / "a.json").read_text()
    with pytest.raises(ValueError, match="expected one of copy, hawk, spatial-model"):
        Method.parse("spatial:start=above")
