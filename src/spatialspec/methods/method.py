"""Decoding methods with their options: `hawk:horizontal=2:depth=1`. Imports no torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, get_args

from spatialspec.core.errors import BadInput, shown
from spatialspec.methods.options import Options, Slotted, Tolerance
from spatialspec.plugins import Plugin, Registry

if TYPE_CHECKING:
    from spatialspec.core.context import DecodeContext
    from spatialspec.core.interfaces import Drafter, Verifier

Rule = Literal["coupled", "rejection"]
RULES: tuple[str, ...] = get_args(Rule)

DrafterFactory = Callable[["DecodeContext", Any, Any], "Drafter"]
VerifierFactory = Callable[["DecodeContext", Any, Any], "Verifier"]


@dataclass(frozen=True)
class Method(Plugin):
    """A decoding method with its options.

    Attributes:
        name: on the command line and in results.
        summary: one line for help.
        options: values of its options.
        drafter: makes the drafter of one image from context, options and verifier; may be a class.
        verifier: makes the verifier from context, options and the verifier of the exact rule; None for the exact rule.
        rule: "coupled" or "rejection" if the method supports only one; None for the one that the user chooses.
        lossless: whether the distribution of its images is the target's, at a tolerance of 0. None is True for a method
            of the exact rule; one with a verifier of its own has to say.
        drafts: algorithm of the draft weights that it needs, or "".
        variants: options, as `key=value:key=value`, that the audit runs besides the defaults.
    """

    name: str
    summary: str
    options: Options
    drafter: DrafterFactory
    verifier: VerifierFactory | None = None
    rule: Rule | None = None
    lossless: bool | None = None
    drafts: str = ""
    variants: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.lossless is None:
            if self.verifier is not None:
                raise BadInput(f"method {self.name} with a verifier of its own", "lossless=True or False", "say which")
            object.__setattr__(self, "lossless", True)

    def __str__(self) -> str:
        return ":".join([self.name, *(f"{name}={value}" for name, value in self.options.explicit.items())])

    def __repr__(self) -> str:
        return f"Method({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Method) and (self.name, self.options) == (other.name, other.options)

    def __hash__(self) -> int:
        return hash((self.name, self.options))

    def same(self, other: Method) -> bool:
        """Whether both have the same drafter, verifier and promises, whatever values their options have."""
        return vars(replace(self, options=other.options)) == vars(other)

    def has(self, option: str) -> bool:
        """Whether it has an option of this name."""
        return option in type(self.options).model_fields

    def with_options(self, /, **values: Any) -> Method:
        """A copy with other values of some options.

        Raises:
            BadInput: an unknown option, or a value that is not allowed.
        """
        return replace(self, options=type(self.options)(**{**self.options.explicit, **values}))

    def with_default(self, name: str, value: Any) -> Method:
        """A copy with a value for an option; itself if it has no such option, or what the user set decides it."""
        if not self.has(name) or self.options.settles(name):
            return self
        changed = self.with_options(**{name: value})
        return self if changed.options == self.options else changed

    @property
    def tolerance(self) -> float:
        """How far from the best a token may be; 0 for a method without this option."""
        return self.options.tolerance if isinstance(self.options, Tolerance) else 0.0

    @property
    def exact(self) -> bool:
        """Whether the distribution of the image is the target's, with the current options."""
        return bool(self.lossless) and not self.tolerance

    def seed_exact(self, rule: str) -> bool:
        """Whether the tokens are identical to plain AR for the same seed, if the user chooses `rule`."""
        return self.exact and self.rule_under(rule) == "coupled"

    def rule_under(self, rule: str) -> str:
        """The rule in effect if the user chooses `rule`."""
        return self.rule or rule

    def make(self, context: DecodeContext, rule: str) -> tuple[Drafter, Verifier]:
        """Drafter and verifier for one image.

        Args:
            context: of the image.
            rule: "coupled" or "rejection", the user's choice.

        Raises:
            BadInput: the rule is unknown, or draft weights are missing or too small.
        """
        from spatialspec.methods.ar import AR
        from spatialspec.methods.coupled import Coupled
        from spatialspec.methods.rejection import Rejection

        if not isinstance(rule, str) or rule not in RULES:
            raise BadInput(f"verifier {shown(rule)}", f"one of {', '.join(RULES)}")
        verifier: Verifier
        if self.rule_under(rule) == "coupled":
            verifier = Coupled(context.noise, self.tolerance)
        elif self.tolerance:
            raise BadInput(f"{self} with the verifier {rule}", "coupled", "only it has a tolerance")
        else:
            verifier = Rejection(context.noise)
        if self.verifier is not None:
            verifier = self.verifier(context, self.options, verifier)
        drafter = self.drafter(context, self.options, verifier)
        if isinstance(self.options, Slotted) and not self.options.nodes:  # plain AR, without the cost of a drafter
            drafter = AR()
        return drafter, verifier

    @staticmethod
    def registry() -> Registry[Method]:
        """The table of methods."""
        from spatialspec.methods.registry import REGISTRY

        return REGISTRY

    @classmethod
    def parse(cls, text: str) -> Method:
        """Read `name[:key=value[:key=value]]`.

        Raises:
            BadInput: unknown method or option, or a value that is not allowed; the message lists the allowed ones.
        """
        from spatialspec.methods.registry import find

        if not isinstance(text, str):
            raise BadInput(f"method {shown(text)}", "name[:key=value...]")
        name, *pairs = text.strip().split(":")
        method = find(name)
        values: dict[str, str] = {}
        for pair in pairs:
            key, equals, value = pair.partition("=")
            if not equals or key in values:
                known = ", ".join(type(method.options).model_fields) or "none: it takes no options"
                raise BadInput(f"option {shown(pair)} for {name}", f"key=value, once, with a key of {known}")
            values[key] = value
        return method.with_options(**values) if values else method

    @classmethod
    def parse_list(cls, text: str) -> list[Method]:
        """Read methods separated by commas, with sweeps such as `budget=4..64:*2`.

        Raises:
            BadInput: see `parse` and `swept`.
        """
        from spatialspec.methods.sweep import swept

        return [cls.parse(one) for part in text.split(",") if part.strip() for one in swept(part.strip())]
