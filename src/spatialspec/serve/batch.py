"""The images that share passes: they join and leave one session of the target between two passes."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator

from spatialspec.core.interfaces import Session
from spatialspec.core.step import Step
from spatialspec.decode import Image, one_pass
from spatialspec.generation import assemble, traced
from spatialspec.pipeline import SpatialPipeline
from spatialspec.serve.job import JobImage
from spatialspec.targets.room import check_room
from spatialspec.targets.session import TargetSession


class Batch:
    """One session. Images of one grid may differ in everything else: method, seed, guidance, sampling, prompts.

    Args:
        pipeline: target and drafts.
        reading: held while prompts are read: tokenizers serve one thread at a time.

    Attributes:
        drawings: in the order of the session.
    """

    def __init__(self, pipeline: SpatialPipeline, reading: threading.Lock) -> None:
        self.pipeline, self.drawings, self._reading = pipeline, list[JobImage](), reading
        self._images: list[Image] = []  # of the drawings, in the same order
        self._session: Session | None = None
        self._unread: list[int] = []  # guidance streams of images that joined since the last pass, which allocates

    def join(self, drawing: JobImage) -> None:
        """Add an image behind the others; the next pass reads its prompt.

        Raises:
            BadInput: its keys and values do not fit into memory beside those of the others.
        """
        target, request = self.pipeline.target, drawing.request
        with self._reading:
            for model in self.pipeline.targets:
                request.check(model)
            session = request.session(target)
        if isinstance(self._session, TargetSession):
            check_room(self._session.cache, [*self._unread, request.sampling.streams])
        (image,) = assemble(target, self.pipeline.parts, drawing.method, request)
        if self._session is None:
            self._session = session
        else:
            self._session.admit(session)
        self._images.append(image)
        self._unread.append(request.sampling.streams)
        self.drawings.append(drawing)

    def leave(self, indices: Collection[int]) -> None:
        """Drop images; a session without images is given up, with its memory."""
        if not indices or self._session is None:
            return
        stay = [index for index in range(len(self.drawings)) if index not in indices]
        self.drawings, self._images = [self.drawings[i] for i in stay], [self._images[i] for i in stay]
        if self.drawings:
            self._session.drop(sorted(indices))
        else:
            self._session, self._unread = None, []

    def step(self) -> Iterator[Step]:
        """One pass of the target for all images; see `one_pass`.

        Raises:
            NotFinite: scores of an image are not finite: of the one after those whose record was yielded.
        """
        assert self._session is not None
        try:
            with traced(self.pipeline.target, self.pipeline.parts):
                yield from one_pass(self._session, dict(enumerate(self._images)))
        finally:
            self._unread = []
