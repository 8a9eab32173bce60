"""Results that are computed once, in pieces, over any number of processes; each piece is a safetensors file."""

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
    """Compute the missing pieces.

    Args:
        folder: of the files.
        names: file names without suffix; each identifies everything that its piece depends on.
        build: computes the tensors of piece i.
        report: called with a line after each piece, and once if some pieces exist.
        shapes: of the tensors of each piece, by name; a file with other shapes is computed again.
        together: all processes build every piece together, as a target that is split over them requires; otherwise
            each builds its share.

    Returns:
        One file per name; all exist when any process returns.
    """
    state = PartialState()
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{name}.safetensors" for name in names]
    missing = [i for i, path in enumerate(paths) if not whole(path, None if shapes is None else shapes[i])]
    if len(missing) < len(paths):
        report(f"{len(paths) - len(missing)} of {len(paths)} pieces exist already")
    state.wait_for_everyone()  # all processes see the same missing pieces
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
