"""Lower bound of the cost of a pass on other hardware: a roofline from published figures.

    seconds(slots) = max(bytes of the weights / bandwidth, 2 * parameters * slots * streams / peak)

Williams et al., "Roofline", 2009. The bound ignores attention to the cache and the launch of kernels. It shows up to
which width a pass costs no more than one slot, slots = peak * bytes a parameter / (2 bandwidth * streams), rather than
the seconds of a pass.
"""

from __future__ import annotations

from dataclasses import dataclass

from spatialspec.core.errors import BadInput
from spatialspec.lab.replay.replay import PassCost

SLOTS = tuple(2**k for k in range(11))


@dataclass(frozen=True)
class Hardware:
    """Published peaks of an accelerator.

    Attributes:
        bandwidth: of its memory, bytes per second.
        peak: operations per second, dense, in 16 bits with sums in 32 bits.
        source: publication of both figures.
    """

    bandwidth: float
    peak: float
    source: str


PUBLISHED = {
    "RTX 3090": Hardware(936e9, 71e12, "NVIDIA, Ampere GA102 GPU architecture, white paper"),
    "A100 80GB SXM": Hardware(2039e9, 312e12, "NVIDIA, A100 Tensor Core GPU, data sheet"),
    "H100 SXM": Hardware(3350e9, 989e12, "NVIDIA, H100 Tensor Core GPU, data sheet, half of its figure with sparsity"),
}


def roofline(name: str, parameters: float, streams: int = 2, width: int = 2) -> PassCost:
    """Lower bound of the seconds of a pass, by its number of slots.

    Args:
        name: key of PUBLISHED.
        parameters: those of the target that every token passes.
        streams: 2 under guidance, 1 without.
        width: bytes of a parameter.

    Raises:
        BadInput: no figures for that hardware, or a target without parameters.
    """
    if name not in PUBLISHED:
        raise BadInput(f"hardware {name!r}", f"one of {', '.join(PUBLISHED)}, or a PassCost of your own")
    if parameters <= 0:
        raise BadInput(f"{parameters} parameters", "more than 0")
    has = PUBLISHED[name]
    read = parameters * width / has.bandwidth
    seconds = {slots: max(read, 2 * parameters * slots * streams / has.peak) for slots in SLOTS}
    return PassCost(seconds, f"roofline of published figures ({has.source}), not measured")
