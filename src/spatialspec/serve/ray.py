"""Several replicas of the server, on all machines of a cluster: `serve run spatialspec.serve.ray:app model=icons`.

Ray Serve starts them, an accelerator for each, starts another one where one has died, and as many as waiting requests
need. A request goes to the replica of two that has fewer; one that is about a job goes to where it is drawn.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import ray
import torch
from pydantic import BaseModel, ConfigDict, Field
from ray import serve
from ray.serve import Application
from ray.serve._private import replica
from ray.serve.config import AutoscalingConfig, RequestRouterConfig
from ray.serve.handle import DeploymentHandle
from ray.serve.request_router import PendingRequest, RequestRouter, RunningReplica
from ray.serve.schema import LoggingConfig
from starlette.types import ASGIApp, Message, Scope

from spatialspec.core.errors import BadInput
from spatialspec.serve.app import Server
from spatialspec.serve.guard import Guard, read_key
from spatialspec.serve.ray_cluster import ModelSource
from spatialspec.serve.ray_front import Front
from spatialspec.serve.scheduler import Limits

NAME = "spatialspec"  # of the application
QUIET = LoggingConfig(log_level="WARNING", enable_access_log=False)
ONGOING = 100_000  # requests of a replica, which has limits of its own
PATIENCE = 5.0  # seconds of too many requests before another replica is started


class ReplicaOptions(BaseModel):
    """What `app` takes, each as `name=value`; by default as the options of `spatialspec serve`.

    Attributes:
        plugin: files, separated by commas.
        replicas: fewest.
        most_replicas: 0 is as many as `replicas`.
        gpus: accelerators of a replica; None is one where the machine of this command has any, unless on the CPU.
        cpus: processors, and so threads, of a replica that has no accelerator.
    """

    model_config = ConfigDict(extra="forbid")

    model: str = "icons"
    draft: str | None = None
    draft_model: str | None = None
    device: str | None = None
    dtype: str | None = None
    engine: str = "auto"
    plugin: str = ""
    max_batch: int = Field(default=8, ge=1, le=4096)
    max_queue: int = Field(default=64, ge=1, le=4096)
    max_seconds: float = Field(default=600, ge=1, le=86400)
    api_key_file: Path | None = None
    replicas: int = Field(default=1, ge=1, le=4096)
    most_replicas: int = Field(default=0, ge=0, le=4096)
    gpus: int | None = Field(default=None, ge=0, le=1)
    cpus: float = Field(default=1, gt=0)

    @property
    def limits(self) -> Limits:
        """Of each replica."""
        return Limits(self.max_batch, self.max_queue, self.max_seconds)

    @property
    def source(self) -> ModelSource:
        """Of the model."""
        plugins = tuple(Path(name) for name in self.plugin.split(",") if name)
        return ModelSource(
            self.model, self.draft, self.device, self.dtype, self.engine, plugins, self.draft_model
        ).anywhere()


class Replica:
    """A server in a process of its own.

    Args:
        source: of the model.
        limits: of this replica.
    """

    def __init__(self, source: ModelSource, limits: Limits) -> None:
        _close_to_others()
        self._place = serve.get_replica_context().replica_id.unique_id
        self._server = Server(source.load(), limits, place=self._place)
        self._server.scheduler.start()

    async def answer(self, scope: Scope, body: bytes, place: str | None) -> AsyncIterator[Message]:
        """The messages that answer a request of ASGI; closing the iterator is hanging up. The router reads `place`."""
        messages: asyncio.Queue[Message | None] = asyncio.Queue()
        request: Iterator[Message] = iter([{"type": "http.request", "body": body, "more_body": False}])
        gone = asyncio.Event()

        async def receive() -> Message:
            for message in request:
                return message
            await gone.wait()
            return {"type": "http.disconnect"}

        async def serve_it() -> None:
            try:
                await self._server.app(dict(scope), receive, messages.put)
            finally:
                messages.put_nowait(None)

        serving = asyncio.ensure_future(serve_it())
        try:
            while (message := await messages.get()) is not None:
                yield message
        finally:
            gone.set()
            await serving

    async def metrics(self) -> tuple[str, str]:
        """Its place, and its figures for Prometheus."""
        return self._place, bytes((await self._server.metrics()).body).decode()

    async def name(self) -> str:
        """Of the model."""
        return self._server.pipeline.target.name

    async def check_health(self) -> None:
        """Called by Ray Serve, which replaces a replica where this fails."""
        await self._server.health()


def _close_to_others() -> None:
    """Where Ray listens on the loopback, let replicas do so: Ray Serve opens their port for gRPC to every machine."""
    if not ip_address(ray.util.get_node_ip_address()).is_loopback:
        return
    add = replica.add_port_to_grpc_server
    replica.add_port_to_grpc_server = lambda server, address: add(server, address.replace("[::]", "127.0.0.1"))


class Placed(RequestRouter):
    """A request that names a place goes there while it lives; another one to the less busy of two replicas."""

    async def choose_replicas(
        self, candidate_replicas: list[RunningReplica], pending_request: PendingRequest | None = None
    ) -> list[list[RunningReplica]]:
        """The replicas to choose from."""
        place = pending_request and pending_request.kwargs.get("place")
        there = [one for one in candidate_replicas if one.replica_id.unique_id == place]
        return [there or random.sample(candidate_replicas, min(2, len(candidate_replicas)))]


class Door:
    """What Ray's own HTTP proxy sends requests to."""

    def __init__(self, replicas: DeploymentHandle, key: str | None) -> None:
        _close_to_others()
        self._replicas, self._key = replicas, key

    def __serve_build_asgi_app__(self) -> ASGIApp:
        """The routes."""
        return Guard(Front(self._replicas), self._key)


def deployed(options: ReplicaOptions) -> Application:
    """Replicas without a door."""
    most = max(options.replicas, options.most_replicas)
    scale: dict[str, Any] = {"num_replicas": most}
    if options.replicas < most:
        bounds = {"min_replicas": options.replicas, "max_replicas": most}
        wanted = AutoscalingConfig(**bounds, target_ongoing_requests=options.max_batch, upscale_delay_s=PATIENCE)
        scale = {"autoscaling_config": wanted}
    here = options.device != "cpu" and torch.accelerator.is_available()
    gpus = int(here) if options.gpus is None else options.gpus
    return serve.deployment(
        Replica,
        ray_actor_options={"num_gpus": gpus, "num_cpus": 1 if gpus else options.cpus},
        max_ongoing_requests=ONGOING,
        graceful_shutdown_timeout_s=options.max_seconds,
        request_router_config=RequestRouterConfig(request_router_class=Placed),
        logging_config=QUIET,
        **scale,
    ).bind(options.source, options.limits)


def app(options: dict[str, str]) -> Application:
    """The application of `serve run`; see `ReplicaOptions`."""
    chosen = ReplicaOptions.model_validate(options)
    key = None if chosen.api_key_file is None else read_key(chosen.api_key_file)
    door = serve.deployment(
        serve.ingress()(Door), name="Door", ray_actor_options={"num_cpus": 0}, max_ongoing_requests=ONGOING
    )
    return door.bind(deployed(chosen), key)


@contextmanager
def replicated(options: ReplicaOptions) -> Iterator[tuple[str, ASGIApp]]:
    """Name of the model, and the routes, in this process; within `cluster`. What `serve --replicas` serves.

    Raises:
        BadInput: more replicas than accelerators, or a replica that does not start.
    """
    found, most = ray.cluster_resources(), max(options.replicas, options.most_replicas)
    gpus = options.source.accelerators
    if gpus and most > found["GPU"]:
        raise BadInput(f"--replicas {most}", f"at most {found['GPU']:g}, the accelerators here")
    share = {"gpus": gpus, "cpus": min(found["CPU"] / most, os.cpu_count() or 1)}
    logging.getLogger("ray.serve").setLevel(logging.CRITICAL)  # of this process
    serve.start(proxy_location="Disabled", logging_config=QUIET)
    try:
        replicas = serve.run(deployed(options.model_copy(update=share)), name=NAME, route_prefix=None)
    except RuntimeError as error:  # with the traceback of the replica
        advice = "run it without --replicas, which says why"
        raise BadInput("replicas that do not start", "a model that loads", advice) from error
    try:
        yield replicas.options(method_name="name").remote().result(), Front(replicas)
    finally:
        serve.delete(NAME)
