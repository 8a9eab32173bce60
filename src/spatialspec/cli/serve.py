"""`spatialspec serve`: the images API of OpenAI, and a page, for one model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from spatialspec.cli import options
from spatialspec.cli.common import Common
from spatialspec.cli.display import say, wrapped
from spatialspec.core.arguments import number, whole
from spatialspec.core.errors import BadInput
from spatialspec.extras import need
from spatialspec.io.files import read_text

LONGEST_KEY = 4096  # characters


def serve(
    model: options.Model = "icons",
    draft: options.Draft = None,
    draft_model: options.DraftModel = None,
    host: Annotated[str, typer.Option(help="Address to listen at; 0.0.0.0 for all of this machine.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen at; 0 for a free one.")] = 8000,
    max_batch: Annotated[int, typer.Option(help="Most images that share passes.")] = 8,
    max_queue: Annotated[int, typer.Option(help="Most images that wait; further requests are refused.")] = 64,
    max_seconds: Annotated[float, typer.Option(help="Time limit of a request, the wait included.")] = 600.0,
    api_key_file: Annotated[
        Path | None, typer.Option(help="File with the key that clients have to send. [default: no key]")
    ] = None,
    device: options.Device = None,
    engine: options.Engine = "auto",
    dtype: options.Dtype = None,
    plugin: options.Plugin = None,
) -> None:
    """Serve a model: OpenAI's images API, and a live page.

    The page shows images while they are drawn. Images of all requests share the passes of the model: they join and
    leave between two passes. Each is what it would be alone.
    """
    need("serve")
    limits = {"--max-batch": max_batch, "--max-queue": max_queue}
    for name, value in limits.items():
        whole(name, value, 1, 4096)
    whole("--port", port, 0, 65535)
    number("--max-seconds", max_seconds, 1, 86400)
    key = None if api_key_file is None else _key(api_key_file)
    common = Common.of(locals(), methods="spatial")
    common.parse_methods()

    from spatialspec.serve.scheduler import Limits
    from spatialspec.serve.server import bound, loopback, run

    listening = bound(host, port)
    with listening:
        pipeline, _ = common.load([], [])

        from spatialspec.serve.app import Server

        if key is None and not loopback(host):
            say(wrapped("note: no --api-key-file: whoever reaches this address can draw"))
        server = Server(pipeline, Limits(max_batch, max_queue, max_seconds), key)
        run(server, listening, lambda url: say(f"serving {pipeline.target.name} at {url} (Ctrl-C ends it)"))


def _key(path: Path) -> str:
    """The key in a file, without blanks around it.

    Raises:
        BadInput: no file, or no key in it.
    """
    key = read_text(path, "an API key", limit=LONGEST_KEY).strip()
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        raise BadInput("no key in it", "one word of printable ASCII", "write one into it", where=path)
    return key
