"""Work that is done once, in pieces: each a safetensors file, whole or not there, over any number of processes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from accelerate import PartialState
from safetensors import SafetensorError, safe_open
from torch import Tensor

from spatialspec.tensors import write_tensors


def make(
    folder: Path,
    names: Sequence[str],
    build: Callable[[int], dict[str, Tensor]],
    report: Callable[[str], None],
    together: bool = False,
) -> list[Path]:
    """Make the pieces that are not there yet.

    Args:
        folder: where they are kept.
        names: file names without suffix. A name must tell all that its piece depends on.
        build: makes the tensors of piece i.
        report: called with a line after each piece, and once if there were pieces already.
        together: all processes build every piece, in step, as they must with a target that is split over them;
            otherwise each builds its share.

    Returns:
        One file per name, all there when any process returns.
    """
    state = PartialState()
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{name}.safetensors" for name in names]
    missing = [i for i, path in enumerate(paths) if not whole(path)]
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


def whole(path: Path) -> bool:
    """Whether a file is there and its header fits its length; a damaged one is made again."""
    try:
        with safe_open(path, "pt"):
            return True
    except (OSError, SafetensorError):
        return False
