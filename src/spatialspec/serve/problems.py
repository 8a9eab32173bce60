"""Errors of the server, in the shape of OpenAI's API: `{"error": {message, type, param, code}}`."""

from __future__ import annotations

from typing import Any

from fastapi.exceptions import RequestValidationError
from fastapi.requests import Request as HttpRequest
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from spatialspec.core.errors import BadInput, printable, shown

SERVER = "server_error"


class Problem(Exception):
    """An answer that is no image.

    Args:
        status: of HTTP.
        message: one sentence, without a path or a traceback.
        kind: `type` of the error in OpenAI's API.
        param: field of the request that it is about.
        code: short name of the error.
        retry_after: seconds after which the same request may succeed.
    """

    def __init__(
        self,
        status: int,
        message: str,
        kind: str = "invalid_request_error",
        param: str | None = None,
        code: str | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(printable(message))
        self.status, self.kind, self.param, self.code, self.retry_after = status, kind, param, code, retry_after

    @classmethod
    def of(cls, error: BadInput, param: str | None = None, status: int = 400) -> Problem:
        """A problem with unusable input; where it came from is left out, as it may be a path."""
        advice = f": {error.advice}" if error.advice else ""
        kind = "invalid_request_error" if status < 500 else SERVER
        return cls(status, f"got {error.got}, expected {error.expected}{advice}", kind, param)

    @property
    def body(self) -> dict[str, Any]:
        """The JSON of the answer."""
        return {"error": {"message": str(self), "type": self.kind, "param": self.param, "code": self.code}}

    def response(self) -> Response:
        """The answer."""
        headers = {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}
        if self.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        return JSONResponse(self.body, self.status, headers)


async def on_problem(request: HttpRequest, error: Exception) -> Response:
    """Answer a problem."""
    assert isinstance(error, Problem)
    return error.response()


async def on_http(request: HttpRequest, error: Exception) -> Response:
    """Answer an unknown path, or a method that a path lacks."""
    assert isinstance(error, HTTPException)
    response = Problem(error.status_code, f"{error.detail}", code=_code(error.status_code)).response()
    response.headers.update(error.headers or {})
    return response


def _code(status: int) -> str | None:
    return {404: "not_found", 405: "method_not_allowed"}.get(status)


async def on_invalid(request: HttpRequest, error: Exception) -> Response:
    """Answer a body that is no JSON, or a field that is unknown or has a value that is not allowed."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    name = next((str(part) for part in first["loc"][1:2] if isinstance(part, str)), None)
    if first["type"] == "json_invalid":
        return Problem(400, "got a body that is no JSON, expected a JSON object", code="invalid_json").response()
    if name is None:
        got = f"{shown(first['input'])} as the body"
        return Problem(400, f"got {got}, expected a JSON object, sent as application/json").response()
    known = shown(name).strip("'\"")
    if first["type"] == "extra_forbidden":
        return Problem(400, f"got the unknown field {shown(name)}", param=known, code="unknown_parameter").response()
    if first["type"] == "missing":
        return Problem(400, f"got no {known}, expected one", param=known, code="missing_required_parameter").response()
    message = f"got {known} {shown(first['input'])}: {first['msg']}"
    return Problem(400, message, param=known, code="invalid_value").response()


async def on_bug(request: HttpRequest, error: Exception) -> Response:
    """Answer an error that nobody foresaw; its traceback goes to the log alone."""
    return Problem(500, "the server failed on this request; its log says more", SERVER).response()
