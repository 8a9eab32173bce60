"""Medusa (arXiv 2401.10774) on image tokens: heads that draft the next cells, Hawk's horizontal ones.

The tree is the Cartesian product of the candidates of every head, as in Hawk without its vertical source.
Several grids: the heads draft on from one into the next.
"""

from __future__ import annotations

from pydantic import Field

from spatialspec.methods.hawk import Hawk, HawkOptions
from spatialspec.methods.method import Method


class MedusaOptions(HawkOptions):
    """Horizontal heads alone: two candidates, as many as Hawk has in total."""

    vertical: int = Field(default=0, ge=0, le=16, description="vertical heads VSD in use")
    vertical_samples: int = Field(default=0, ge=0, le=64, description="candidates per depth from vertical heads, a")
    horizontal_samples: int = Field(default=2, ge=0, le=64, description="candidates per depth from horizontal heads, b")


METHOD = Method("medusa", "Hawk's horizontal heads alone", MedusaOptions(), Hawk, drafts="hawk", variants=("slots=6",))
