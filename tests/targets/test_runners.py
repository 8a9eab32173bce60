"""Passes of fixed shapes, replayed and compiled: the tokens of passes that are run as they come, for every family."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import pytest
import torch
from torch import nn
from torch.fx import GraphModule

from helpers.covering import covering
from helpers.operators import counted
from helpers.passes import keep
from helpers.real_targets import MAKES, random_drafts
from helpers.replays import replayed
from spatialspec import BadInput, Grid
from spatialspec.core.interfaces import Target
from spatialspec.core.proposal import Proposal
from spatialspec.core.state import State
from spatialspec.core.step import Verdict
from spatialspec.decode import decode
from spatialspec.generation import assemble, generate
from spatialspec.methods.method import Method
from spatialspec.request import Request
from spatialspec.targets.loading import load_target
from spatialspec.targets.passes import Results
from spatialspec.targets.runners import Compiled, Padded, Runner, runner
from spatialspec.targets.session import TargetSession
from spatialspec.targets.shape import Shape

METHODS = ("ar", "jacobi:length=6", "spatial:budget=10", "hawk", "sjd:length=6", "scd:length=6", "sjd-pac", "ssd")
ALIKE = ("lumina", "lumina2", "emu35", "captions")  # their layers are those of other kinds
COMPILED = [pytest.param(kind, marks=[pytest.mark.long] * (kind in ALIKE)) for kind in MAKES]
Kind = tuple[Target, Sequence[nn.Module], Grid, tuple[str, str]]


@pytest.fixture(scope="module", params=MAKES)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Kind:
    kind = MAKES[request.param]
    target = load_target(kind.make(tmp_path_factory.mktemp("runners") / request.param))
    grid = target.grid if kind.size is None else Grid.parse(kind.size)
    return target, random_drafts(target), grid, kind.prompts


def tokens(made: Kind, method: str, how: Runner, times: int = 1) -> list[list[tuple[int, ...]]]:
    target, drafts, grid, prompts = made
    target.runner = how  # type: ignore[attr-defined]
    request = Request(prompts, [3, 4], target.default, grid)
    return [generate(target, drafts, Method.parse(method), request)[0] for _ in range(times)]


@pytest.mark.parametrize(("made", "method"), covering(MAKES, METHODS, 4), indirect=["made"])
def test_tokens_of_replayed_passes(made: Kind, method: str) -> None:
    """Two images, twice with the same buffers: bit for bit those of passes padded alike, and those run as they come."""
    (plain,), padded = tokens(made, method, Runner()), tokens(made, method, Padded())
    twice = tokens(made, method, replayed(), 2)
    assert padded == [plain] and twice == [plain, plain]


@pytest.mark.parametrize(
    "made", [pytest.param(k, marks=[pytest.mark.long] * (k in ALIKE)) for k in MAKES], indirect=True
)
def test_a_pass_compiles_whole(made: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    """No break in the graph, and one graph for every shape: a second one would raise."""
    graphs: list[GraphModule] = []

    def backend(graph: GraphModule, inputs: list[torch.Tensor]) -> Callable[..., object]:
        graphs.append(graph)
        return graph.forward

    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=backend))
    torch._dynamo.reset()
    how, shapes = Compiled(), set[Shape]()
    fit = how.fit
    monkeypatch.setattr(how, "fit", lambda *needed: shapes.add(fit(*needed)) or fit(*needed))
    (expected,), (compiled,) = tokens(made, "ar", Runner()), tokens(made, "spatial:budget=7", how)
    assert compiled == expected and len(graphs) == sum(not shape.prompt for shape in shapes) > 0


def test_buffers_stay_in_their_place(made: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    """From pass to pass, and nothing of the size of the cache is allocated."""
    target, drafts, grid, prompts = made
    target.runner = Padded()  # type: ignore[attr-defined]
    request = Request(prompts[:1], [3], target.default, grid)
    session, images = request.session(target), assemble(target, drafts, Method.parse("spatial:budget=10"), request)
    assert isinstance(session, TargetSession)
    passes, places, largest = decode(session, images), set(), 0
    next(passes)
    with counted(monkeypatch) as operators:
        for _ in passes:
            session.inbox.fields({"tokens": ("int", (1,))})
            places.add((*session.cache.places(), session.noise.table.data_ptr(), session.inbox._copy.data_ptr()))
    largest = max(operators.largest.values())
    (store,) = session.cache._stores.values()
    assert len(places) == 1 and largest < store.numel()


def replays(made: Kind, how: Runner) -> list[torch.Tensor]:
    """States of three passes behind the first two, with tokens 1, 2 and 1."""
    target, _, grid, prompts = made
    target.runner = how  # type: ignore[attr-defined]
    session = Request(prompts[:1], [0], target.default, grid).session(target)
    state, written = State(target.layout(grid)), Proposal.chain(0, [0, 1], final=True)
    session.score([state], [written])
    state = keep(session, 0, state, written, Verdict.all(written))
    session.score([state], [Proposal.chain(2, [0])])  # moves slots to where the padding of a prompt was
    return [session.score([state], [Proposal.chain(2, [token])])[0].hidden for token in (1, 2, 1)]


def test_a_replay_reads_what_is_in_the_buffers(made: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    """Called again on the same buffers, with other contents, a pass has the bits of one that is run by itself."""
    alone, again = replays(made, Padded()), replays(made, replayed())
    assert all(map(torch.equal, alone, again))
    assert torch.equal(alone[0], alone[2]) and not torch.equal(alone[0], alone[1])
    monkeypatch.setattr(Results, "copied", lambda self: self)
    assert torch.equal(*replays(made, replayed())[1:]), "planted: results that the next replay overwrites"


@pytest.mark.parametrize("made", ["emu3"], indirect=True)
def test_moved_weights_are_captured_again(made: Kind) -> None:
    """A graph reads weights where they were. (`replayed` would read the new ones: captures are counted.)"""
    how = replayed()
    (first,) = tokens(made, "ar", how)
    captures = how.captures
    assert tokens(made, "ar", how) == [first] and how.captures == captures > 0
    weight = next(made[0].networks[0].parameters())  # type: ignore[attr-defined]
    weight.data = weight.data.clone()
    assert tokens(made, "ar", how) == [first] and how.captures == 2 * captures


def test_names() -> None:
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    assert type(runner("auto", {cpu})) is type(runner("eager", {cuda})) is Runner
    assert isinstance(runner("compiled", {cpu}), Compiled)
    for name, devices, words in (
        ("fast", {cpu}, "auto, eager, captured, compiled"),
        ("captured", {cpu}, "a CUDA device"),
        ("compiled", {cpu, torch.device("meta")}, "one device"),
    ):
        with pytest.raises(BadInput, match=words):
            runner(name, devices)


@pytest.mark.slow
@pytest.mark.parametrize("made", ["emu3"], indirect=True)
def test_with_the_default_compiler(made: Kind) -> None:
    torch._dynamo.reset()
    (expected,), (compiled,) = tokens(made, "ar", Runner()), tokens(made, "spatial:budget=7", Compiled())
    assert compiled == expected
