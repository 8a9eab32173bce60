"""Work that is done once, in pieces: each a safetensors file, written atomically, over any number of processes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from accelerate import PartialState
from torch import Tensor

from spatialspec.core.errors import BadInput
from spatialspec.io.tensors import read_shapes, write_tensors

Shapes = dict[str, tuple[int, ...]]


def make(
    folder: Path,
    names: Sequence[str],
    build: Callable[[int], dict[str, Tensor]],
    report: Callable[[str], None],
    together: bool = False,
    shapes: Sequence[Shapes] | None = None,
) -> list[Path]:
    """Make the missing pieces.

    Args:
        folder: of the files.
        names: file names without suffix; each identifies all that its piece depends on.
        build: makes the tensors of piece i.
        report: called with a line after each piece, and once if some pieces exist.
        shapes: of the tensors of each piece, by name; a file with others is made again.
        together: all processes build every piece, in step, as they must with a target that is split over them;
            otherwise each builds its share.

    Returns:
        One file per name; all exist when any process returns.
    """
    state = PartialState()
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{name}.safetensors" for name in names]
    missing = [i for i, path in enumerate(paths) if not whole(path, None if shapes is None else shapes[i])]
    if len(missing) < len(paths):
        report(f"{len(paths) - len(missing)} of {len(paths)} pieces are there already")
    state.wait_for_everyone()  # all know the missing pieces before any is written
    with state.split_between_processes(missing) as share:
        pieces = missing if together else share
        for done, i in enumerate(pieces, start=1):
            tensors = build(i)
            if not together or state.is_main_process:
                write_tensors(paths[i], tensors)
            report(f"{done}/{len(pieces)} pieces")
    state.wait_for_everyone()
    return paths


def whole(path: Path, shapes: Shapes | None = None) -> bool:
    """Whether a file exists, is not truncated, and has tensors of these shapes."""
    try:
        return shapes in (None, read_shapes(path))
    except BadInput:
        return False
