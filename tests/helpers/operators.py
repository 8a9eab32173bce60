"""Counts the operators of PyTorch that code calls, and how often it waits for a device."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

READS = ("tolist", "item", "numpy", "cpu")  # methods that wait; `bool`, `int` and `float` of a tensor call an operator


class Operators(TorchDispatchMode):
    """Counts operators.

    Attributes:
        counts: of every operator that computes something, by name; not of views and of what returns its argument.
        largest: numbers in the largest tensor that an operator made, by its name.
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
        result = function(*args, **(kwargs or {}))
        first = result[0] if isinstance(result, tuple | list) and result else result
        given = [arg for arg in args if isinstance(arg, torch.Tensor)]
        viewed = isinstance(first, torch.Tensor) and any(_shared(first, arg) for arg in given)
        if name.endswith("_") or not viewed:
            self.counts[name] += name != "_local_scalar_dense"
        if isinstance(result, torch.Tensor) and not viewed:
            self.largest[name] = max(self.largest[name], result.numel())
        return result

    def __len__(self) -> int:
        return sum(self.counts.values())


def _shared(one: torch.Tensor, other: torch.Tensor) -> bool:
    return one.numel() > 0 and one.untyped_storage().data_ptr() == other.untyped_storage().data_ptr()


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
