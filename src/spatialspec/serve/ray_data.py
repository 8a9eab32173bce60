"""`generate --prompts --ray`: prompts drawn by actors of Ray Data, on all machines of a cluster.

Actors send images and lines back, and the one process that started them writes: no folder has to be shared, and it is
the same, and resumes, whoever draws.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Any

import ray
import torch
from ray.data import ActorPoolStrategy, DataContext

from spatialspec.measure.prompt_run import IndexLine, PromptRun
from spatialspec.serve.ray_cluster import ModelSource

MOST = 4096  # tasks that prompts are parted into: what an interrupted one has drawn is drawn again


class Drawer:
    """An actor: loads the model, then draws one prompt after the other.

    Args:
        source: of the model.
        run: all images.
        threads: of PyTorch, so that sums are in the same order in every process.
    """

    def __init__(self, source: ModelSource, run: PromptRun, threads: int) -> None:
        torch.set_num_threads(threads)
        self._pipeline, self._run = source.load(), run

    def __call__(self, row: dict[str, Any]) -> list[dict[str, Any]]:
        """Rows of the images of a prompt."""
        found = self._run.draw(self._pipeline, int(row["item"]), lambda method, tokens: None)
        return [{"line": line.model_dump_json(), "file": file} for line, file in found]


def drawn(source: ModelSource, run: PromptRun, prompts: Sequence[int]) -> Iterator[tuple[IndexLine, bytes]]:
    """Images as they are done, in any order; within `cluster`.

    Args:
        source: of the model.
        run: all images.
        prompts: indices of those to draw.
    """
    threads, gpus = torch.get_num_threads(), source.accelerators
    DataContext.get_current().enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # of this process
    rows = ray.data.from_items(list(prompts), override_num_blocks=min(len(prompts), MOST)).flat_map(
        Drawer,
        fn_constructor_args=(source.anywhere(), run, threads),
        compute=ActorPoolStrategy(min_size=1, max_size=_actors(gpus, threads)),
        **({"num_gpus": 1} if gpus else {"num_cpus": threads}),
    )
    for row in rows.iter_rows():
        yield IndexLine.model_validate_json(row["line"]), row["file"]


def _actors(gpus: int, threads: int) -> int:
    """As many as the cluster has accelerators, or processors for."""
    found = ray.cluster_resources()
    return max(1, int(found.get("GPU", 0) if gpus else found.get("CPU", 1) // threads))
