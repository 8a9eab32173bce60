"""The one thread that runs the target: continuous batching of the images of all jobs."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import deque
from dataclasses import dataclass

import torch

from spatialspec.core.errors import BadInput, NotFinite
from spatialspec.pipeline import SpatialPipeline
from spatialspec.serve.batch import Batch
from spatialspec.serve.job import Job, JobImage
from spatialspec.serve.meters import Meters
from spatialspec.serve.problems import SERVER, Problem

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Limits:
    """What a server takes at once.

    Attributes:
        batch: images that share passes.
        queue: images that wait beyond them; a request is taken whole while there is room for one of its images.
        seconds: of a request, from its arrival.
    """

    batch: int = 8
    queue: int = 64
    seconds: float = 600.0


class Scheduler:
    """Draws jobs in the order of their arrival; its thread alone touches the session.

    Args:
        pipeline: target and drafts.
        limits: what it takes.

    Attributes:
        meters: what Prometheus reads.
        reading: to hold while prompts are read.
        jobs: jobs that are not over, or whose answer is being sent.
    """

    def __init__(self, pipeline: SpatialPipeline, limits: Limits) -> None:
        self.pipeline, self.limits, self.reading = pipeline, limits, threading.Lock()
        self.jobs: dict[str, Job] = {}
        self.meters = Meters(lambda: len(self._waiting), lambda: len(self._batch.drawings))
        self._batch = Batch(pipeline, self.reading)
        self._waiting: deque[tuple[Job, JobImage]] = deque()
        self._running: list[Job] = []  # of every drawing of the batch
        self._changed = threading.Condition()
        self._stopping = False
        self._pace = 1.0  # seconds of the last finished image
        self._thread = threading.Thread(target=self._run, name="scheduler", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    @property
    def ready(self) -> bool:
        """Whether it takes jobs."""
        return self.alive and not self._stopping

    @property
    def idle(self) -> bool:
        """Whether nothing waits and nothing is drawn."""
        return not self._waiting and not self._running

    def submit(self, job: Job) -> None:
        """Queue the images of a job.

        Raises:
            Problem: the queue is full, or the server is about to end.
        """
        with self._changed:
            if self._stopping:
                raise Problem(503, "the server is shutting down", SERVER, code="shutting_down", retry_after=5)
            free = max(0, self.limits.batch - len(self._running))
            if len(self._waiting) >= self.limits.queue + free:
                seconds = self._pace * len(self._waiting) / self.limits.batch
                message = f"{len(self._waiting)} images are waiting, which is all that the queue takes: try again later"
                after = min(max(math.ceil(seconds), 1), 300)
                raise Problem(429, message, "rate_limit_error", code="queue_full", retry_after=after)
            self.jobs[job.id] = job
            self._waiting.extend((job, drawing) for drawing in job.drawings)
            self._changed.notify()

    def end(self, job: Job, problem: Problem) -> None:
        """End a job, unless it is over: its images leave the queue now, and the batch before the next pass."""
        with self._changed:
            job.fail(problem)
            self._waiting = deque(pair for pair in self._waiting if pair[0] is not job)

    def stop(self) -> None:
        """Take no more jobs, finish those that there are, and wait for the thread to end."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        try:
            self._draw()
        except Exception:
            LOG.exception("the thread that draws has ended")
        with self._changed:  # nobody waits for a thread that has ended
            self._stopping = True
            for job in list(self.jobs.values()):
                job.fail(Problem(500, "the thread that draws has ended; the server's log says more", SERVER))

    @torch.inference_mode()
    def _draw(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._stopping or not self.idle)
                if self.idle:
                    return
            self._leave()
            self._join()
            if self._running:
                self._pass()
            if not self._running:
                self.meters.rate.set(0)

    def _leave(self) -> None:
        """Give up jobs whose time is over, and drop the images of those that have ended."""
        now = time.monotonic()
        for job in {*self._running, *(job for job, _ in list(self._waiting))}:
            if now > job.deadline:
                message = f"not done within {self.limits.seconds:g} seconds"
                self.end(job, Problem(504, message, SERVER, code="timeout"))
        drawings = self._batch.drawings
        self._drop([i for i, job in enumerate(self._running) if job.over or drawings[i].ended is not None])

    def _drop(self, indices: list[int]) -> None:
        self._batch.leave(indices)
        self._running = [job for i, job in enumerate(self._running) if i not in indices]

    def _join(self) -> None:
        """Admit images while there is a place in the batch, and memory."""
        while self._waiting and len(self._running) < self.limits.batch:
            with self._changed:
                if not self._waiting:  # cancelled just now
                    return
                job, drawing = self._waiting.popleft()
            try:
                self._batch.join(drawing)
            except BadInput as error:
                if self._running:  # no room beside the others: wait until one of them leaves
                    with self._changed:
                        if not job.over:
                            self._waiting.appendleft((job, drawing))
                    return
                self.end(job, Problem.of(error, status=503))
                continue
            except Exception:
                LOG.exception("an image could not join the batch")
                self.end(job, Problem(500, "the model failed on this prompt; the server's log says more", SERVER))
                continue
            drawing.begun = time.monotonic()
            self.meters.seconds.labels("queue").observe(drawing.begun - job.arrived)
            self._running.append(job)

    def _pass(self) -> None:
        """One pass. Where it fails for one image, that job fails; where it fails as a whole, all in the batch do."""
        start, advanced, tokens = time.perf_counter(), 0, 0
        self.meters.sizes.observe(len(self._running))
        self.meters.passes.inc()
        try:
            for step in self._batch.step():
                drawing, written = self._batch.drawings[step.image], len(step.after.tokens) - len(step.before.tokens)
                drawing.advance(step)
                advanced, tokens = advanced + 1, tokens + written
                if step.verdict.commits:
                    self.meters.accepted.observe(written)
        except NotFinite as error:
            LOG.error("%s", error)
            self.end(self._running[advanced], Problem.of(error, status=500))
        except Exception:
            LOG.exception("a pass failed")
            for job in set(self._running):
                self.end(job, Problem(500, "a pass of the model failed; the server's log says more", SERVER))
        self.meters.tokens.inc(tokens)
        self.meters.rate.set(tokens / (time.perf_counter() - start))
        self._finish()

    def _finish(self) -> None:
        """Drop finished images at once, then tell everybody who waits."""
        done = [i for i, drawing in enumerate(self._batch.drawings) if drawing.ended is not None]
        for drawing in (self._batch.drawings[i] for i in done):
            assert drawing.state is not None
            self._pace = drawing.seconds
            self.meters.seconds.labels("draw").observe(drawing.seconds)
            self.meters.image_passes.observe(drawing.state.passes)
        jobs = set(self._running)
        self._drop(done)
        for job in jobs:
            job.notify()
