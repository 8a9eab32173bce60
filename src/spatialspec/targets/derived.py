"""Cached values computed from weights, and recomputed when the weights change."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Generic, TypeVar

import torch
from torch import Tensor

from spatialspec.core.errors import BadInput

T = TypeVar("T")


class Derived(Generic[T]):
    """A cached value of one weight, recomputed when the weight was replaced, moved, converted or written to.

    Writes through `weight.data` are not detected: call `forget`.
    """

    _value: T

    def __init__(self, make: Callable[[Tensor], T]) -> None:
        self._make = make
        self.forget()

    def forget(self) -> None:
        """Compute the value again at the next use."""
        self._weight: Callable[[], Tensor | None] = lambda: None
        self._stamp: tuple[object, ...] = ()

    def of(self, weight: Tensor) -> T:
        """The value.

        Raises:
            BadInput: the weight is offloaded.
        """
        if torch.compiler.is_compiling():  # the passes before computed it
            return self._value
        if weight.is_meta:
            raise BadInput("weights offloaded to disk or to the CPU", "all on devices", "give a device_map")
        version = 0 if weight.is_inference() else weight._version
        stamp = (weight.data_ptr(), weight.shape, weight.dtype, weight.device, version)
        if self._weight() is not weight or self._stamp != stamp:
            self._value = self._make(weight.detach())
            self._weight, self._stamp = weakref.ref(weight), stamp
        return self._value
