"""The registry of decoding methods: a name, its parameters, and how its drafter and verifier are made.

Adding a method is one file for its drafter or verifier and one entry here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spatialspec.core.distribution import Sampling
    from spatialspec.core.grid import Grid
    from spatialspec.core.noise import Noise
    from spatialspec.core.protocols import Drafter, Head, Verifier
    from spatialspec.drafters.weights import Drafts

VERIFIERS = ("coupled", "rejection")
Value = int | str


@dataclass(frozen=True)
class Parameter:
    """A parameter of a method.

    Attributes:
        default: value when it is not given.
        low, high: range of an integer, both included.
        choices: allowed words, for a parameter that is not a number.
        help: what it does.
    """

    default: Value
    help: str
    low: int = 0
    high: int = 1024
    choices: tuple[str, ...] = ()

    def parse(self, name: str, text: str) -> Value:
        """Read a value.

        Raises:
            ValueError: out of range or not allowed.
        """
        if self.choices:
            if text not in self.choices:
                raise ValueError(f"got {name}={text}, expected one of {', '.join(self.choices)}")
            return text
        if not text.isdecimal() or not self.low <= int(text) <= self.high:
            raise ValueError(f"got {name}={text}, expected a whole number from {self.low} to {self.high}")
        return int(text)


@dataclass(frozen=True)
class Setting:
    """Everything that a method is made from, for one image."""

    target: Head
    drafts: Sequence[Drafts]
    sampling: Sampling
    grid: Grid
    noise: Noise
    verifier: str


Make = Callable[[Setting, dict[str, Any]], "tuple[Drafter, Verifier]"]


@dataclass(frozen=True)
class Entry:
    """A registered method.

    Attributes:
        summary: one line for `--help` and reports.
        exact: whether the law of its images is the target's.
        drafts: algorithm of the draft weights that it needs, or "".
        parameters: by name.
        make: builds drafter and verifier.
    """

    summary: str
    exact: bool
    drafts: str
    make: Make
    parameters: dict[str, Parameter] = field(default_factory=dict)


@dataclass(frozen=True)
class Method:
    """A method with its parameters, as in `hawk:horizontal=2`.

    Attributes:
        name: key of the registry.
        given: the parameters that were named.
    """

    name: str
    given: tuple[tuple[str, Value], ...] = ()

    def __str__(self) -> str:
        return ":".join([self.name, *(f"{key}={value}" for key, value in self.given)])

    @property
    def entry(self) -> Entry:
        """Its entry of the registry."""
        return REGISTRY[self.name]

    @property
    def parameters(self) -> dict[str, Value]:
        """Given values over defaults."""
        return {name: p.default for name, p in self.entry.parameters.items()} | dict(self.given)

    def exact(self) -> bool:
        """Whether the law of the image is the target's, under either verifier."""
        return self.entry.exact

    def seed_exact(self, verifier: str) -> bool:
        """Whether the tokens equal AR's for the same seed."""
        return self.entry.exact and verifier == "coupled"

    def make(self, setting: Setting) -> tuple[Drafter, Verifier]:
        """Drafter and verifier for one image."""
        return self.entry.make(setting, self.parameters)

    @classmethod
    def parse(cls, text: str) -> Method:
        """Read `name[:key=value[:key=value]]`.

        Raises:
            ValueError: unknown method or parameter, or a value out of range; the message lists what there is.
        """
        name, *pairs = text.strip().split(":")
        if name not in REGISTRY:
            raise ValueError(f"got method {name!r}, expected one of {', '.join(REGISTRY)}")
        known = REGISTRY[name].parameters
        given = []
        for pair in pairs:
            key, equals, value = pair.partition("=")
            if key not in known or not equals:
                there = ", ".join(known) or "none: it takes no parameters"
                raise ValueError(f"got parameter {pair!r} for {name}, expected key=value with a key of {there}")
            given.append((key, known[key].parse(key, value)))
        return cls(name, tuple(given))

    @classmethod
    def parse_list(cls, text: str) -> list[Method]:
        """Read methods separated by commas."""
        return [cls.parse(part) for part in text.split(",") if part.strip()]


def rule(setting: Setting) -> Any:
    """The exact verifier that was asked for."""
    from spatialspec.verifiers.coupled import Coupled
    from spatialspec.verifiers.rejection import Rejection

    if setting.verifier not in VERIFIERS:
        raise ValueError(f"got verifier {setting.verifier!r}, expected one of {', '.join(VERIFIERS)}")
    return (Coupled if setting.verifier == "coupled" else Rejection)(setting.noise)


def _drafts(setting: Setting, kind: type, algorithm: str) -> Any:
    for drafts in setting.drafts:
        if isinstance(drafts, kind):
            return drafts
    raise ValueError(f"got no {algorithm} draft weights, expected some: give --draft, or use a method that needs none")


def _ar(setting: Setting, parameters: dict[str, Any]) -> tuple[Drafter, Verifier]:
    from spatialspec.drafters.nothing import Nothing

    return Nothing(), rule(setting)


def _hawk(setting: Setting, parameters: dict[str, Any]) -> tuple[Drafter, Verifier]:
    from spatialspec.drafters.hawk import Hawk, HawkHeads, HawkShape

    heads, shape, verifier = _drafts(setting, HawkHeads, "hawk"), HawkShape(**parameters), rule(setting)
    there = heads.config
    if shape.horizontal > there.horizontal or shape.vertical > there.vertical:
        raise ValueError(
            f"got horizontal={shape.horizontal}, vertical={shape.vertical}, "
            f"expected at most the {there.horizontal} and {there.vertical} heads of the draft weights"
        )
    return Hawk(heads, setting.target, setting.sampling, verifier, shape, setting.grid.columns), verifier


def _ssd(setting: Setting, parameters: dict[str, Any]) -> tuple[Drafter, Verifier]:
    from spatialspec.drafters.ssd import SSD, SSDPredictors, SSDShape
    from spatialspec.verifiers.autocorrect import AutoCorrect

    predictors, verifier = _drafts(setting, SSDPredictors, "ssd"), AutoCorrect(rule(setting))
    values = parameters | {"inner": None if parameters["inner"] == "staged" else int(parameters["inner"])}
    shape, there = SSDShape(**values), predictors.config
    if shape.horizontal > there.horizontal or shape.rows > there.vertical:
        raise ValueError(
            f"got horizontal={shape.horizontal}, rows={shape.rows}, "
            f"expected at most the {there.horizontal} and {there.vertical} predictors of the draft weights"
        )
    return SSD(predictors, setting.target, setting.sampling, verifier, shape), verifier


def _hawk_parameters(horizontal: int, vertical: int, a: int, b: int) -> dict[str, Parameter]:
    return {
        "horizontal": Parameter(horizontal, "horizontal heads n", high=16),
        "vertical": Parameter(vertical, "vertical heads VSD", high=16),
        "depth": Parameter(2, "cells drafted ahead", 1, 16),
        "vertical_samples": Parameter(a, "candidates per depth from vertical heads, a", 0, 64),
        "horizontal_samples": Parameter(b, "candidates per depth from horizontal heads, b", 0, 64),
        "budget": Parameter(64, "most nodes of the tree", 1, 128),
    }


REGISTRY: dict[str, Entry] = {
    "ar": Entry("plain AR: one token per pass, the reference", True, "", _ar),
    "medusa": Entry("Hawk's horizontal heads alone", True, "hawk", _hawk, _hawk_parameters(2, 0, 0, 2)),
    "hawk-vertical": Entry("Hawk's vertical heads alone", True, "hawk", _hawk, _hawk_parameters(0, 2, 2, 0)),
    "hawk": Entry("vertical and horizontal heads, spatial pool", True, "hawk", _hawk, _hawk_parameters(2, 2, 1, 1)),
    "ssd": Entry(
        "whole rows from predictors, fixed rounds of correction",
        False,
        "ssd",
        _ssd,
        {
            "rounds": Parameter(2, "correction passes per block of rows, r", 0, 64),
            "rows": Parameter(1, "rows drafted at once, k_v", 1, 16),
            "inner": Parameter(
                "staged", "rounds of each further row of a block: rounds - 1, or a number",
                choices=("staged", *map(str, range(17))),
            ),
            "horizontal": Parameter(5, "cells of a block of row 0, k_h", 1, 16),
            "draft": Parameter("sample", "how drafts are taken from q", choices=("sample", "argmax")),
            "q": Parameter("previous", "q of later rounds", choices=("previous", "draft")),
        },
    ),
}  # fmt: skip
