"""How passes are run: as they come, captured as CUDA graphs, or compiled.

Captured and compiled passes have fixed shapes: they are padded to one of a few widths, see a multiple of 512 slots of
the cache, and commit up to a multiple of 32. A pass that reads a prompt is run as it comes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

import torch

from spatialspec.core.arguments import ENGINES
from spatialspec.core.errors import BadInput, shown
from spatialspec.core.grid import Layout
from spatialspec.targets.cache import Cache
from spatialspec.targets.draft_buffer import DraftBuffer
from spatialspec.targets.engine import Engine
from spatialspec.targets.inbox import Inbox
from spatialspec.targets.noise_buffer import NoiseBuffer
from spatialspec.targets.passes import PassCall, Results, run
from spatialspec.targets.shape import Shape
from spatialspec.targets.workspace import Workspace

WIDTHS = (1, 8, 16, 32, 64, 96, 128, 192, 256, 384, 512)  # slots of a pass; a wider one has a multiple of the last
SEEN = 512  # slots of the cache: attention sees a multiple
COMMITTED = 32  # slots of a pass that are moved: a multiple
WORDS = 1 << 16  # of an inbox that need not grow: of a pass of 128 slots in two streams

Replay = tuple[Callable[[], object], Results]  # runs a captured pass again, into these results
Replays = dict[tuple[Layout, Shape], Replay]  # over the same buffers
Places = tuple[int, ...]  # where these are in memory


class Runner:
    """Runs every pass as it comes: the reference, and what CPU and MPS run."""

    name = "eager"

    def workspace(self, engine: Engine, slots: int) -> Workspace:
        """Empty buffers for a session whose sequences have `slots` slots."""
        inbox, noise = Inbox(engine.device, WORDS), NoiseBuffer(engine.vocabulary, engine.device)
        return Workspace(engine.cache(slots), inbox, noise, DraftBuffer(engine.device))

    def release(self, workspace: Workspace) -> None:
        """A session is done with its buffers."""

    def fit(self, shape: Shape, cache: Cache, forced: bool) -> Shape:
        """The shape that a pass is run with.

        Args:
            shape: that it needs.
            cache: in which there is room made for a larger one.
            forced: whether any pass has forced tokens.
        """
        return shape

    def __call__(self, call: PassCall) -> Results:
        """See `passes.run`."""
        return run(call)


class Padded(Runner):
    """Runs passes with few different shapes; its buffers stay in their place from session to session."""

    name = "padded"

    def __init__(self) -> None:
        self._spare: list[Workspace] = []

    def workspace(self, engine: Engine, slots: int) -> Workspace:
        """See :class:`Runner`; a multiple of 512 slots, so that prompts of other lengths fit too."""
        slots = _up(slots, SEEN)
        for workspace in reversed(self._spare):  # the last one has most captured
            if workspace.cache.capacity >= slots:
                self._spare.remove(workspace)
                return workspace
        return super().workspace(engine, slots)

    def release(self, workspace: Workspace) -> None:
        """See :class:`Runner`."""
        workspace.clear()
        self._spare.append(workspace)

    def fit(self, shape: Shape, cache: Cache, forced: bool) -> Shape:
        """See :class:`Runner`."""
        if shape.prompt:
            return shape
        body = next((width for width in WIDTHS if width >= shape.body), _up(shape.body, WIDTHS[-1]))
        visible = min(_up(cache.room(body) + body, SEEN), cache.capacity)
        return shape._replace(
            body=body,
            outputs=body,
            start=None,
            visible=visible,
            moves=_up(max(shape.moves, 1), COMMITTED),
            causal=False,
            forced=forced,
            drafted=True,
        )


class Captured(Padded):
    """Captures every shape once and replays it.

    Args:
        capture: makes a :data:`Replay` of a function; by default a CUDA graph.

    Attributes:
        captures: passes that were captured so far, each time that one was.
    """

    name = "captured"

    def __init__(self, capture: Callable[[Callable[[], Results]], Replay] | None = None) -> None:
        super().__init__()
        self._capture = capture or _CudaGraphs()
        self.captures = 0
        self._replays: WeakKeyDictionary[Cache, tuple[Places, Replays]] = WeakKeyDictionary()
        self._weights: list[tuple[int, int]] = []

    def workspace(self, engine: Engine, slots: int) -> Workspace:
        """See the base. Passes are captured again if weights were moved or changed."""
        each = (weight for network in engine.networks for weight in network.parameters())
        weights = [(weight.data_ptr(), 0 if weight.is_inference() else weight._version) for weight in each]
        if weights != self._weights:
            self._replays.clear()
            self._weights = weights
        return super().workspace(engine, slots)

    def __call__(self, call: PassCall) -> Results:
        """See `passes.run`; results are copies, as the next replay overwrites its own."""
        if call.prompt is not None:
            return run(call)
        places = (*call.buffers.places(), call.inputs["tokens"].data_ptr())
        before, replays = self._replays.get(call.buffers.cache, ((), {}))
        if places != before:
            replays = {}  # the old ones read and write where the buffers were
            self._replays[call.buffers.cache] = places, replays
        key = call.layout, call.shape
        if key not in replays:
            results = run(call)
            call.inputs["moves"].zero_()  # slots have moved: unlike all else in a pass, that cannot be done twice
            self.captures += 1
            replays[key] = self._capture(lambda: run(call))
            return results
        replay, results = replays[key]
        replay()
        return results.copied()


class Compiled(Padded):
    """Compiles the pass for every shape: `torch.compile`."""

    name = "compiled"

    def __init__(self) -> None:
        super().__init__()
        self._run: Callable[..., Results] = torch.compile(run, fullgraph=True, dynamic=False)

    def __call__(self, call: PassCall) -> Results:
        """See `passes.run`."""
        return self._run(call) if call.prompt is None else run(call)


class _CudaGraphs:
    """Captures functions as CUDA graphs that share one pool of memory."""

    def __init__(self) -> None:
        self._pool: Any = None

    def __call__(self, function: Callable[[], Results]) -> Replay:
        side = torch.cuda.Stream()  # libraries allocate in the first calls, which must not be captured
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(2):
                function()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):  # others may use the device
            results = function()
        self._pool = graph.pool()
        return graph.replay, results


class Runs:
    """A target whose passes a runner runs.

    Attributes:
        runner: of its passes.
    """

    runner: Runner = Runner()

    @property
    def engine(self) -> str:
        """Name of the engine."""
        return self.runner.name


def runner(name: str, devices: set[torch.device]) -> Runner:
    """The runner of a name; "auto" captures on CUDA and is eager elsewhere.

    Args:
        name: one of `ENGINES`.
        devices: of the target.

    Raises:
        BadInput: an unknown name, or one that these devices cannot run.
    """
    if name not in ENGINES:
        raise BadInput(f"engine {shown(name)}", f"one of {', '.join(ENGINES)}")
    one, cuda = len(devices) == 1, all(device.type == "cuda" for device in devices)
    if name == "captured" and not cuda:
        raise BadInput(f"engine captured on {next(iter(devices)).type}", "a CUDA device", "leave it at auto")
    if name in ("captured", "compiled") and not one:
        raise BadInput(f"engine {name} on {len(devices)} devices", "one device", "leave it at auto: it runs eagerly")
    if name == "compiled":
        return Compiled()
    return Captured() if name == "captured" or (name == "auto" and cuda and one) else Runner()


def _up(number: int, step: int) -> int:
    return -(-number // step) * step
