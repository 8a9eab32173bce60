"""Weights of frozen networks that ship inside Python packages: find them, check them, load them."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from torch import Tensor, nn

from spatialspec.tensors import check_shapes


def package_folder(package: str, module: str) -> Path:
    """Return the folder of an installed package without importing it.

    Args:
        package: name to install it by.
        module: name to import it by.

    Raises:
        ImportError: it is not installed; the message says what to install.
    """
    spec = find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        raise ImportError(f"the package {package} is not installed: run `pip install {package}`")
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
