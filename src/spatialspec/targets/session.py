"""Session of a target: passes over prompts, pending tokens and trees of several images, with one KV cache.

The sequence of an image is `prompt | cell 0 | cell 1 ...`, with forced tokens behind each row (`slots.py`). An image
has one sequence per guidance stream. Its first pass also reads the prompt.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from spatialspec.core.errors import BadInput
from spatialspec.core.proposal import Proposal
from spatialspec.core.state import State
from spatialspec.core.step import Scores, Step
from spatialspec.targets.engine import Engine, PassInputs, Prompt
from spatialspec.targets.room import check_room
from spatialspec.targets.slots import Slots, length

WIDEST = 128  # drafted nodes of a pass that fit into a new cache, each with its forced tokens


@dataclass
class _Image:
    """An image of the session.

    Attributes:
        prompt: of the image.
        sequences: sequences of the cache, one for each stream.
        positions: positions of the committed slots behind the prompt, in cache order, counted from the prompt's end.
        slots: slots of the last pass.
    """

    prompt: Prompt
    sequences: range
    positions: list[int] = field(default_factory=list)
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
        self.forced = torch.cat((engine.forced, engine.between))
        self.ends = len(engine.forced), len(engine.between)
        longest = max(len(prefix) for prompt in prompts for prefix in prompt.prefixes)
        spare = (1 + WIDEST) * (1 + max(self.ends)) + (engine.pass_width or 0)
        self.cache = engine.cache(longest + length(self.layout, *self.ends) + spare)
        self._streams: list[tuple[Prompt, int]] = []  # of every sequence of the cache
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
        self._tabulate([*self._streams, *((prompt, stream) for stream in range(count))])

    def _tabulate(self, streams: list[tuple[Prompt, int]]) -> None:
        """Store prompt length and conditioning of every sequence."""
        self._streams = streams
        self._prefix = np.array([len(prompt.prefixes[stream]) for prompt, stream in streams], dtype=np.int64)
        tables = [prompt.conditioning[stream] for prompt, stream in streams if prompt.conditioning is not None]
        self._conditioning = torch.stack(tables) if tables else None

    @torch.no_grad()
    def score(
        self, states: Sequence[State], proposals: Sequence[Proposal], layers: Collection[int] = ()
    ) -> list[Scores]:
        """One pass over prompts of new images, pending cells, nodes, and their forced tokens.

        Returns:
            Scores of each image: of its pending cells (in its first pass of the prompt's last token), then its nodes.
        """
        slots = [Slots.of(s, p, *self.ends) for s, p in zip(states, proposals, strict=True)]
        for image, image_slots in zip(self.images, slots, strict=True):
            image.slots = image_slots
        read = np.where(np.array(self.cache.lengths) == 0, self._prefix, 0)  # slots of the prompt in this pass
        first, body = bool(read.any()), max(map(len, slots))
        fixed = self.engine.pass_width
        if fixed is not None and not first:
            body = -(-body // fixed) * fixed
        width = body + int(read.max())
        positions = np.zeros((len(self._streams), width), dtype=np.int64)
        for image, image_slots in zip(self.images, slots, strict=True):
            for sequence in image.sequences:
                start, length = read[sequence], self._prefix[sequence]
                positions[sequence, :start] = np.arange(start)
                positions[sequence, start : start + len(image_slots)] = length + image_slots.positions
        x = self._embed(slots, read, positions, body, width)
        visible = self.cache.begin(width, x.device)
        alone = width == 1 and self.engine.causal_alone and self.cache.even and not any(s.ahead for s in states)
        mask = None if alone else torch.from_numpy(self._mask(states, proposals, read, width, visible)).to(x.device)
        indices = torch.from_numpy(positions).to(x.device), torch.from_numpy(self._prefix).to(x.device)
        hidden, inner = self.engine.run(PassInputs(x, *indices, self.layout, mask, self.cache, first, layers))
        return self._scores(hidden, inner, slots, read)

    def _embed(
        self,
        slots: Sequence[Slots],
        read: Int[np.ndarray, "B"],
        positions: Int[np.ndarray, "B N"],
        body: int,
        width: int,
    ) -> Float[Tensor, "B N d"]:
        """Embed the slots; tokens are embedded once and repeated per guidance stream."""
        tokens = np.zeros((len(slots), body), dtype=np.int64)
        steps = np.zeros_like(tokens)
        for i, image_slots in enumerate(slots):
            tokens[i, : len(image_slots)], steps[i, : len(image_slots)] = image_slots.tokens, image_slots.steps
        device, prefix = self.engine.device, self._streams[0][0].prefixes[0]
        embedded = self.engine.embed(torch.from_numpy(tokens).to(device)).to(prefix)
        if len(self.forced):
            table = torch.cat((self.forced[:1], self.forced))  # step j is forced token j - 1; step 0 is not looked up
            step = torch.from_numpy(steps).to(device)
            embedded = torch.where((step > 0)[..., None], table[step], embedded)
        if not read.any() and len(self._streams) == sum(len(image.sequences) for image in self.images):
            counts = torch.tensor([len(image.sequences) for image in self.images], device=device)
            x = embedded.repeat_interleave(counts, dim=0, output_size=len(self._streams))
        else:
            x = prefix.new_zeros(len(self._streams), width, prefix.shape[1])
            for i, image in enumerate(self.images):
                for stream, sequence in enumerate(image.sequences):
                    start = int(read[sequence])
                    x[sequence, :start] = image.prompt.prefixes[stream][:start]
                    x[sequence, start : start + body] = embedded[i]
        if self._conditioning is not None:  # of the cell after each slot
            cells = positions - self._prefix[:, None] + 1
            index = torch.from_numpy(np.maximum(cells, 0)).to(device)
            added = self._conditioning[torch.arange(len(cells), device=device)[:, None], index]
            x = x + (added if not read.any() else added * torch.from_numpy(cells >= 0).to(added)[..., None])
        return x

    def _mask(
        self,
        states: Sequence[State],
        proposals: Sequence[Proposal],
        read: Int[np.ndarray, "B"],
        width: int,
        visible: int,
    ) -> Bool[np.ndarray, "B 1 N S"]:
        """Slots attend to the prompt, to committed tokens before theirs, and to slots of this pass by `Slots.mask`."""
        mask = np.zeros((len(self._streams), 1, width, visible), dtype=bool)
        mask[..., 0] = True  # padding slots too, as attention to no slot is undefined
        for image, state, proposal in zip(self.images, states, proposals, strict=True):
            slots = image.slots
            assert slots is not None
            tree = slots.mask(proposal)
            for sequence in image.sequences:
                start, length, prompt = int(read[sequence]), self.cache.lengths[sequence], int(self._prefix[sequence])
                stop, first = start + len(slots), length + start
                attends = mask[sequence, 0]
                attends[:start, :start] = np.tri(start, dtype=bool)
                attends[start:stop, :first] = True
                attends[start:stop, first : first + len(slots)] = tree
                if state.ahead or slots.pending > 1:
                    attends[start:stop, prompt:first] = np.array(image.positions) <= slots.positions[:, None]
        return mask

    def _scores(
        self,
        hidden: Float[Tensor, "B N d"],
        inner: Mapping[int, Float[Tensor, "B N d"]],
        slots: Sequence[Slots],
        read: Int[np.ndarray, "B"],
    ) -> list[Scores]:
        """Scores of the slots that output cells; only these pass through the output layer."""
        outputs: list[Int[np.ndarray, "R"]] = []
        shapes: list[tuple[int, int]] = []
        for image, image_slots in zip(self.images, slots, strict=True):
            for sequence in image.sequences:
                start = int(read[sequence])
                last = np.append(start - 1, start + image_slots.last) if start else image_slots.last
                outputs.append(last + sequence * hidden.shape[1])
            shapes.append((len(image.sequences), len(outputs[-1])))
        indices = np.concatenate(outputs)

        def take(states: Float[Tensor, "B N d"]) -> Float[Tensor, "M d"]:
            flat = states.flatten(0, 1)
            if len(indices) < len(flat):  # otherwise all slots, in order
                flat = flat[torch.from_numpy(indices).to(flat.device)]
            return flat.to(self.engine.device)

        final, between = take(hidden), {layer: take(states) for layer, states in inner.items()}
        logits = self.engine.output(self.engine.norm(final))
        scores, start = [], 0
        for shape in shapes:
            part, start = slice(start, start + shape[0] * shape[1]), start + shape[0] * shape[1]
            layers = {layer: states[part].unflatten(0, shape) for layer, states in between.items()}
            scores.append(Scores(logits[part].unflatten(0, shape), final[part].unflatten(0, shape), layers))
        return scores

    @torch.no_grad()
    def keep(self, index: int, step: Step) -> None:
        """Commit the prompt, and pending cells and accepted nodes that are not pending after it; a round, nothing."""
        if not step.verdict.commits:
            return
        image, before, proposal = self.images[index], step.before, step.proposal
        slots = image.slots
        assert slots is not None
        accepted = (*step.verdict.path, *step.verdict.elsewhere)
        entries = [*range(slots.pending), *(slots.pending + node for node in accepted)]
        cells = [*before.pending, *(proposal.cells[node] for node in accepted)]
        committed = [entry for entry, cell in zip(entries, cells, strict=True) if cell not in step.after.pending]
        committed_slots = [slot for entry in committed for slot in slots.of_entry(entry)]
        image.positions += [int(slots.positions[slot]) for slot in committed_slots]
        prompts = [0 if self.cache.lengths[s] else int(self._prefix[s]) for s in image.sequences]
        self.cache.commit(image.sequences, prompts, committed_slots)

    @torch.no_grad()
    def drop(self, indices: Sequence[int]) -> None:
        """Drop images; if shapes are fixed, their sequences stay in the batch, unused."""
        self.images = [image for index, image in enumerate(self.images) if index not in indices]
        if not indices or self.cache.fixed:
            return
        sequences = [sequence for image in self.images for sequence in image.sequences]
        self.cache.select(sequences)
        self._tabulate([self._streams[sequence] for sequence in sequences])
        first = 0
        for image in self.images:
            image.sequences = range(first, first := first + len(image.sequences))
