"""The table of decoding methods: a drafter, a verifier, and settings that differ from the drafter's own.

A new method is one file for what is new in it and one line here. Nothing in this file imports a part.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from spatialspec.methods.options import Value

ASKED = ""  # the rule that the user asks for: coupled or rejection
VERIFIERS = {
    "coupled": "spatialspec.methods.coupled:Coupled",
    "rejection": "spatialspec.methods.rejection:Rejection",
}


@dataclass(frozen=True)
class Entry:
    """A method.

    Attributes:
        summary: one line for help and reports.
        drafter: `module:Class` of its drafter.
        rule: "coupled" or "rejection" where only one of them makes sense; ASKED for the one that the user likes.
        verifier: `module:Class` of a verifier of its own; "" for the rule as it is.
        exact: whether the law of its images is the target's.
        drafts: algorithm of the draft weights that it needs, or "".
        defaults: parameters whose default is not the part's own.
        variants: parameters, as in `key=value:key=value`, that take another way through its parts; audited besides it.
    """

    summary: str
    drafter: str
    rule: str = ASKED
    verifier: str = ""
    exact: bool = True
    drafts: str = ""
    defaults: Mapping[str, Value] = field(default_factory=dict)
    variants: tuple[str, ...] = ()


@dataclass(frozen=True)
class Preset:
    """A place on the way from exact to fast.

    Attributes:
        values: parameters of `spatial`.
        passes: target passes for 576 tokens of `icons`, as in docs/results/envelope.json.
        gap: likelihood gap there, nats per token; 0 is AR.
    """

    values: Mapping[str, Value]
    passes: int
    gap: float


_D, _V = "spatialspec.drafters.", "spatialspec.verifiers."
_RIGHT = {"vertical": 0, "vertical_samples": 0, "horizontal_samples": 2}
_DOWN = {"horizontal": 0, "vertical_samples": 2, "horizontal_samples": 0}

PRESETS = {
    "exact": Preset({"tolerance": 0.0}, 68, 0.02),
    "high": Preset({"front": 0.0, "tolerance": 2.0}, 57, 0.07),
    "balanced": Preset({"front": 0.0, "tolerance": 6.0}, 45, 0.28),
    "fast": Preset({"front": 0.0, "tolerance": 12.0}, 38, 0.69),
}

REGISTRY: dict[str, Entry] = {
    "ar": Entry("plain AR: one token per pass, the reference", _D + "nothing:Nothing"),
    "medusa": Entry("Hawk's horizontal heads alone", _D + "hawk:Hawk", drafts="hawk", defaults=_RIGHT),
    "hawk-vertical": Entry("Hawk's vertical heads alone", _D + "hawk:Hawk", drafts="hawk", defaults=_DOWN),
    "hawk": Entry("vertical and horizontal heads, spatial pool", _D + "hawk:Hawk", drafts="hawk"),
    "ssd": Entry(
        "whole rows from predictors, fixed rounds of correction", _D + "ssd:SSD",
        verifier=_V + "autocorrect:AutoCorrect", exact=False, drafts="ssd",
    ),
    "jacobi": Entry(
        "the window's own tokens under coupled noise, no drafter", _D + "jacobi:Jacobi", "coupled",
        variants=("length=3",),
    ),
    "sjd": Entry("samples of the last pass as drafts", _D + "sjd:SJD", "rejection", variants=("length=2:start=above",)),
    "scd": Entry(
        "SJD with drafts coupled from pass to pass", _D + "scd:SCD", "rejection",
        variants=("length=3:start=above", "form=gumbel", "length=3:form=gumbel:start=above"),
    ),
    "sjd-pac": Entry(
        "SJD, continued behind a rejection, and a tree there", _D + "sjd_pac:SJDPAC", "rejection",
        variants=("length=4:width=2:start=above", "width=2:depth=4"),
    ),
    "gsd": Entry("SJD, drafts judged in groups of like odds", _D + "sjd:SJD", "rejection", _V + "gsd:GSD", False),
    "csd": Entry("SJD, looser where the target is unsure", _D + "sjd:SJD", "rejection", _V + "csd:CSD", False),
    "lantern": Entry(
        "Hawk, neighbours in the code book lend to a draft", _D + "hawk:Hawk", "rejection", _V + "lantern:Lantern",
        exact=False, drafts="hawk",
    ),
    "lantern++": Entry(
        "LANTERN, lent in proportion to the draft", _D + "hawk:Hawk", "rejection", _V + "lantern:LanternPlus",
        exact=False, drafts="hawk",
    ),
    "spatial": Entry(
        "ours: refined window, memory of passes, tree at the front", _D + "spatial:Spatial", "coupled",
        variants=("front=0", "budget=3", "budget=3:start=hawk", "budget=3:start=spatial-model"),
    ),
    "spatial-model": Entry(
        "ours: a draft model with local attention in two dimensions guesses a window at once",
        _D + "spatial_model:SpatialModel", drafts="spatial-model",
    ),
    "mtp": Entry(
        "SSD's horizontal predictors alone, block after block", _D + "mtp:MTP", verifier=_V + "autocorrect:AutoCorrect",
        exact=False, drafts="ssd",
    ),
    "ssd-strict": Entry("SSD's drafts, back to the first mismatch", _D + "ssd_strict:SSDStrict", drafts="ssd"),
    "zipar": Entry(
        "every row of the picture a window behind the row above", _D + "zipar:ZipAR", verifier=_V + "zipar:EveryRow",
        exact=False,
    ),
    "pjd": Entry("Jacobi drafts in several rows at once", _D + "pjd:PJD", verifier=_V + "pjd:RowByRow", exact=False),
}  # fmt: skip


def audited() -> list[str]:
    """Every method, each followed by its variants."""
    return [
        ":".join(filter(None, (name, given))) for name, entry in REGISTRY.items() for given in ("", *entry.variants)
    ]
