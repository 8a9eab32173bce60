"""Runs the server: binds the address, says when it is ready, ends after what runs."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable
from ipaddress import ip_address

import uvicorn
from sse_starlette.sse import AppStatus
from starlette.types import ASGIApp

from spatialspec.core.errors import BadInput


class WebServer(uvicorn.Server):
    """Serves the routes until a signal ends it, then finishes what was taken.

    Args:
        app: the routes.
        seconds: time limit of a request.
        ready: called once requests are taken.
    """

    def __init__(self, app: ASGIApp, seconds: float, ready: Callable[[], object] = lambda: None) -> None:
        limit = int(seconds) + 1  # for readers that do not read; images end before
        super().__init__(
            uvicorn.Config(
                app, log_level="warning", access_log=False, server_header=False, timeout_graceful_shutdown=limit
            )
        )
        self._ready = ready
        AppStatus.disable_automatic_graceful_drain()  # streams end with their images, as other answers do

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then say so."""
        await super().startup(sockets)
        if self.started:
            self._ready()


def bound(host: str, port: int) -> socket.socket:
    """A socket at an address; the port 0 takes a free one.

    Raises:
        BadInput: no such address, or it is in use.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise BadInput(f"{host}, port {port}", "an address of this machine that is free", reason) from error
    return listening


def loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def run(app: ASGIApp, seconds: float, listening: socket.socket, ready: Callable[[str], object]) -> None:
    """Serve until SIGTERM or SIGINT, then finish what was taken.

    Args:
        app: the routes.
        seconds: time limit of a request.
        listening: from `bound`.
        ready: called with the URL when requests are taken.

    Raises:
        KeyboardInterrupt: after SIGINT.
    """
    host, port = listening.getsockname()[:2]
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    signal.signal(signal.SIGTERM, lambda *_: None)  # uvicorn raises it once more at its end, for whoever waits for it
    WebServer(app, seconds, lambda: ready(url)).run(sockets=[listening])
