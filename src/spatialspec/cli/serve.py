"""`spatialspec serve`: the images API of OpenAI, and a page, for one model."""

from __future__ import annotations

import re
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer

from spatialspec.cli import options
from spatialspec.cli.common import Common, read_folders
from spatialspec.cli.display import say, waiting, wrapped
from spatialspec.core.arguments import number, whole
from spatialspec.core.errors import BadInput, shown
from spatialspec.extras import need


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
    replicas: Annotated[
        str | None,
        typer.Option(
            metavar="N|LEAST..MOST",
            help="Processes of Ray Serve, each with the model and, if any, a GPU. [default: no Ray]",
        ),
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
    processes = None if replicas is None else _processes(replicas)
    need("serve" if processes is None else "ray")
    limits = {"--max-batch": max_batch, "--max-queue": max_queue}
    for name, value in limits.items():
        whole(name, value, 1, 4096)
    whole("--port", port, 0, 65535)
    number("--max-seconds", max_seconds, 1, 86400)

    from spatialspec.serve.guard import Guard, read_key
    from spatialspec.serve.scheduler import Limits
    from spatialspec.serve.server import bound, loopback, run

    key = None if api_key_file is None else read_key(api_key_file)
    common = Common.of(locals(), methods="spatial")
    common.parse_methods()
    app: Any  # of ASGI
    with ExitStack() as stack:
        listening = stack.enter_context(bound(host, port))
        if processes is None:
            pipeline, _ = common.load([], [])

            from spatialspec.serve.app import Server

            name, app = pipeline.target.name, Server(pipeline, Limits(max_batch, max_queue, max_seconds), key).app
        else:
            from spatialspec.serve.ray_cluster import cluster

            read_folders(model, draft, draft_model, whole=True)  # fetched once, with a bar
            with waiting(f"starting {replicas} replicas"):
                stack.enter_context(cluster())
                from spatialspec.serve.ray import ReplicaOptions, replicated

                chosen = ReplicaOptions(
                    model=model, draft=draft, draft_model=draft_model, device=device, dtype=dtype, engine=engine,
                    plugin=",".join(map(str, plugin or ())), max_batch=max_batch, max_queue=max_queue,
                    max_seconds=max_seconds, replicas=processes[0], most_replicas=processes[1],
                )  # fmt: skip
                name, front = stack.enter_context(replicated(chosen))
            app = Guard(front, key)
        if key is None and not loopback(host):
            say(wrapped("note: no --api-key-file: whoever reaches this address can draw"))
        run(app, max_seconds, listening, lambda url: say(f"serving {name} at {url} (Ctrl-C ends it)"))


def _processes(text: str) -> tuple[int, int]:
    """Read --replicas.

    Returns:
        The fewest and the most.

    Raises:
        BadInput: neither a number nor two.
    """
    match = re.fullmatch(r"(\d{1,4})(?:\.\.(\d{1,4}))?", text)
    least, most = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
    if not 1 <= least <= most:
        raise BadInput(f"--replicas {shown(text)}", "N or LEAST..MOST, from 1", "as in 2, or 1..4")
    return least, most
