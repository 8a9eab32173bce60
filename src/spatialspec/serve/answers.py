"""What is sent for a job: one answer, the events of OpenAI's images API, or the progress of its images."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from PIL import Image as PILImage

from spatialspec.core.errors import BadInput
from spatialspec.core.state import State
from spatialspec.generation import traced
from spatialspec.io.images import encoded
from spatialspec.output import images_of
from spatialspec.pipeline import SpatialPipeline
from spatialspec.serve.job import Job, JobImage
from spatialspec.serve.meters import Meters
from spatialspec.serve.problems import Problem
from spatialspec.serve.request_body import ImageBody

Event = dict[str, str]  # of sse-starlette: event and data


class Answers:
    """Turns tokens into images, on a thread of its own and only when they are about to be sent; nothing is stored.

    Args:
        pipeline: target and drafts.
        meters: what Prometheus reads.
        size: of an image, WIDTHxHEIGHT in pixels.
    """

    def __init__(self, pipeline: SpatialPipeline, meters: Meters, size: str) -> None:
        self.pipeline, self.meters, self.size = pipeline, meters, size
        self._pool = ThreadPoolExecutor(1, "pixels")

    async def whole(self, job: Job, body: ImageBody) -> dict[str, Any]:
        """Wait for the job; the answer of the images API.

        Raises:
            Problem: the job failed.
        """
        async for _ in job.changes():
            pass
        if job.problem is not None:
            raise job.problem
        files = [await self._off(self._file, drawing, body) for drawing in job.drawings]
        seeds = [drawing.request.seeds[0] for drawing in job.drawings]
        return {
            **self._about(job, body, "created"),
            "data": [{"b64_json": file, "seed": seed} for file, seed in zip(files, seeds, strict=True)],
            "usage": usage(job.drawings),
        }

    async def events(self, job: Job, body: ImageBody) -> AsyncIterator[Event]:
        """Partial and completed images as they come; a problem is the last event."""
        sent = [0] * len(job.drawings)
        waiting = set(range(len(job.drawings)))
        try:
            async for _ in job.changes():
                for i, drawing in enumerate(job.drawings):
                    about = {"index": i, "seed": drawing.request.seeds[0]}
                    for state in drawing.partials[sent[i] :]:
                        file = await self._off(self._partial, state, drawing, body)
                        partial = {"partial_image_index": sent[i], "passes": state.passes, "cells": len(state.tokens)}
                        sent[i] += 1
                        yield self._event("partial_image", job, body, b64_json=file, **partial, **about)
                    if drawing.ended is not None and i in waiting:
                        file = await self._off(self._file, drawing, body)
                        waiting.discard(i)
                        yield self._event("completed", job, body, b64_json=file, **about, **finished(drawing))
            if job.problem is not None:
                raise job.problem
        except Problem as problem:
            yield {"event": "error", "data": json.dumps(problem.body)}

    async def progress(self, job: Job) -> AsyncIterator[Event]:
        """Passes, cells and complete rows of every image whenever they changed, then how the job ended."""
        shown = [(-1, 0)] * len(job.drawings)
        async for _ in job.changes():
            for i, drawing in enumerate(job.drawings):
                state = drawing.state
                if state is None or state.passes == shown[i][0]:
                    continue
                rows = None if state.finished is None else len(state.finished[1])
                preview: dict[str, Any] = {"b64_json": None, "writers": None}
                if rows is not None and rows != shown[i][1]:
                    file = await self._off(self._rows, state)
                    preview = {"b64_json": file, "writers": written_by(drawing)}
                shown[i] = state.passes, rows or 0
                yield event("image_generation.progress", {"index": i, **figures(drawing, state), **preview})
        outcome = "completed" if job.problem is None else job.problem.code or "failed"
        yield event("image_generation.ended", {"outcome": outcome})

    def _about(self, job: Job, body: ImageBody, created: str) -> dict[str, Any]:
        return {
            created: int(time.time()),
            "background": "opaque",
            "output_format": body.file_format,
            "quality": body.quality or "auto",
            "size": self.size,
        }

    def _event(self, kind: str, job: Job, body: ImageBody, **fields: Any) -> Event:
        return event(f"image_generation.{kind}", {**self._about(job, body, "created_at"), **fields})

    def _file(self, drawing: JobImage, body: ImageBody) -> str:
        assert drawing.state is not None
        (image,) = images_of(self.pipeline.target, [drawing.state.tokens], drawing.request.grid, "pil")
        return file_of(image, body)

    def _partial(self, state: State, drawing: JobImage, body: ImageBody) -> str:
        """The image at full size; what is not written yet is white."""
        grid, patch = drawing.request.grid, self.pipeline.target.patch
        image = PILImage.new("RGB", (grid.columns * patch, grid.rows * patch), "white")
        rows = self.pipeline.preview(state)
        if rows is not None:  # of a smaller grid, where a model draws several
            scale = image.width / rows.width
            image.paste(rows.resize((image.width, round(rows.height * scale))), (0, 0))
        return file_of(image, body)

    def _rows(self, state: State) -> str:
        """The complete rows of cells, and no more."""
        image = self.pipeline.preview(state)
        assert image is not None
        return base64.b64encode(encoded(image.convert("RGB"), ".webp", quality=85)).decode()

    async def _off(self, work: Callable[..., str], *arguments: Any) -> str:
        """Run work of the image decoder on its thread.

        Raises:
            Problem: pixels that are not finite.
        """

        def watched() -> str:
            with traced(self.pipeline.target), self.meters.seconds.labels("pixels").time():
                return work(*arguments)

        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, watched)
        except BadInput as error:
            raise Problem.of(error, status=500) from error


def event(kind: str, fields: dict[str, Any]) -> Event:
    """A server-sent event."""
    return {"event": kind, "data": json.dumps({"type": kind, **fields}, separators=(",", ":"), allow_nan=False)}


def file_of(image: PILImage.Image, body: ImageBody) -> str:
    """The file of an image, in base64."""
    quality = 100 if body.output_compression is None else body.output_compression
    return base64.b64encode(encoded(image.convert("RGB"), f".{body.file_format}", quality=quality)).decode()


def written_by(drawing: JobImage) -> str:
    """Who wrote each cell, a digit each: 0 nobody yet, 1 the target, 2 an accepted draft."""
    return bytes(drawing.writers).translate(bytes.maketrans(b"\0\1\2", b"012")).decode()


def figures(drawing: JobImage, state: State) -> dict[str, Any]:
    """Cost of an image so far."""
    cells, seconds = len(state.tokens), drawing.seconds
    return {
        "passes": state.passes,
        "cells": cells,
        "total": state.layout.cells,
        "seconds": round(seconds, 4),
        "tokens_per_second": round(cells / seconds, 2) if seconds else None,
    }


def finished(drawing: JobImage) -> dict[str, Any]:
    """What a completed image adds to the official fields."""
    assert drawing.state is not None
    return {
        **figures(drawing, drawing.state),
        "method": str(drawing.method),
        "exact": drawing.method.exact,
        "seed_exact": drawing.method.seed_exact(drawing.request.verifier),
        "tokens": drawing.state.tokens,
        "writers": written_by(drawing),
        "usage": usage([drawing]),
    }


def usage(drawings: Sequence[JobImage]) -> dict[str, Any]:
    """Tokens, passes and seconds of images; tokens of the prompt are not counted."""
    states = [drawing.state for drawing in drawings if drawing.state is not None]
    tokens = sum(len(state.tokens) for state in states)
    return {
        "input_tokens": 0,
        "input_tokens_details": {"image_tokens": 0, "text_tokens": 0},
        "output_tokens": tokens,
        "total_tokens": tokens,
        "passes": sum(state.passes for state in states),
        "seconds": round(sum(drawing.seconds for drawing in drawings), 4),
    }
