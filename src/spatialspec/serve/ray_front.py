"""The door before the replicas of Ray Serve: sends every request to one of them, and answers for one that died."""

from __future__ import annotations

import asyncio
import json
import re
from contextlib import suppress
from typing import Any

from fastapi.requests import Request as HttpRequest
from fastapi.responses import Response
from prometheus_client import CONTENT_TYPE_LATEST
from ray.exceptions import RayError
from ray.serve.exceptions import RayServeException
from ray.serve.handle import DeploymentHandle
from starlette.datastructures import Headers
from starlette.types import Message, Receive, Scope, Send

from spatialspec.serve.app import SLOWEST, unless_gone
from spatialspec.serve.meters import together
from spatialspec.serve.problems import SERVER, Problem

JOB = re.compile(r"/v1/images/jobs/[^/]*\.(\w+)(/events)?")  # ends with its place, see `Job`
SENT = ("type", "http_version", "method", "scheme", "path", "raw_path", "query_string", "root_path", "headers")


class Front:
    """ASGI, behind a `Guard`.

    Args:
        replicas: of the deployment `Replica`.
    """

    def __init__(self, replicas: DeploymentHandle) -> None:
        self._replicas = replicas

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as a replica does; with 503, or an error as the last event, where it dies meanwhile."""
        if scope["type"] != "http":
            return
        http = HttpRequest(scope, receive)
        answer = self._metrics if scope["path"] == "/metrics" else self._forward
        with suppress(TimeoutError):  # of a reader that does not read
            await unless_gone(http, answer(scope, await http.body(), receive, send))

    async def _metrics(self, scope: Scope, body: bytes, receive: Receive, send: Send) -> None:
        try:
            texts = dict(await self._replicas.broadcast("metrics").results_async())
        except (RayError, RayServeException):
            await _died().response()(scope, receive, send)
            return
        await Response(together(texts), media_type=CONTENT_TYPE_LATEST)(scope, receive, send)

    async def _forward(self, scope: Scope, body: bytes, receive: Receive, send: Send) -> None:
        place, streams, whole = JOB.fullmatch(scope["path"]), False, list[Message]()
        sent = {name: scope[name] for name in SENT if name in scope}
        answer: Any = self._replicas.options(method_name="answer", stream=True).remote(
            sent, body, place=place and place[1]
        )
        try:
            async for message in answer:
                if message["type"] == "http.response.start":
                    streams = Headers(raw=message["headers"]).get("content-type", "").startswith("text/event-stream")
                whole.append(message)
                if streams:
                    await _send(send, [whole.pop()])
        except (RayError, RayServeException):
            data = f"event: error\r\ndata: {json.dumps(_died().body)}\r\n\r\n".encode()
            if streams:
                whole = [{"type": "http.response.body", "body": data}]
            else:
                await _died().response()(scope, receive, send)
                return
        finally:
            answer.cancel()
        await _send(send, whole)


def _died() -> Problem:
    message = "the process that drew this image has ended: the same request draws the same image if it has a seed"
    return Problem(503, message, SERVER, code="replica_died", retry_after=1)


async def _send(send: Send, messages: list[Message]) -> None:
    async with asyncio.timeout(SLOWEST):
        for message in messages:
            await send(message)
