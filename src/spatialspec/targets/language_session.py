"""One pass of a language model over pending tokens and trees, for a batch of images with a cache each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from spatialspec.core.grid import Grid
from spatialspec.core.proposal import Proposal, Scores, Verdict
from spatialspec.core.state import State
from spatialspec.targets.language_cache import LanguageCache
from spatialspec.targets.language_decoder import Decoder
from spatialspec.targets.language_slots import Slots

WIDEST = 128  # drafted nodes of a pass; each may bring its forced tokens


class Language(Protocol):
    """What a session needs of its target."""

    @property
    def decoder(self) -> Decoder:
        """The blocks."""
        ...

    @property
    def device(self) -> torch.device:
        """Where logits and states are wanted."""
        ...

    def embed(self, tokens: Int[Tensor, "*N"]) -> Float[Tensor, "*N d"]:
        """Embedding of image tokens."""
        ...

    def norm(self, hidden: Float[Tensor, "*N d"]) -> Float[Tensor, "*N d"]:
        """Final norm of pre-norm states."""
        ...

    def output(self, states: Float[Tensor, "*N d"]) -> Float[Tensor, "*N V"]:
        """Normed states -> logits of image tokens."""
        ...


class LanguageSession:
    """Rows of the batch are image-major: all guidance streams of image 0, then of image 1, and so on.

    Args:
        target: the model.
        prefixes: embedded prompt of every row, which may differ in length; shorter ones are padded on the left.
        forced: embedded tokens that follow each row of the picture, (F, d).
        streams: 1, or 2 with guidance (conditional first).
        grid: of every image.
    """

    def __init__(
        self,
        target: Language,
        prefixes: Sequence[Float[Tensor, "P d"]],
        forced: Float[Tensor, "F d"],
        streams: int,
        grid: Grid,
    ) -> None:
        self.target, self.forced, self.streams, self.grid = target, forced, streams, grid
        longest = max(len(prefix) for prefix in prefixes)
        self.pads = [longest - len(prefix) for prefix in prefixes]
        self.prefix = torch.stack(
            [
                torch.cat((prefix.new_zeros(pad, prefix.shape[1]), prefix))
                for pad, prefix in zip(self.pads, prefixes, strict=True)
            ]
        )
        width = target.decoder.pass_width
        slots = longest + grid.cells + grid.rows * len(forced) + (1 + WIDEST) * (1 + len(forced)) + (width or 0)
        self.cache = LanguageCache(len(prefixes), slots, fixed=width is not None)
        self._images = list(range(len(prefixes) // streams))  # open images, as rows of the batch
        self._places: list[list[int]] = [[] for _ in self._images]  # of what is committed behind the prefix
        self._before: Sequence[State] = ()
        self._slots: list[Slots] = []

    @torch.no_grad()
    def score(self, states: Sequence[State], proposals: Sequence[Proposal]) -> list[Scores]:
        """One pass: the prompt if the cache is empty, the pending cells, the proposal's nodes, their forced tokens.

        Returns:
            Scores of each image: rows of its pending cells (of the prompt's last token, at the start), then of nodes.
        """
        self._before = tuple(states)
        self._slots = [Slots.of(s, p, len(self.forced)) for s, p in zip(states, proposals, strict=True)]
        prefix = self._prefix()
        body = max(len(slots) for slots in self._slots)
        fixed = self.target.decoder.pass_width
        if fixed is not None and not prefix:
            body = -(-body // fixed) * fixed
        x, positions = self._read(prefix, body)
        seen = self.cache.begin(prefix + body, x.device)
        mask = self._mask(states, proposals, prefix, body, seen)
        asked = {block for proposal in proposals for block in proposal.blocks}
        inner: list[Tensor] | None = [] if asked else None
        hidden = self._rows(self.target.decoder(x, mask, positions, self.cache, prefix > 0, inner), prefix)
        blocks = {block: self._rows(inner[block - 1], prefix) for block in asked} if inner else {}
        logits = self.target.output(self.target.norm(hidden))
        rows = [len(slots.last) + bool(prefix) for slots in self._slots]
        return Scores.of_batch(logits, hidden, blocks, rows, proposals)

    def _prefix(self) -> int:
        """Slots of the prompt in this pass: all in the first, none later."""
        return 0 if max(self.cache.lengths) else self.prefix.shape[1]

    def _read(self, prefix: int, body: int) -> tuple[Float[Tensor, "B N d"], Int[Tensor, "B N"]]:
        """Embedded slots and their positions in the sequence; prompts end at one slot, not at one position."""
        tokens = np.zeros((len(self.prefix) // self.streams, body), dtype=np.int64)
        steps, places = np.zeros_like(tokens), np.zeros_like(tokens)
        for image, slots in zip(self._images, self._slots, strict=True):
            tokens[image, : len(slots)] = slots.tokens
            steps[image, : len(slots)] = slots.steps
            places[image, : len(slots)] = slots.places
        device, step = self.prefix.device, torch.from_numpy(steps)
        x = self.target.embed(torch.from_numpy(tokens).to(device)).to(self.prefix)
        if len(self.forced):
            table = torch.cat((self.forced[:1], self.forced))  # step j is forced token j - 1; step 0 is not looked up
            step = step.to(device)
            x = torch.where((step > 0)[..., None], table[step], x)
        x = self._spread(x)
        pads = torch.tensor(self.pads)[:, None]
        positions = self.prefix.shape[1] - pads + self._spread(torch.from_numpy(places))
        if prefix:
            x = torch.cat((self.prefix, x), dim=1)
            positions = torch.cat(((torch.arange(prefix) - pads).clamp(min=0), positions), dim=1)
        return x, positions.to(device)

    def _spread(self, x: Tensor) -> Tensor:
        """Repeat each image's row for its streams."""
        return x if self.streams == 1 else x.repeat_interleave(self.streams, dim=0)

    def _mask(
        self, states: Sequence[State], proposals: Sequence[Proposal], prefix: int, body: int, seen: int
    ) -> Bool[Tensor, "B 1 N S"]:
        """Slots see the prompt, committed places before their own, and of this pass what `Slots.mask` says."""
        mask = np.zeros((len(self.prefix), 1, prefix + body, seen), dtype=bool)
        prompt = self.prefix.shape[1]
        for image in range(len(mask) // self.streams):  # of a closed image too: each slot has to see something
            rows = slice(image * self.streams, (image + 1) * self.streams)
            mask[rows, 0, :prefix, :prefix] = np.tri(prefix, dtype=bool)
            mask[rows, 0, prefix:, : max(prompt, self.cache.lengths[rows.start])] = True
        for image, state, proposal, slots in zip(self._images, states, proposals, self._slots, strict=True):
            rows = slice(image * self.streams, (image + 1) * self.streams)
            first, used = prefix + self.cache.lengths[rows.start], len(slots)
            mask[rows, 0, prefix : prefix + used, first : first + used] = slots.mask(proposal)
            if state.ahead or slots.pending > 1:
                written = np.array(self._places[image], dtype=np.int64)
                mask[rows, 0, prefix : prefix + used, prompt:first] = written <= slots.places[:, None]
        for row, pad in enumerate(self.pads):
            mask[row, 0, :, :pad] = False
            mask[row, 0, range(min(pad, prefix)), range(min(pad, prefix))] = True  # nothing seen would be NaN
        return torch.from_numpy(mask).to(self.prefix.device)

    def _rows(self, states: Float[Tensor, "B N d"], prefix: int) -> Float[Tensor, "images G R d"]:
        """Of every slot -> of the rows of each image, padded to the longest."""
        rows = [np.append(prefix - 1, prefix + s.last) if prefix else s.last for s in self._slots]
        take = np.zeros((len(rows), max(len(row) for row in rows)), dtype=np.int64)
        for place, row in enumerate(rows):
            take[place, : len(row)] = row
        images = torch.tensor(self._images, device=states.device)[:, None]
        chosen = states.unflatten(0, (-1, self.streams))[images, :, torch.from_numpy(take).to(states.device)]
        return chosen.transpose(1, 2).to(self.target.device)

    @torch.no_grad()
    def keep(self, image: int, proposal: Proposal, verdict: Verdict, after: State) -> None:
        """Commit the prompt, and of pending cells and accepted nodes what is not pending `after` the pass as well.

        A refinement round commits nothing: the next pass reads the same root again.
        """
        if not verdict.commits:
            return
        row, before, slots = self._images[image], self._before[image], self._slots[image]
        prefix = 0 if self.cache.lengths[row * self.streams] else self.prefix.shape[1]
        accepted = (*verdict.path, *verdict.elsewhere)
        entries = [*range(slots.pending), *(slots.pending + node for node in accepted)]
        cells = [*before.pending, *(proposal.cells[node] for node in accepted)]
        kept = [entry for entry, cell in zip(entries, cells, strict=True) if cell not in after.pending]
        places = [slot for entry in kept for slot in slots.of_entry(entry)]
        self._places[row] += [int(slots.places[slot]) for slot in places]
        streams = range(row * self.streams, (row + 1) * self.streams)
        self.cache.keep(streams, [*range(prefix), *(prefix + slot for slot in places)])

    @torch.no_grad()
    def close(self, images: Sequence[int]) -> None:
        """Drop finished images; where shapes are fixed their rows run on, unread."""
        self._images = [row for place, row in enumerate(self._images) if place not in images]
        if not images or self.cache.fixed:
            return
        rows = [row * self.streams + stream for row in self._images for stream in range(self.streams)]
        self.prefix, self.pads = self.prefix[rows], [self.pads[row] for row in rows]
        self._places = [self._places[row] for row in self._images]
        self.cache.select(rows)
        self._images = list(range(len(self._images)))
