"""Session of a target: passes over prompts, pending tokens and trees of several images, with one KV cache.

The sequence of an image is `prompt | cell 0 | cell 1 ...`, with forced tokens behind each row (`slots.py`). An image
has one sequence per guidance stream. Its first pass also reads the prompt. What runs on the device is in `passes.py`.
"""

from __future__ import annotations

import weakref
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from spatialspec.core.clock import UNTIMED, Clock
from spatialspec.core.errors import BadInput
from spatialspec.core.proposal import Proposal
from spatialspec.core.sampler import Form, Sampler
from spatialspec.core.state import State
from spatialspec.core.step import Readout, Scores, Step
from spatialspec.targets.engine import Engine, Prompt
from spatialspec.targets.inputs import PassBatch, fill_samplers, fill_slots
from spatialspec.targets.passes import Buffers, PassCall, Results
from spatialspec.targets.room import check_room
from spatialspec.targets.shape import Shape
from spatialspec.targets.slots import Slots, length

WIDEST = 128  # drafted nodes of a pass that fit into a new cache, each with its forced tokens


@dataclass
class _Image:
    """An image of the session.

    Attributes:
        prompt: of the image.
        sequences: sequences of the cache, one for each stream.
        slots: slots of the last pass.
    """

    prompt: Prompt
    sequences: range
    slots: Slots | None = None


class TargetSession:
    """Images of one target. The sequences of an image follow each other in the cache.

    Args:
        engine: runs the passes.
        prompts: of the first images; others may be admitted between two passes. All have the same layout.

    Raises:
        BadInput: a device has no room for their keys and values.
    """

    def __init__(self, engine: Engine, prompts: Sequence[Prompt]) -> None:
        self.engine, self.images, self.layout = engine, list[_Image](), prompts[0].layout
        self.ends = len(engine.forced), len(engine.between)
        longest = max(len(prefix) for prompt in prompts for prefix in prompt.prefixes)
        spare = (1 + WIDEST) * (1 + max(self.ends))
        self.runner = engine.runner
        self.workspace = self.runner.workspace(engine, longest + length(self.layout, *self.ends) + spare)
        weakref.finalize(self, self.runner.release, self.workspace).atexit = False
        self.cache, self.inbox, self.noise = self.workspace.cache, self.workspace.inbox, self.workspace.noise
        self.forced = self.workspace.hold("forced", torch.cat((engine.forced, engine.between)))
        self._streams: list[tuple[Prompt, int]] = []  # of every sequence of the cache
        self._moves: dict[int, list[tuple[int, int]]] = {}  # of sequences: slots to commit, and where they go
        check_room(self.cache, [len(prompt.prefixes) for prompt in prompts])
        for prompt in prompts:
            self._add(prompt)

    def admit(self, other: TargetSession) -> None:
        """Add the images of a session that has made no pass; the next pass reads their prompts.

        Raises:
            BadInput: their layout differs from that of the others, or there is no room for them.
        """
        if other.layout != self.layout:
            got, expected = f"images of {other.layout}", f"{self.layout}, as the others have"
            raise BadInput(got, expected, "start another session")
        check_room(self.cache, [len(image.prompt.prefixes) for image in other.images])
        for image in other.images:
            self._add(image.prompt)

    def _add(self, prompt: Prompt) -> None:
        """Room for an image behind the others."""
        first, count = len(self.cache.lengths), len(prompt.prefixes)
        self.images.append(_Image(prompt, range(first, first + count)))
        self.cache.add(count)
        self.noise.add(1)
        self._tabulate([*self._streams, *((prompt, stream) for stream in range(count))])

    def _tabulate(self, streams: list[tuple[Prompt, int]]) -> None:
        """Store prompt length and conditioning of every sequence."""
        self._streams = streams
        self._prefix = np.array([len(prompt.prefixes[stream]) for prompt, stream in streams], dtype=np.int64)
        tables = [prompt.conditioning[stream] for prompt, stream in streams if prompt.conditioning is not None]
        self._conditioning = self.workspace.hold("conditioning", torch.stack(tables)) if tables else None

    @torch.no_grad()
    def score(
        self,
        states: Sequence[State],
        proposals: Sequence[Proposal],
        layers: Collection[int] = (),
        samplers: Sequence[Sampler] = (),
        clock: Clock = UNTIMED,
    ) -> list[Scores]:
        """One pass over prompts of new images, pending cells, nodes, and their forced tokens.

        Returns:
            Scores of each image: of its pending cells (in its first pass of the prompt's last token), then its nodes.
        """
        slots = [Slots.of(s, p, *self.ends) for s, p in zip(states, proposals, strict=True)]
        for image, image_slots in zip(self.images, slots, strict=True):
            image.slots = image_slots
        read = np.where(np.array(self.cache.lengths) == 0, self._prefix, 0)  # slots of the prompt in this pass
        shape = self._shape(states, slots, read, layers, self.workspace.drafts.put(proposals), samplers)
        arrays, tensors = self.inbox.fields(shape.fields())
        sequences = [image.sequences for image in self.images]
        batch = PassBatch(sequences, slots, self._prefix, read, self.cache.lengths, self._moves)
        fill_slots(arrays, batch, proposals, shape)
        if samplers:
            fill_samplers(arrays, samplers, states, proposals, self.noise)
        prompt = self._prompts(read, shape.prompt) if shape.prompt else None
        self.inbox.send()
        clock.mark("draft")
        self._moves.clear()
        self._body = shape.prompt
        buffers = Buffers(self.cache, self.forced, self._conditioning, self.noise.table, self.workspace.drafts.table)
        results = self.runner(PassCall(self.engine, self.layout, buffers, tensors, shape, prompt))
        host = None if results.host is None else results.host.numpy(force=True)
        clock.mark("pass")
        return [self._scores(i, results, host, shape, samplers, proposal) for i, proposal in enumerate(proposals)]

    def _shape(
        self,
        states: Sequence[State],
        slots: Sequence[Slots],
        read: Int[np.ndarray, "S"],
        layers: Collection[int],
        drafted: bool,
        samplers: Sequence[Sampler],
    ) -> Shape:
        """What is fixed in this pass; makes room in the cache."""
        images, cache = self.images, self.cache
        streams = {len(image.sequences) for image in images}
        prompt, body, in_order = int(read.max()), max(map(len, slots)), all(s.pending and not s.ahead for s in states)
        outputs = max(len(s.last) + (not s.pending) for s in slots)
        start = cache.room(prompt + body)
        shape = Shape(
            images=len(images),
            sequences=len(self._streams),
            streams=streams.pop() if len(streams) == 1 else 0,
            prompt=prompt,
            body=body,
            outputs=outputs,
            start=start if cache.even else None,
            visible=start + prompt + body,
            moves=max(map(len, self._moves.values()), default=0),
            causal=body == 1 and self.engine.causal_alone and cache.even and in_order,
            forced=bool(len(self.forced)) and any(len(s) > len(s.last) for s in slots),
            layers=tuple(sorted(layers)),
            drafted=drafted,
            form=Form.of(samplers, self.engine.vocabulary) if samplers else None,
        )
        return self.runner.fit(shape, cache, len(self.forced) > 0)

    def _prompts(self, read: Int[np.ndarray, "S"], longest: int) -> Float[Tensor, "S P d"]:
        """Embedded prompts that this pass reads, padded on their left."""
        width = self._streams[0][0].prefixes[0].shape[1]
        x = self.forced.new_zeros(len(read), longest, width)
        for sequence, (prompt, stream) in enumerate(self._streams):
            if read[sequence]:
                x[sequence, longest - int(read[sequence]) :] = prompt.prefixes[stream]
        return x

    def _scores(
        self,
        index: int,
        results: Results,
        host: Float[np.ndarray, "B R columns"] | None,
        shape: Shape,
        samplers: Sequence[Sampler],
        proposal: Proposal,
    ) -> Scores:
        """The part of one image; its drafts are settled if they were read."""
        image = self.images[index]
        assert image.slots is not None
        count = len(image.slots.last) + (not image.slots.pending)
        part = slice(image.sequences.start, image.sequences.stop), slice(count)
        readout = None
        if host is not None and shape.form is not None:
            if proposal.drafts is not None:
                proposal.settle(host[index, count - len(proposal) : count, -1].view(np.int32).tolist())
            if samplers[index].noise is not None:
                columns = host[index, :count, : -1 if shape.drafted else None]
                readout = Readout(columns, shape.form.ranked, samplers[index].count)
        return Scores(
            results.logits[part],
            results.hidden[part],
            {layer: states[part] for layer, states in results.layers.items()},
            None if results.p is None else results.p[index, :count],
            readout,
            None if proposal.drafts is None or results.tokens is None else results.tokens[index, :count],
        )

    def keep(self, index: int, step: Step) -> None:
        """Commit the prompt, and pending cells and accepted nodes that are not pending after it; a round, nothing.

        Slots that are to be moved are moved by the next pass.
        """
        if not step.verdict.commits:
            return
        image, before, proposal = self.images[index], step.before, step.proposal
        slots = image.slots
        assert slots is not None
        accepted = (*step.verdict.path, *step.verdict.elsewhere)
        entries = [*range(slots.pending), *(slots.pending + node for node in accepted)]
        cells = [*before.pending, *(proposal.cells[node] for node in accepted)]
        pending = set(step.after.pending)
        committed = [entry for entry, cell in zip(entries, cells, strict=True) if cell not in pending]
        committed_slots = [slot for entry in committed for slot in slots.of_entry(entry)]
        for sequence in image.sequences:
            length = self.cache.lengths[sequence]
            prompt = 0 if length else int(self._prefix[sequence])
            first = self._body - prompt  # where the prompt of this sequence began, behind the padding
            taken = [*range(first, self._body), *(self._body + slot for slot in committed_slots)]
            if taken != list(range(len(taken))):
                self._moves[sequence] = [(length + slot, length + i) for i, slot in enumerate(taken)]
            self.cache.lengths[sequence] = length + len(taken)

    def drop(self, indices: Sequence[int]) -> None:
        """Drop images."""
        if not indices:
            return
        left = [index for index in range(len(self.images)) if index not in indices]
        self.images = [self.images[index] for index in left]
        sequences = [sequence for image in self.images for sequence in image.sequences]
        self.cache.select(sequences)
        self.noise.select(left)
        self._moves = {to: self._moves[old] for to, old in enumerate(sequences) if old in self._moves}
        self._tabulate([self._streams[sequence] for sequence in sequences])
        first = 0
        for image in self.images:
            image.sequences = range(first, first := first + len(image.sequences))
