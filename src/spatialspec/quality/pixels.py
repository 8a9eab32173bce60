"""Peak signal-to-noise ratio of a picture to AR's under the same seed."""

from __future__ import annotations

import numpy as np
from jaxtyping import UInt8


def squared_error(a: UInt8[np.ndarray, "H W 3"], b: UInt8[np.ndarray, "H W 3"]) -> float:
    """Mean squared difference of two pictures, 0 to 255^2."""
    return float(np.square(a.astype(np.float64) - b).mean())


def decibels(error: np.ndarray) -> np.ndarray:
    """PSNR of a mean squared error, in dB; infinite where it is 0. Over images the errors are averaged, not the dB."""
    return 10 * np.log10(255.0**2 / error)
