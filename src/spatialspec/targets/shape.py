"""What is fixed in a pass of a target, and with it the inputs that change from pass to pass."""

from __future__ import annotations

from typing import NamedTuple

from spatialspec.core.sampler import SETTINGS, Form
from spatialspec.targets.inbox import Field


class Shape(NamedTuple):
    """What is fixed in a pass.

    Attributes:
        images: B.
        sequences: S, one for each guidance stream of each image.
        streams: of every image, if all have the same number; 0 if not.
        prompt: slots of the longest prompt that it reads, P; 0 behind the first pass.
        body: slots behind it, N.
        outputs: slots of an image that output cells, R.
        start: first slot to write, if all sequences have the same and it is no input; None if it is.
        visible: slots of the cache that attention sees.
        moves: most slots of the last pass that a sequence commits elsewhere than where they are, M.
        causal: whether attention needs no mask.
        forced: whether there are forced tokens among the slots.
        layers: hidden layers to return besides the last.
        drafted: whether some tokens are codes of drafts on the device.
        form: of the samplers; None for logits alone.
    """

    images: int
    sequences: int
    streams: int
    prompt: int
    body: int
    outputs: int
    start: int | None
    visible: int
    moves: int
    causal: bool
    forced: bool
    layers: tuple[int, ...]
    drafted: bool
    form: Form | None

    @property
    def width(self) -> int:
        """All slots of a sequence in this pass."""
        return self.prompt + self.body

    @property
    def every(self) -> bool:
        """Whether all slots output cells, in order."""
        return not self.prompt and not self.forced

    def fields(self) -> dict[str, Field]:
        """The inputs that change from pass to pass."""
        images, sequences, width = self.images, self.sequences, self.width
        fields: dict[str, Field] = {
            "tokens": ("int", (images, self.body)),  # or codes; see `Proposal`
            "positions": ("int", (sequences, width)),  # in the sequence
            "lengths": ("int", (sequences,)),  # committed slots
            "prefix": ("int", (sequences,)),  # of them, or of this pass, the prompt
        }
        if not self.streams:
            fields["image"] = "int", (sequences,)
            fields["stream"] = "int", (2, images)  # sequences of the first and the last stream
        if self.forced:
            fields["steps"] = "int", (images, self.body)
        if not self.every:
            fields["outputs"] = "int", (images, self.outputs)
        if not self.causal:
            fields["tree"] = "bool", (sequences, width, width)  # what slots of this pass see of each other
        if self.moves:
            fields["moves"] = "int", (2, sequences, self.moves)
        if self.form is not None:
            fields["settings"] = "float", (images, SETTINGS)
            if self.form.scored:
                fields["noise"] = "int", (images, self.outputs)  # rows of the table of noise
            if self.form.near:
                fields["above"] = "int", (images, self.outputs)  # slot above each slot's token
        return fields
