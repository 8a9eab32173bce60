"""Fills the input buffers of a pass: slots of every image, and what its sampler needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from spatialspec.core.proposal import Proposal
from spatialspec.core.sampler import Sampler, cells_after
from spatialspec.core.state import State
from spatialspec.targets.noise_buffer import NoiseBuffer
from spatialspec.targets.shape import Shape
from spatialspec.targets.slots import Slots

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class PassBatch:
    """What a pass reads.

    Attributes:
        sequences: of every image, one for each stream.
        slots: of every image, behind its prompt.
        prefix: length of the prompt of every sequence.
        read: slots of it in this pass, all or none.
        lengths: committed slots of every sequence.
        moves: of sequences whose committed slots are not together: slots, and where they go.
    """

    sequences: Sequence[range]
    slots: Sequence[Slots]
    prefix: Int[np.ndarray, "S"]
    read: Int[np.ndarray, "S"]
    lengths: Sequence[int]
    moves: Mapping[int, list[tuple[int, int]]]


def fill_slots(arrays: Arrays, batch: PassBatch, proposals: Sequence[Proposal], shape: Shape) -> None:
    """Tokens, positions and what attends to what. A prompt ends where the body begins; before it is padding."""
    body, positions = shape.prompt, arrays["positions"]
    arrays["lengths"][:], arrays["prefix"][:] = batch.lengths, batch.prefix
    for sequence, moves in batch.moves.items():
        padded = [*moves, *moves[-1:] * (shape.moves - len(moves))]  # the last goes again to the same slot
        arrays["moves"][:, sequence] = np.array(padded).T
    for index, (sequences, slots) in enumerate(zip(batch.sequences, batch.slots, strict=True)):
        part = slice(body, body + len(slots))
        arrays["tokens"][index, : len(slots)] = slots.tokens
        if shape.forced:
            arrays["steps"][index, : len(slots)] = slots.steps
        if not shape.every:
            outputs = body + (slots.last if slots.pending else np.append(-1, slots.last))  # -1: the prompt's last
            arrays["outputs"][index, : len(outputs)] = outputs
        if not shape.streams:
            arrays["image"][sequences] = index
            arrays["stream"][:, index] = sequences[0], sequences[-1]
        tree = None if shape.causal else slots.mask(proposals[index])
        for sequence in sequences:
            read = int(batch.read[sequence])
            before = slice(body - read, body)
            positions[sequence, part] = slots.positions + batch.prefix[sequence]
            positions[sequence, before] = np.arange(read)
            if tree is not None:
                attends = arrays["tree"][sequence]
                np.fill_diagonal(attends, True)  # padding too, as attention to no slot is undefined
                attends[part, part] = tree
                attends[before, before], attends[part, before] = np.tri(read, dtype=bool), True


def fill_samplers(
    arrays: Arrays,
    samplers: Sequence[Sampler],
    states: Sequence[State],
    proposals: Sequence[Proposal],
    noise: NoiseBuffer,
) -> None:
    """Settings, rows of the noise and, for a tolerance, the nodes of every image."""
    for index, (sampler, state, proposal) in enumerate(zip(samplers, states, proposals, strict=True)):
        arrays["settings"][index] = sampler.settings
        if sampler.noise is not None:
            cells = np.array(cells_after(state, proposal))
            arrays["noise"][index, : len(cells)] = noise.rows(index, sampler.noise, cells)
            if sampler.near and len(proposal):
                nodes = slice(len(cells) - len(proposal), len(cells))
                arrays["above"][index, nodes] = np.array(proposal.parents) + 1
