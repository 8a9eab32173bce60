"""Peak memory of a part of a run: of the device if PyTorch counts it, else of the process."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

import torch


def reset_peak(device: torch.device) -> None:
    """Reset the peak; has no effect on systems with one peak for the whole life of a process."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    elif sys.platform == "linux":
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")  # resets VmHWM, see proc(5)


def peak(device: torch.device) -> int | None:
    """Bytes at the peak since the last reset: allocated by PyTorch on CUDA, resident elsewhere; None if unknown."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if sys.platform == "linux":
        with contextlib.suppress(OSError, ValueError, IndexError):
            status = Path("/proc/self/status").read_text()
            return 1024 * int(status.partition("VmHWM:")[2].split()[0])
    try:
        import resource
    except ImportError:
        return None
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else 1024 * most
