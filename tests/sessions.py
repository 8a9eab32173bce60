"""Sessions that tests take apart."""

from __future__ import annotations

import copy
from dataclasses import replace

from spatialspec.targets.session import TargetSession


def copied(session: TargetSession) -> TargetSession:
    """The same session once more, with a cache and notes of its own."""
    other = copy.copy(session)
    other.cache = copy.deepcopy(session.cache)
    other.images = [replace(image, positions=list(image.positions)) for image in session.images]
    return other
