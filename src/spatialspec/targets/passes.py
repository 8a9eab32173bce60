"""One pass of a target over all images of a session: a pure function on fixed buffers, the sampler inside.

    inbox -> embed -> blocks -> norm, output layer of the wanted slots -> guidance, warp, log p + g, best -> readout

Nothing in it depends on the data but through tensors, and it waits for nothing: it can be captured or compiled for
each :class:`Shape`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from spatialspec.core.grid import Layout
from spatialspec.core.sampler import Form, distributions, readout
from spatialspec.targets.cache import Cache
from spatialspec.targets.draft_buffer import looked_up
from spatialspec.targets.engine import Engine, PassInputs
from spatialspec.targets.shape import Shape


@dataclass(frozen=True)
class Buffers:
    """What stays in its place on the device from pass to pass.

    Attributes:
        cache: keys and values.
        forced: embedded forced tokens: after a row, then after a grid.
        conditioning: for each sequence what is added to its slots, if anything; see `Prompt.conditioning`.
        noise: coupled noise of some cells of every image.
        drafts: tokens of every image that the host has not read.
    """

    cache: Cache
    forced: Float[Tensor, "F d"]
    conditioning: Float[Tensor, "S slots d"] | None
    noise: Float[Tensor, "B cells V"]
    drafts: Int[Tensor, "B D"]

    def places(self) -> tuple[int, ...]:
        """Where they lie in memory."""
        tables = (self.forced, self.noise, self.drafts, self.conditioning)
        return (*self.cache.places(), *(table.data_ptr() for table in tables if table is not None))


class Results(NamedTuple):
    """Results of a pass, on the device: as in `Scores`, for all images; `host` is what the host reads.

    With drafts on the device the last column of `host` is `tokens`.
    """

    logits: Float[Tensor, "S R V"]
    hidden: Float[Tensor, "S R d"]
    layers: Mapping[int, Float[Tensor, "S R d"]]
    p: Float[Tensor, "B R V"] | None
    host: Float[Tensor, "B R columns"] | None
    tokens: Int[Tensor, "B R"] | None

    def copied(self) -> Results:
        """The same in memory of their own, but for the logits, which nobody keeps."""
        p, host, tokens = (None if part is None else part.clone() for part in (self.p, self.host, self.tokens))
        layers = {layer: states.clone() for layer, states in self.layers.items()}
        return Results(self.logits, self.hidden.clone(), layers, p, host, tokens)


class PassCall(NamedTuple):
    """What the function is called with.

    Attributes:
        engine: parts of the target.
        layout: of every image.
        buffers: see above; the cache is written.
        inputs: tensors of `Shape.fields`.
        shape: what is fixed.
        prompt: embedded prompts, of a first pass, padded on their left.
    """

    engine: Engine
    layout: Layout
    buffers: Buffers
    inputs: Mapping[str, Tensor]
    shape: Shape
    prompt: Float[Tensor, "S P d"] | None = None


def run(call: PassCall) -> Results:
    """The function."""
    engine, layout, buffers, inputs, shape, prompt = call
    positions, prefix, lengths = (inputs[name].long() for name in ("positions", "prefix", "lengths"))
    tokens = inputs["tokens"].long()
    if shape.drafted:
        tokens = looked_up(tokens, buffers.drafts, engine.vocabulary)
    x = _embed(engine, buffers, inputs, tokens, shape, prompt)
    if buffers.conditioning is not None:  # of the cell after each slot
        cells = positions - prefix[:, None] + 1
        rows = torch.arange(shape.sequences, device=cells.device)[:, None]
        added = buffers.conditioning[rows, cells.clamp(min=0)]
        x = x + (added * (cells >= 0)[..., None].to(added) if shape.prompt else added)
    moves = inputs["moves"].long() if shape.moves else None
    seen = buffers.cache.begin(positions, lengths, shape.visible, shape.start, moves)
    mask = None if shape.causal else _mask(inputs["tree"], seen, positions, lengths, shape)
    hidden, inner = engine.run(PassInputs(x, positions, prefix, layout, mask, buffers.cache, shape.layers))
    final = _outputs(engine, hidden, inputs, shape)
    between = {layer: _outputs(engine, states, inputs, shape) for layer, states in inner.items()}
    logits = engine.output(engine.norm(final))
    if shape.form is None:
        return Results(logits, final, between, None, None, None)
    read = tokens
    if not shape.every:  # of the last slot of a prompt anything
        slots = (inputs["outputs"].long() - shape.prompt + 1).clamp(min=0)
        read = F.pad(tokens, (1, 0)).gather(-1, slots)
    p, host = _sample(logits, buffers, inputs, read, shape, shape.form)
    if host is not None and shape.drafted:
        host = torch.cat((host, read.int().view(torch.float32)[..., None]), -1)
    return Results(logits, final, between, p, host, read)


def _embed(
    engine: Engine,
    buffers: Buffers,
    inputs: Mapping[str, Tensor],
    tokens: Int[Tensor, "B body"],
    shape: Shape,
    prompt: Float[Tensor, "S P d"] | None,
) -> Float[Tensor, "S N d"]:
    """Embed the slots; tokens are embedded once and repeated per guidance stream."""
    embedded = engine.embed(tokens).to(buffers.forced.dtype)
    if shape.forced:
        steps = inputs["steps"].long()  # step j is forced token j - 1
        embedded = torch.where((steps > 0)[..., None], buffers.forced[(steps - 1).clamp(min=0)], embedded)
    if shape.streams:
        x = embedded.repeat_interleave(shape.streams, dim=0) if shape.streams > 1 else embedded
    else:
        x = embedded[inputs["image"].long()]
    return x if prompt is None else torch.cat((prompt, x), 1)


def _mask(
    tree: Bool[Tensor, "S N N"],
    seen: Int[Tensor, "S visible"],
    positions: Int[Tensor, "S N"],
    lengths: Int[Tensor, "S"],
    shape: Shape,
) -> Bool[Tensor, "S 1 N visible"]:
    """A slot attends to committed slots up to its position, and to slots of this pass as `tree` says."""
    before = seen[:, None, :] <= positions[:, :, None]
    if shape.start is not None:
        return torch.cat((before[..., : shape.start], tree), -1)[:, None]
    slots = torch.arange(shape.visible, device=seen.device) - lengths[:, None]  # counted from this pass
    within = slots.clamp(0, shape.width - 1)[:, None, :].expand(before.shape)
    now = ((slots >= 0) & (slots < shape.width))[:, None]
    return torch.where(now, tree.gather(-1, within), before & (slots < 0)[:, None])[:, None]


def _outputs(
    engine: Engine, states: Float[Tensor, "S N d"], inputs: Mapping[str, Tensor], shape: Shape
) -> Float[Tensor, "S R d"]:
    """The states that output cells; only these pass through the output layer."""
    if shape.every:
        return states.to(engine.device)
    slots = inputs["outputs"].long()
    slots = slots.repeat_interleave(shape.streams, dim=0) if shape.streams else slots[inputs["image"].long()]
    rows = torch.arange(shape.sequences, device=slots.device)[:, None]
    return states[rows.to(states.device), slots.to(states.device)].to(engine.device)


def _sample(
    logits: Float[Tensor, "S R V"],
    buffers: Buffers,
    inputs: Mapping[str, Tensor],
    tokens: Int[Tensor, "B R"],
    shape: Shape,
    form: Form,
) -> tuple[Float[Tensor, "B R V"], Float[Tensor, "B R columns"] | None]:
    """Distributions of all images, and what the host reads."""
    logits, settings = logits.float(), inputs["settings"]
    if shape.streams == 1:
        guided = logits
    elif shape.streams:
        each = logits.unflatten(0, (shape.images, shape.streams))
        guided = torch.lerp(each[:, 1], each[:, 0], settings[:, :1, None])
    else:
        first, last = (logits[stream] for stream in inputs["stream"].long())
        weight = settings[:, :1, None]
        guided = torch.where(weight == 1, first, torch.lerp(last, first, weight))
    p = distributions(guided, settings, form.filters)
    if not form.scored:
        return p, None
    images = torch.arange(shape.images, device=p.device)[:, None]
    noise = buffers.noise[images, inputs["noise"].long()]
    nodes = (inputs["above"].long(), tokens) if form.near else None
    return p, readout(p, noise, form.ranked, nodes)
