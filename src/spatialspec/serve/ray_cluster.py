"""Ray: the cluster to run in, and how its processes load a model."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from ipaddress import ip_address
from pathlib import Path

from spatialspec.core.errors import BadInput, shown
from spatialspec.models import embedded
from spatialspec.pipeline import SpatialPipeline
from spatialspec.plugins import load_file

QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
LOCAL = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"
}  # one machine, so that Ray listens on its loopback alone, as it does there


@dataclass(frozen=True)
class ModelSource:
    """What a pipeline is loaded from, in another process; folders are to be there on every machine.

    Attributes:
        model: name, folder or OWNER/NAME on the Hub.
        draft: likewise; None for those of the model.
        device: None takes the accelerator where there is one.
        dtype: its name; None for that of the device.
        engine: how passes are run.
        plugins: files that register methods, drafts or targets.
        draft_model: a smaller model that drafts, as `model`; None for none.
    """

    model: str = "icons"
    draft: str | None = None
    device: str | None = None
    dtype: str | None = None
    engine: str = "auto"
    plugins: tuple[Path, ...] = ()
    draft_model: str | None = None

    def anywhere(self) -> ModelSource:
        """A copy that names the same folders from whatever folder a process works in."""
        model = self.model if self.model in embedded() else _absolute(self.model)
        draft = self.draft if self.draft is None or "/" not in self.draft else _absolute(self.draft)
        small = self.draft_model
        if small is not None and small not in embedded():
            small = _absolute(small)
        plugins = tuple(Path(_absolute(str(path))) for path in self.plugins)
        return replace(self, model=model, draft=draft, draft_model=small, plugins=plugins)

    def load(self) -> SpatialPipeline:
        """Load it.

        Raises:
            BadInput: see `SpatialPipeline.from_pretrained`.
        """
        for path in self.plugins:
            load_file(path)
        pipeline = SpatialPipeline.from_pretrained(
            self.model,
            self.draft,
            self.device,
            dtype=self.dtype,
            engine=self.engine,
            draft_model=self.draft_model,
        )
        pipeline.set_progress_bar_config(disable=True)
        return pipeline

    @property
    def accelerators(self) -> int:
        """Accelerators that a process of the cluster takes: one where the cluster has any, unless on the CPU."""
        import ray

        return int(self.device != "cpu" and ray.cluster_resources().get("GPU", 0) > 0)


def _absolute(name: str) -> str:
    path = Path(name).expanduser()
    return str(path.absolute()) if path.exists() else name


@contextmanager
def cluster() -> Iterator[None]:
    """Run in the cluster at RAY_ADDRESS; else in one of this machine, on the loopback, that ends with the block.

    Ray reads its environment when it is imported: import what needs it within the block. No dashboard, no statistics of
    usage; what its processes print goes to its log folder.

    Raises:
        BadInput: it does not start.
        RuntimeError: Ray was imported before, and would listen beyond the loopback.
    """
    own = "RAY_ADDRESS" not in os.environ
    for name, value in {**QUIET, **(LOCAL if own else {})}.items():
        os.environ.setdefault(name, value)
    import ray

    try:
        try:
            ray.init(logging_level=logging.ERROR, log_to_driver=False, **({"include_dashboard": False} if own else {}))
        except Exception as error:  # ConnectionError, RuntimeError, or a plain one where it took more than 30 seconds
            got = f"a cluster of Ray that does not start ({type(error).__name__}: {shown(str(error))})"
            advice = "try again when the machine is less busy" if own else "check RAY_ADDRESS"
            raise BadInput(got, "one that does", advice) from error
        if own and not ip_address(ray.util.get_node_ip_address()).is_loopback:
            raise RuntimeError("Ray was imported before its environment was set")
        yield
    finally:
        ray.shutdown()
