"""The routes of the server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager, suppress
from importlib.resources import files
from typing import Any, TypeVar

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.requests import Request as HttpRequest
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from sse_starlette.sse import EventSourceResponse, SendTimeoutError
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send

from spatialspec import __version__
from spatialspec.core.errors import BadInput
from spatialspec.io.prompts import BUILT_IN
from spatialspec.pipeline import SpatialPipeline
from spatialspec.serve import problems
from spatialspec.serve.answers import Answers, Event
from spatialspec.serve.guard import Guard
from spatialspec.serve.job import Job
from spatialspec.serve.problems import SERVER, Problem
from spatialspec.serve.request_body import BodyReader, ImageBody
from spatialspec.serve.scheduler import Limits, Scheduler

T = TypeVar("T")
PAGE = {"/": "index.html", "/page.css": "page.css", "/page.js": "page.js"}
TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript"}
EXAMPLES = 6
SLOWEST = 30.0  # seconds that a client may take to read what was sent before it is cut off


class Stream(EventSourceResponse):
    """Events to a client; one that does not read is cut off."""

    def __init__(self, events: AsyncIterator[Event], headers: Mapping[str, str] | None = None) -> None:
        super().__init__(events, headers=headers, send_timeout=SLOWEST)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send all of them."""
        with suppress(SendTimeoutError):
            await super().__call__(scope, receive, send)


class JobStream(Stream):
    """Events of a job to the client that asked for it: when this client leaves, however it does, the job ends."""

    def __init__(self, server: Server, job: Job, events: AsyncIterator[Event]) -> None:
        super().__init__(events, {"X-Job-Id": job.id})
        self._server, self._job = server, job

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send all of them."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._server.release(self._job)


class Server:
    """A pipeline behind HTTP.

    Args:
        pipeline: target and drafts.
        limits: what it takes at once.
        key: that clients have to send; None for no key.
        place: among several servers, see `Job`.

    Attributes:
        scheduler: draws.
        app: the routes, as ASGI.
    """

    def __init__(
        self, pipeline: SpatialPipeline, limits: Limits | None = None, key: str | None = None, place: str = ""
    ) -> None:
        limits = limits or Limits()
        self.pipeline, self.scheduler = pipeline, Scheduler(pipeline, limits)
        self.reader = BodyReader(pipeline, self.scheduler.reading, limits.seconds, place)
        self.answers = Answers(pipeline, self.scheduler.meters, self.reader.size)
        self._examples = examples(pipeline)
        self.app = FastAPI(
            title="spatialspec", version=__version__, docs_url=None, redoc_url=None, redirect_slashes=False,
            lifespan=self._life,
        )  # fmt: skip
        self.app.add_middleware(Guard, key=key)
        for kind, handler in (
            (Problem, problems.on_problem), (HTTPException, problems.on_http),
            (RequestValidationError, problems.on_invalid), (Exception, problems.on_bug),
        ):  # fmt: skip
            self.app.add_exception_handler(kind, handler)
        for path in PAGE:
            self.app.add_api_route(path, self.page, include_in_schema=False)
        self.app.add_api_route("/health", self.health)
        self.app.add_api_route("/ready", self.ready)
        self.app.add_api_route("/metrics", self.metrics)
        self.app.add_api_route("/v1/models", self.models)
        self.app.add_api_route("/v1/models/{name:path}", self.model)
        self.app.add_api_route("/v1/images/generations", self.generate, methods=["POST"], response_model=None)
        self.app.add_api_route("/v1/images/jobs/{id}/events", self.watch, response_model=None)
        self.app.add_api_route("/v1/images/jobs/{id}", self.cancel, methods=["DELETE"])
        if hasattr(pipeline.target, "image_end"):  # of GLM-Image
            from spatialspec.serve.sglang import SGLangRoute

            self.app.add_api_route("/generate", SGLangRoute(self).generate, methods=["POST"], response_model=None)

    @asynccontextmanager
    async def _life(self, app: FastAPI) -> AsyncIterator[None]:
        self.scheduler.start()
        yield
        await asyncio.to_thread(self.scheduler.stop)

    async def page(self, http: HttpRequest) -> Response:
        """The page, its style and its script."""
        name = PAGE[http.url.path]
        text = files("spatialspec.serve").joinpath("page", name).read_text(encoding="utf-8")
        return Response(text, media_type=TYPES[name.rpartition(".")[2]], headers={"Cache-Control": "no-cache"})

    async def health(self) -> dict[str, str]:
        """Whether the process works: 200, or 500 if its thread has died."""
        if not self.scheduler.alive:
            raise Problem(500, "the thread that draws has ended", SERVER)
        return {"status": "ok"}

    async def ready(self) -> dict[str, str]:
        """Whether new requests are taken: 200, or 503."""
        if not self.scheduler.ready:
            raise Problem(503, "the server is shutting down", SERVER, code="shutting_down", retry_after=5)
        return {"status": "ready"}

    async def metrics(self) -> Response:
        """Figures for Prometheus."""
        return Response(generate_latest(self.scheduler.meters.registry), media_type=CONTENT_TYPE_LATEST)

    async def models(self) -> dict[str, Any]:
        """The one model."""
        return {"object": "list", "data": [self._model()]}

    async def model(self, name: str) -> dict[str, Any]:
        """The model, by its name."""
        if name != self.pipeline.target.name:
            raise Problem(404, f"no such model, expected {self.pipeline.target.name}", code="model_not_found")
        return self._model()

    def _model(self) -> dict[str, Any]:
        target = self.pipeline.target
        return {
            "id": target.name, "object": "model", "created": 0, "owned_by": "spatialspec",
            "size": self.reader.size, "grid": [target.grid.rows, target.grid.columns],
            "dtype": str(target.dtype).removeprefix("torch."), "methods": self.reader.methods,
            "examples": self._examples, "remarks": self.pipeline.remarks([]),
        }  # fmt: skip

    async def generate(self, body: ImageBody, http: HttpRequest) -> Response:
        """OpenAI's images API."""
        try:
            job = await asyncio.to_thread(self.reader.job, body)
            self.scheduler.submit(job)
        except Problem:
            self.scheduler.meters.requests.labels("refused").inc()
            raise
        if body.stream:
            return JobStream(self, job, self.answers.events(job, body))
        try:
            answer = await unless_gone(http, self.answers.whole(job, body))
        finally:
            self.release(job)
        return cancelled().response() if answer is None else JSONResponse(answer)

    async def watch(self, id: str) -> Response:
        """Progress of a job; who watches may leave without a consequence."""
        return Stream(self.answers.progress(self._job(id)))

    async def cancel(self, id: str) -> dict[str, Any]:
        """End a job; its own client gets an error."""
        job = self._job(id)
        self.scheduler.end(job, cancelled())
        status = "completed" if job.problem is None else job.problem.code or "failed"
        return {"id": job.id, "object": "image.job", "status": status}

    def _job(self, id: str) -> Job:
        job = self.scheduler.jobs.get(id)
        if job is None:
            raise Problem(404, "no such job: it never was, or it is over", code="job_not_found")
        return job

    def release(self, job: Job) -> None:
        """Forget a job; if it still goes on, its client is gone, and it is cancelled."""
        self.scheduler.end(job, cancelled())
        self.scheduler.jobs.pop(job.id, None)
        code = None if job.problem is None else job.problem.code
        outcome = "completed" if job.problem is None else "cancelled" if code == "cancelled" else "failed"
        self.scheduler.meters.requests.labels(outcome).inc()


def examples(pipeline: SpatialPipeline) -> list[str]:
    """Prompts to click, if the model can draw the built-in ones."""
    found = list(BUILT_IN[:EXAMPLES])
    with suppress(BadInput):
        pipeline.target.check_prompts(found, [""] * len(found), pipeline.target.grid)
        return found
    return []


def cancelled() -> Problem:
    """What a job ends with whose client left, or that was cancelled."""
    return Problem(499, "cancelled", code="cancelled")


async def unless_gone(http: HttpRequest, answer: Coroutine[Any, Any, T]) -> T | None:
    """An answer; None if the client hangs up before, and the answer is cancelled then."""

    async def gone() -> None:
        while (await http.receive())["type"] != "http.disconnect":
            pass

    working, leaving = asyncio.ensure_future(answer), asyncio.ensure_future(gone())
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        return working.result() if working.done() else None
    finally:
        working.cancel()
        leaving.cancel()
