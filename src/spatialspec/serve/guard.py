"""What every request passes first: the key, the size of its body, and the headers of safety."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from pathlib import Path

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from spatialspec.core.errors import BadInput
from spatialspec.io.files import read_text
from spatialspec.serve.problems import Problem

LONGEST_KEY = 4096  # characters
LARGEST = 256 * 1024  # bytes of a body: two prompts of 10,000 characters, all of them escaped
PATIENCE = 30.0  # seconds for a body to arrive
OPEN = {"/", "/page.css", "/page.js", "/health", "/ready"}  # without a key
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def read_key(path: Path) -> str:
    """The key in a file, without blanks around it.

    Raises:
        BadInput: no file, or no key in it.
    """
    key = read_text(path, "an API key", limit=LONGEST_KEY).strip()
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        raise BadInput("no key in it", "one word of printable ASCII", "write one into it", where=path)
    return key


class Guard:
    """Middleware.

    Args:
        app: behind it.
        key: that clients have to send as `Authorization: Bearer KEY`; None for no key.
    """

    def __init__(self, app: ASGIApp, key: str | None = None) -> None:
        self.app, self._key = app, None if key is None else _digest(key.encode())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check a request, then pass it on with its body."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        try:
            self._check_key(scope)
            async with asyncio.timeout(PATIENCE):
                body = await _body(scope, receive)
        except Problem as problem:
            await problem.response()(scope, receive, with_headers)
            return
        except TimeoutError:
            late = Problem(408, f"the body did not arrive within {PATIENCE:g} seconds", code="timeout")
            await late.response()(scope, receive, with_headers)
            return
        if body is not None:
            await self.app(scope, _again(body, receive), with_headers)

    def _check_key(self, scope: Scope) -> None:
        """Compare digests, which takes the same time whatever the key is.

        Raises:
            Problem: no key, or another one.
        """
        if self._key is None or scope["path"] in OPEN:
            return
        scheme, _, sent = Headers(scope=scope).get("authorization", "").partition(" ")
        same = hmac.compare_digest(_digest(sent.strip().encode("latin-1", "replace")), self._key)
        if not same or scheme.lower() != "bearer":
            message = "got no valid API key, expected `Authorization: Bearer KEY`"
            raise Problem(401, message, "authentication_error", code="invalid_api_key")


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()


async def _body(scope: Scope, receive: Receive) -> bytes | None:
    """The body; None if the client hung up before its end.

    Raises:
        Problem: it is too large.
    """
    announced = Headers(scope=scope).get("content-length", "0")
    size, chunks, more = int(announced) if announced.isdecimal() else 0, list[bytes](), True
    while more and size <= LARGEST:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        chunks.append(message.get("body", b""))
        more = message.get("more_body", False)
        size = max(size, sum(map(len, chunks)))
    if size > LARGEST:
        text = f"got a body of more than {LARGEST:,} bytes, which is the limit"
        raise Problem(413, text, code="body_too_large")
    return b"".join(chunks)


def _again(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives the body once more, then what follows it."""
    first = iter([body])

    async def again() -> Message:
        for chunk in first:
            return {"type": "http.request", "body": chunk, "more_body": False}
        return await receive()

    return again
