"""Decoding methods by name, with parameters: `hawk:horizontal=2:depth=1`."""

from __future__ import annotations

from dataclasses import Field, dataclass
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

from spatialspec.core.errors import BadInput, shown
from spatialspec.methods.options import Value, parameters, read
from spatialspec.methods.registry import REGISTRY, VERIFIERS, Entry

if TYPE_CHECKING:
    from spatialspec.core.interfaces import Drafter, Verifier
    from spatialspec.core.setting import DrafterPart, Setting, VerifierPart


@cache
def _part(where: str) -> Any:
    module, _, name = where.partition(":")
    return getattr(import_module(module), name)


@dataclass(frozen=True)
class Method:
    """A method with its parameters.

    Attributes:
        name: key of the registry.
        given: the parameters that were named.
    """

    name: str
    given: tuple[tuple[str, Value], ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or self.name not in REGISTRY:
            raise BadInput(f"method {shown(self.name)}", f"one of {', '.join(REGISTRY)}")
        if not isinstance(self.given, tuple):
            raise BadInput(f"parameters {shown(self.given)}", "pairs (key, value)")
        if self.given:
            object.__setattr__(self, "given", tuple(self._read(pair) for pair in self.given))
            if len(dict(self.given)) < len(self.given):
                raise BadInput(f"a parameter twice in {self}", "every key once")

    def _read(self, pair: tuple[str, Value]) -> tuple[str, Value]:
        known = self.fields
        if not isinstance(pair, tuple) or len(pair) != 2 or not isinstance(pair[0], str) or pair[0] not in known:
            there = ", ".join(known) or "none: it takes no parameters"
            raise BadInput(f"parameter {shown(pair)} for {self.name}", f"key=value with a key of {there}")
        return pair[0], read(known[pair[0]], pair[1])

    def __str__(self) -> str:
        return ":".join([self.name, *(f"{key}={value}" for key, value in self.given)])

    @property
    def entry(self) -> Entry:
        """Its entry of the registry."""
        return REGISTRY[self.name]

    @property
    def fields(self) -> dict[str, Field[Any]]:
        """Its parameters, of drafter and verifier; imports both. Where the rule is asked for, it is the default one."""
        verifier = self.entry.verifier or VERIFIERS[self.rule("coupled")]
        return parameters(_part(self.entry.drafter).Settings) | parameters(_part(verifier).Settings)

    @property
    def parameters(self) -> dict[str, Value]:
        """Given values over defaults."""
        own = {name: cast("Value", field.default) for name, field in self.fields.items()}
        return own | dict(self.entry.defaults) | dict(self.given)

    def with_value(self, name: str, text: str) -> Method:
        """The same with a parameter read from `text`, where it has one of this name that was not given.

        Raises:
            BadInput: the value is out of range.
        """
        if name not in self.fields or name in dict(self.given):
            return self
        chosen = Method(self.name, (*self.given, (name, text)))
        return self if chosen.parameters[name] == self.parameters[name] else chosen

    def exact(self) -> bool:
        """Whether the law of the image is the target's."""
        return self.entry.exact and not self.parameters.get("tolerance")

    def seed_exact(self, verifier: str) -> bool:
        """Whether the tokens equal AR's for the same seed."""
        return self.exact() and self.rule(verifier) == "coupled"

    def rule(self, verifier: str) -> str:
        """The rule at work where `verifier` was asked for."""
        return self.entry.rule or verifier

    def make(self, setting: Setting, verifier: str) -> tuple[Drafter, Verifier]:
        """Drafter and verifier for one image; `verifier` is the rule asked for, coupled or rejection.

        Raises:
            BadInput: the rule is unknown, or draft weights are missing or too small.
        """
        if not isinstance(verifier, str) or verifier not in VERIFIERS:
            raise BadInput(f"verifier {shown(verifier)}", f"one of {', '.join(VERIFIERS)}")
        values, rule = self.parameters, self.rule(verifier)
        if values.get("tolerance") and rule != "coupled":
            raise BadInput(f"{self} with the verifier {verifier}", "coupled", "only it has a tolerance")
        judge_part = cast("VerifierPart", _part(self.entry.verifier or VERIFIERS[rule]))
        draft_part = cast("DrafterPart", _part(self.entry.drafter))
        judge = judge_part.make(setting, _settings(judge_part.Settings, values), rule)
        drafter = draft_part.make(setting, _settings(draft_part.Settings, values), judge)
        if values.get("budget") == 0:  # AR, and no dearer
            drafter = _part(REGISTRY["ar"].drafter)()
        return drafter, judge

    @classmethod
    def parse(cls, text: str) -> Method:
        """Read `name[:key=value[:key=value]]`.

        Raises:
            BadInput: unknown method or parameter, or a value out of range; the message lists what there is.
        """
        if not isinstance(text, str):
            raise BadInput(f"method {shown(text)}", "name[:key=value...]")
        name, *pairs = text.strip().split(":")
        given = (pair.partition("=") for pair in pairs)
        return cls(name, tuple((key if equals else f"{key} without a value", value) for key, equals, value in given))

    @classmethod
    def parse_list(cls, text: str) -> list[Method]:
        """Read methods separated by commas."""
        return [cls.parse(part) for part in text.split(",") if part.strip()]


def _settings(kind: type, values: dict[str, Value]) -> Any:
    return kind(**{name: values[name] for name in parameters(kind)})
