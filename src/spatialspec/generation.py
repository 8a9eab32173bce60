"""Generates tokens of images from prompts: combines method and target, runs the loop, reports the cost."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from torch import nn

from spatialspec.core.clock import UNTIMED, Clock, DraftCost
from spatialspec.core.context import DecodeContext
from spatialspec.core.errors import NotFinite, overflow
from spatialspec.core.interfaces import Session, Target
from spatialspec.core.noise import Noise
from spatialspec.core.precision import unrounded
from spatialspec.core.state import State
from spatialspec.core.step import Step
from spatialspec.decode import Image, decode
from spatialspec.io.identity import damaged, weights
from spatialspec.methods.method import Method
from spatialspec.request import Request


@dataclass(frozen=True)
class ImageReport:
    """Cost of one image in one call.

    Attributes:
        prompt: of the image.
        seed: of the image.
        passes: number of target passes, including the prefill.
        cells: cells scored, over all passes.
        accepted_length: cells committed per pass that commits, without those of an earlier run; AR has 1.
        seconds: from the start of the call to its last token.
        complete: whether all cells are written.
        draft_passes: passes of the draft model; 0 without one.
    """

    prompt: str
    seed: int
    passes: int
    cells: int
    accepted_length: float
    seconds: float
    complete: bool
    draft_passes: int = 0


@dataclass(frozen=True)
class Report:
    """Cost of decoding: means over the images that one call drew; 0 if it drew none.

    Attributes:
        method: name and options.
        verifier: rule in effect.
        exact: the distribution of the images is the target's; False if none was drawn.
        seed_exact: in addition, the tokens are identical to plain AR for the same seed.
        target_passes: forward calls of the target per image, including the prefill.
        tokens_per_pass: cells scored per pass.
        accepted_length: cells committed per pass that commits, without those of an earlier run; AR has 1.
        seconds: prefill and decoding of tokens, per image.
        stages: of them, seconds of every stage, see `Clock`.
        images: cost of each image, without those that were complete before the call.
        remarks: on the prompts, see `remarks`; with the budget "auto", what was expected of it.
        draft_passes: forward calls of the draft model per image, those over prompts too; 0 without one.
        draft_slots: cells scored per call of it.
        draft_seconds: part of the stage "draft" that they took, per image.
    """

    method: str
    verifier: str
    exact: bool
    seed_exact: bool
    target_passes: float
    tokens_per_pass: float
    accepted_length: float
    seconds: float
    stages: Mapping[str, float] = field(default_factory=dict, repr=False)
    images: tuple[ImageReport, ...] = field(default=(), repr=False)
    remarks: tuple[str, ...] = ()
    draft_passes: float = 0.0
    draft_slots: float = 0.0
    draft_seconds: float = 0.0


@dataclass
class _Counter:
    """Cost of an image so far; `commits` does not count the pass over tokens of an earlier run."""

    commits: int
    passes: int = 0
    cells: int = 0
    seconds: float = 0.0

    def add(self, step: Step, seconds: float) -> None:
        self.passes += 1
        self.cells += len(step.p)
        self.commits += step.verdict.commits
        self.seconds = seconds


def assemble(target: Target, drafts: Sequence[object], method: Method, request: Request) -> list[Image]:
    """Make drafter, verifier and noise for every image.

    Raises:
        BadInput: a seed is out of range, or draft weights of the method are missing.
    """
    images, layout = [], target.layout(request.grid)
    for one in request.each():
        noise = Noise(one.seeds[0], layout.cells, target.vocabulary, target.device)
        context = DecodeContext(target, drafts, one.sampling, layout, noise, one)
        images.append(Image(State(layout), *method.make(context, one.verifier), one.sampling, one.written[0]))
    return images


@contextmanager
def traced(target: Target, drafts: Sequence[object] = ()) -> Iterator[None]:
    """Add to NotFinite the name of the model, and of the damaged weight if there is one.

    Raises:
        NotFinite: with these names.
    """
    try:
        yield
    except NotFinite as error:
        networks = [part for part in drafts if isinstance(part, nn.Module)]
        drafted = ((f"draft weights {name}", w) for part in networks for name, w in part.named_parameters())
        name = damaged([*weights(target), *drafted])
        advice = f"{name} holds numbers that are not finite: fetch the weights again"
        error.advice = advice if name else overflow(target.dtype)
        error.where = target.name
        raise


def steps(
    target: Target, drafts: Sequence[object], session: Session, images: Sequence[Image], clock: Clock = UNTIMED
) -> Iterator[Step]:
    """Run `decode`, under `traced`.

    Raises:
        NotFinite: in the first pass with scores that are not finite.
    """
    with traced(target, drafts):
        yield from decode(session, images, clock)


def remarks(target: Target, prompts: Sequence[str]) -> list[str]:
    """What a target has to say of prompts that it draws, by a method `remarks` that few have; see `IconsTarget`."""
    method: Callable[[Sequence[str]], list[str]] = getattr(target, "remarks", lambda texts: [])
    return method(prompts)


def generate(
    target: Target,
    drafts: Sequence[object],
    method: Method,
    request: Request,
    on_step: Callable[[Step], object] = lambda step: None,
    interrupted: Callable[[], bool] = lambda: False,
) -> tuple[list[tuple[int, ...]], Report]:
    """Draw the images of a request in one batch.

    Args:
        target: frozen AR model.
        drafts: draft weights made for it.
        method: how to decode.
        request: what to draw; a complete image is returned unchanged, at no cost.
        on_step: called after every pass of every image.
        interrupted: called after `on_step`; True ends the call, with the tokens committed so far.

    Returns:
        Tokens of each image in drawing order, and the cost.

    Raises:
        BadInput: a bad prompt or seed, or missing draft weights, before anything is computed; or scores that are
            not finite, while decoding.
    """
    images, cells = assemble(target, drafts, method, request), target.layout(request.grid).cells
    unfinished = [i for i, image in enumerate(images) if len(image.written) < cells]
    started, open_images = request.only(unfinished), [images[i] for i in unfinished]
    counters = [_Counter(-bool(tokens)) for tokens in started.written]
    start, clock = time.perf_counter(), Clock()
    with unrounded(target.device):
        for step in steps(target, drafts, started.session(target), open_images, clock) if open_images else ():
            counters[step.image].add(step, time.perf_counter() - start)
            on_step(replace(step, image=unfinished[step.image]))
            if interrupted():
                break
    seconds = time.perf_counter() - start
    tokens = [image.state.tokens or tuple(written) for image, written in zip(images, request.written, strict=True)]
    drawn = [len(tokens[i]) - len(request.written[i]) for i in unfinished]
    passes, count = sum(c.passes for c in counters), len(unfinished) or 1
    costs = [image.drafter.cost or DraftCost() for image in open_images]
    draft_passes = sum(cost.passes for cost in costs)
    report = Report(
        method=str(method),
        verifier=method.rule_under(request.verifier),
        exact=bool(unfinished) and method.exact,
        seed_exact=bool(unfinished) and method.seed_exact(request.verifier),
        target_passes=passes / count,
        tokens_per_pass=sum(c.cells for c in counters) / (passes or 1),
        accepted_length=sum(drawn) / (sum(c.commits for c in counters) or 1),
        seconds=seconds / count,
        stages={stage: spent / count for stage, spent in clock.seconds.items()},
        images=tuple(
            ImageReport(
                prompt=request.prompts[i],
                seed=request.seeds[i],
                passes=c.passes,
                cells=c.cells,
                accepted_length=written / (c.commits or 1),
                seconds=c.seconds,
                complete=len(tokens[i]) == cells,
                draft_passes=cost.passes,
            )
            for i, c, cost, written in zip(unfinished, counters, costs, drawn, strict=True)
        ),
        remarks=tuple(remarks(target, request.prompts)),
        draft_passes=draft_passes / count,
        draft_slots=sum(cost.slots for cost in costs) / (draft_passes or 1),
        draft_seconds=sum(cost.seconds for cost in costs) / count,
    )
    return tokens, report
