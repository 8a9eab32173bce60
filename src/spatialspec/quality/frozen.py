"""Weights of frozen networks that ship inside Python packages: find them, check them, load them."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from torch import Tensor, nn

from spatialspec.extras import need
from spatialspec.tensors import check_shapes


def package_folder(module: str) -> Path:
    """Return the folder of a package of the extra `evaluate` without importing it.

    Raises:
        NotInstalled: it is not there; the message says what to install.
    """
    need("evaluate", module)
    spec = find_spec(module)
    assert spec is not None and spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0])


def fit(model: nn.Module, tensors: Mapping[str, Tensor], source: Path) -> None:
    """Copy tensors into a model after checking every name and shape.

    Args:
        model: takes the values in its own dtype.
        tensors: one for each parameter and buffer of the model, no more and no fewer.
        source: file that they come from, for the message.

    Raises:
        BadInput: a tensor is missing, unknown or of another shape; one line that names the first.
    """
    expected = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    check_shapes(expected, {name: tuple(value.shape) for name, value in tensors.items()}, source)
    model.load_state_dict(dict(tensors))
