"""Counts the operators of PyTorch that code calls, and how often it waits for a device."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

VIEWS = {  # operators that compute nothing
    "alias", "detach", "expand", "lift_fresh", "permute", "select", "slice", "split", "squeeze", "t", "transpose",
    "unbind", "unsqueeze", "view", "_unsafe_view",
}  # fmt: skip
READS = ("tolist", "item", "numpy", "cpu")  # methods that wait; `bool`, `int` and `float` of a tensor call an operator


class Operators(TorchDispatchMode):
    """Counts operators.

    Attributes:
        counts: of every operator but VIEWS, by name.
        largest: numbers in the largest tensor that an operator returned, by its name.
        reads: values that were read from tensors, each a wait on a device.
    """

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()
        self.largest: Counter[str] = Counter()
        self.reads = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = str(function).split(".")[1]
        self.reads += name == "_local_scalar_dense"
        if name not in VIEWS:
            self.counts[name] += 1
        result = function(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor):
            self.largest[name] = max(self.largest[name], result.numel())
        return result

    def __len__(self) -> int:
        return sum(self.counts.values())


@contextmanager
def counted(patch: pytest.MonkeyPatch) -> Iterator[Operators]:
    """Count the operators and reads of a block."""
    operators = Operators()

    def counting(honest: Callable[..., Any]) -> Callable[..., Any]:
        def read(tensor: torch.Tensor, *args: Any, **keywords: Any) -> Any:
            operators.reads += 1
            with torch.utils._python_dispatch._disable_current_modes():
                return honest(tensor, *args, **keywords)

        return read

    with patch.context() as patched, operators:
        for name in READS:
            patched.setattr(torch.Tensor, name, counting(getattr(torch.Tensor, name)))
        yield operators
