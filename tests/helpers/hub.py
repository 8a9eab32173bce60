"""A Hub on the loopback: folders as repositories, the routes that its client uses, and a list of what it served."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

SHA = "0123456789abcdef0123456789abcdef01234567"


class LoopbackHub(ThreadingHTTPServer):
    """The server.

    Attributes:
        repositories: OWNER/NAME -> folder of its files.
        gated: names that nobody has access to.
        served: OWNER/NAME/FILE of every file that was sent.
        tokens: every token that came with a request.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repositories: dict[str, Path] = {}
        self.gated: set[str] = set()
        self.served: list[str] = []
        self.tokens: set[str] = set()

    @property
    def endpoint(self) -> str:
        """Its address, for HF_ENDPOINT."""
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: LoopbackHub

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def log_message(self, format: str, *args: object) -> None:
        pass

    def _answer(self, body: bool) -> None:
        if token := self.headers.get("authorization"):
            self.server.tokens.add(token.removeprefix("Bearer "))
        parts = unquote(urlsplit(self.path).path).strip("/").split("/")
        api = parts[:2] == ["api", "models"]
        parts = parts[2:] if api else parts
        name, rest = "/".join(parts[:2]), parts[2:]
        folder, revision = self.server.repositories.get(name), rest[1] if len(rest) > 1 else "main"
        if name in self.server.gated:
            return self._send(403, {"error": "gated"}, body, "GatedRepo")
        if folder is None:
            return self._send(404, {"error": "no repository"}, body, "RepoNotFound")
        if revision not in ("main", "v1", SHA):
            return self._send(404, {"error": "no revision"}, body, "RevisionNotFound")
        files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
        if api and rest[:1] == ["tree"]:
            return self._send(200, [self._entry(folder, file) for file in files], body)
        if api:
            siblings = [{"rfilename": file} for file in files]
            return self._send(200, {"id": name, "modelId": name, "sha": SHA, "siblings": siblings}, body)
        file = "/".join(rest[2:])
        if file not in files:
            return self._send(404, {"error": "no file"}, body, "EntryNotFound")
        if body:
            self.server.served.append(f"{name}/{file}")
        self._send(200, (folder / file).read_bytes(), body)

    @staticmethod
    def _entry(folder: Path, file: str) -> dict[str, object]:
        data = (folder / file).read_bytes()
        return {"type": "file", "path": file, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}

    def _send(self, status: int, content: object, body: bool, error: str = "") -> None:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Content-Type", "application/json")
        self.send_header("ETag", f'"{hashlib.sha1(data).hexdigest()}"')
        self.send_header("X-Repo-Commit", SHA)
        if error:
            self.send_header("X-Error-Code", error)
        self.end_headers()
        if body:
            self.wfile.write(data)


@contextmanager
def serving() -> Iterator[LoopbackHub]:
    """A running server."""
    with LoopbackHub() as hub:
        thread = threading.Thread(target=hub.serve_forever, daemon=True)
        thread.start()
        try:
            yield hub
        finally:
            hub.shutdown()
            thread.join()
