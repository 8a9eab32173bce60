"""Files of tensors: safetensors only, checked against the file size and the module before use."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from safetensors import SafetensorError, safe_open

from spatialspec.core.errors import BadInput
from spatialspec.io.files import LFS, unusable, writing

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

Module = TypeVar("Module", bound="nn.Module")
FLOATS = ("torch.float64", "torch.float32", "torch.float16", "torch.bfloat16")
KINDS = {  # first bytes of a file of another format -> its format, and advice
    LFS: ("a git-lfs pointer, not the weights themselves", "run `git lfs pull` in its folder, or fetch the file again"),
    b"PK\x03\x04": ("a file of PyTorch's own format", "save it as safetensors, or see `spatialspec convert --help`"),
    b"<": ("a web page", "fetch the file again, with a token if the model asks for one"),
}


def read_shapes(path: Path, advice: str = "fetch it again") -> dict[str, tuple[int, ...]]:
    """Shape of every tensor of a safetensors file, from its header, which is checked against the size of the file.

    Raises:
        BadInput: the file is missing or no safetensors; the message names a known other format.
    """
    try:
        if not path.is_file():
            raise BadInput(f"no file {path}", "weights in safetensors", "check the folder")
        with safe_open(path, "np") as file:
            return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        with path.open("rb") as raw:
            head = raw.read(64)
        for first, (what, remedy) in KINDS.items():
            if head.startswith(first):
                raise BadInput(what, "weights in safetensors", remedy, path) from error
        raise BadInput(f"a damaged file ({error})", "safetensors", advice, path) from error
    except OSError as error:
        raise unusable(path, error, "weights in safetensors") from error


def shapes_of(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """Shape of every tensor."""
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def check_shapes(
    expected: Mapping[str, tuple[int, ...]], got: Mapping[str, tuple[int, ...]], where: object, advice: str = ""
) -> None:
    """Refuse differences between names and shapes of tensors.

    Raises:
        BadInput: there is one; the message names the first, and counts missing and surplus tensors.
    """
    absent = {"missing": expected.keys() - got.keys(), "surplus": got.keys() - expected.keys()}
    counts = [f"{len(names)} {what} tensors" for what, names in absent.items() if names]
    for name in sorted(expected.keys() | got.keys()):
        if expected.get(name) != got.get(name):
            e, g = (str(shapes.get(name, "no such tensor")) for shapes in (expected, got))
            todo = "; ".join([advice or "the file is for another model", *counts])
            raise BadInput(g, e, todo, f"{where}: tensor {name}")


def read_weights(
    module: nn.Module, path: Path, device: str | torch.device = "cpu", dtype: torch.dtype | None = None
) -> None:
    """Load a safetensors file whose names and shapes are exactly the module's.

    Args:
        module: to load into; one on the meta device gets the tensors of the file, without a second copy.
        path: of the file.
        device: of a module that is on the meta device.
        dtype: of its floating-point tensors; None is the file's.

    Raises:
        BadInput: the file is missing, truncated or foreign; the message names the first difference.
    """
    state = module.state_dict()
    check_shapes(shapes_of(state), read_shapes(path), path)
    bare = any(tensor.is_meta for tensor in state.values())
    placed = {}
    with safe_open(path, "pt") as file:
        for name, wanted in state.items():
            tensor = file.get_tensor(name)
            kinds = FLOATS if wanted.is_floating_point() else (str(wanted.dtype),)
            if str(tensor.dtype) not in kinds:
                expected = " or ".join(kinds).replace("torch.", "")
                got = str(tensor.dtype).removeprefix("torch.")
                raise BadInput(f"numbers of type {got}", expected, "fetch it again", f"{path}: tensor {name}")
            placed[name] = tensor.to(device, dtype if tensor.is_floating_point() else None) if bare else tensor
        module.load_state_dict(placed, assign=bare)


def _uninitialised() -> AbstractContextManager[object]:
    """Skip the initialisation of weights: it is useless on the meta device, and imports PyTorch's compiler."""
    import torch
    from torch.overrides import TorchFunctionMode

    class Uninitialised(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if getattr(func, "__module__", "") == "torch.nn.init" or func is torch.nn.functional.normalize:
                return args[0] if args else next(iter((kwargs or {}).values()))
            drawn = func is torch.randn  # on the meta device it imports sympy
            return (torch.empty if drawn else func)(*args, **(kwargs or {}))

    return Uninitialised()


def build(make: Callable[[], Module], where: object) -> Module:
    """Build a network on the meta device, without memory for weights.

    Args:
        make: builds the network, from sizes in a file.
        where: the file, for messages.

    Raises:
        BadInput: no network can have these sizes.
    """
    import torch

    try:
        with torch.device("meta"), _uninitialised(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of empty tensors, before the shapes are compared
            return make()
    except (TypeError, RuntimeError, ValueError, AssertionError, ArithmeticError) as error:
        if isinstance(error, BadInput):
            raise
        reason = str(error).strip().partition("\n")[0]
        got = f"sizes that do not fit together ({reason})"
        raise BadInput(got, "those of a network", "fetch it again", where) from error


def load_module(
    make: Callable[[], Module],
    path: Path,
    where: object,
    device: str | torch.device = "cpu",
    dtype: torch.dtype | None = None,
) -> Module:
    """Build a network, compare it with the header of its file, and only then read weights.

    Args:
        make: as for :func:`build`.
        path: of the weights.
        where: as for :func:`build`.
        device: of the weights.
        dtype: of the floating-point ones; None is the file's.

    Raises:
        BadInput: no network can have these sizes, or the file does not hold the weights of such a one.
    """
    module = build(make, where)
    read_weights(module, path, device, dtype)
    return module


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None) -> None:
    """Write a safetensors file, as `writing` does."""
    from safetensors.torch import save_file

    with writing(path) as partial:
        try:
            save_file(dict(tensors), partial, metadata=metadata)
        except SafetensorError as error:  # for example if the disk is full
            raise OSError(str(error)) from error


def write_weights(module: nn.Module, path: Path, metadata: dict[str, str] | None = None) -> None:
    """Write a module's tensors in bfloat16, as `writing` does."""
    import torch

    tensors = {
        name: (t.to(torch.bfloat16) if t.is_floating_point() else t).detach().cpu().contiguous()
        for name, t in module.state_dict().items()
    }
    write_tensors(path, tensors, metadata)
