"""Work that is done once, in pieces: each a safetensors file, whole or not there, over any number of processes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from accelerate import PartialState
from safetensors.torch import load_file
from torch import Tensor

from spatialspec.core.errors import BadInput
from spatialspec.tensors import read_shapes, write_tensors

Shapes = dict[str, tuple[int, ...]]


def make(
    folder: Path,
    names: Sequence[str],
    build: Callable[[int], dict[str, Tensor]],
    report: Callable[[str], None],
    together: bool = False,
    shapes: Sequence[Shapes] | None = None,
) -> list[Path]:
    """Make the pieces that are not there yet.

    Args:
        folder: where they are kept.
        names: file names without suffix. A name must tell all that its piece depends on.
        build: makes the tensors of piece i.
        report: called with a line after each piece, and once if there were pieces already.
        shapes: of the tensors of each piece, by name; a file with others is made again.
        together: all processes build every piece, in step, as they must with a target that is split over them;
            otherwise each builds its share.

    Returns:
        One file per name, all there when any process returns.
    """
    state = PartialState()
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{name}.safetensors" for name in names]
    missing = [i for i, path in enumerate(paths) if not whole(path, None if shapes is None else shapes[i])]
    if len(missing) < len(paths):
        report(f"{len(paths) - len(missing)} of {len(paths)} pieces are there already")
    state.wait_for_everyone()  # all have looked before anyone writes
    with state.split_between_processes(missing) as share:
        mine = missing if together else share
        for done, i in enumerate(mine, start=1):
            tensors = build(i)
            if not together or state.is_main_process:
                write_tensors(paths[i], tensors)
            report(f"{done}/{len(mine)} pieces")
    state.wait_for_everyone()
    return paths


def whole(path: Path, shapes: Shapes | None = None) -> bool:
    """Whether a file is there, its header fits its length, and its tensors are these; any other is made again."""
    try:
        return shapes in (None, read_shapes(path))
    except BadInput:
        return False


def kept(path: Path | None, count: int, build: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
    """Tensors of a file, made and written if it is not there or not whole.

    Args:
        path: its name must tell all that the tensors depend on; None keeps none.
        count: length of each tensor.
        build: makes them.
    """
    if path is not None and whole(path):
        found = load_file(path)
        if found and all(tensor.dim() and len(tensor) == count for tensor in found.values()):
            return found
    tensors = build()
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_tensors(path, tensors)
    return tensors
