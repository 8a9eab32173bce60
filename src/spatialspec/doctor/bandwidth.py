"""Bandwidth limit of a pass: it cannot be faster than reading the weights once from memory.

    seconds >= bytes of weights that a pass reads / bandwidth

The bandwidth is that of a copy on the same device. Weights that fit into a cache of the processor may be read faster.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from spatialspec.core.interfaces import Target
from spatialspec.core.proposal import Proposal
from spatialspec.core.state import State
from spatialspec.devices import wait
from spatialspec.request import Request
from spatialspec.targets.room import free_memory

MOST, ON_CPU = 1 << 30, 1 << 26  # bytes that are copied
COPIES, RUNS = 4, 3  # copies in a row, of which the fastest run counts
FACTORS = {"mm": 1, "addmm": 2, "linear": 1}  # products with a matrix -> which argument is the matrix


def copy_bandwidth(device: torch.device) -> float:
    """Bytes that a copy reads and writes per second on a device, at best."""
    free = free_memory(device)
    size = min(MOST if device.type != "cpu" else ON_CPU, MOST if free is None else free // 8)
    source = torch.ones(size, dtype=torch.uint8, device=device)
    copy, best = torch.ones_like(source), float("inf")
    for _ in range(RUNS):
        wait(device)
        start = time.perf_counter()
        for _ in range(COPIES):
            copy.copy_(source)
        wait(device)
        best = min(best, time.perf_counter() - start)
    return 2 * COPIES * size / best


class WeightsRead(TorchDispatchMode):
    """Records the matrices that products of a pass read. Embeddings are no products: only some of their rows are read.

    Attributes:
        matrices: place and shape of every matrix -> bytes.
    """

    def __init__(self) -> None:
        super().__init__()
        self.matrices: dict[tuple[int, torch.Size], int] = {}

    @property
    def total(self) -> int:
        """Bytes of all of them, each counted once."""
        return sum(self.matrices.values())

    def __torch_dispatch__(
        self, function: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Run an operator."""
        if (factor := FACTORS.get(str(function.overloadpacket).rpartition(".")[2])) is not None:
            matrix: Tensor = args[factor]
            self.matrices[matrix.data_ptr(), matrix.shape] = matrix.numel() * matrix.element_size()
        return function(*args, **(kwargs or {}))


@torch.inference_mode()
def weights_read(request: Request, target: Target) -> int:
    """Bytes of weights that a pass of a target reads: counted in the first pass of a request's first image."""
    first = request.only([0])
    session = first.session(target)
    with WeightsRead() as read:
        session.score([State(target.layout(first.grid))], [Proposal()])
    session.drop([0])
    return read.total
