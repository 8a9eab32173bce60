"""Methods and targets by name: those that ship, those of other packages, and those that a program or file registers."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from functools import cached_property
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Generic, Self, TypeVar

from spatialspec.core.errors import BadInput, shown


class Plugin(ABC):
    """What can be registered.

    Attributes:
        name: by which it is found.
    """

    name: str

    @staticmethod
    @abstractmethod
    def registry() -> Registry[Any]:
        """Where things of its kind are registered."""

    def same(self, other: Self) -> bool:
        """Whether both do the same, whatever values their options have."""
        return self is other


P = TypeVar("P", bound=Plugin)


class Registry(Generic[P]):
    """Everything of one kind.

    Args:
        kind: class of what is registered.
        group: of entry points, each of which names one.
        page: of the documentation that says how to add one.
        shipped: makes those of the package.
    """

    def __init__(self, kind: type[P], group: str, page: str, shipped: Callable[[], Iterable[P]]) -> None:
        self.kind, self.group, self.page, self._shipped = kind, group, page, shipped
        self.complete = False

    @cached_property
    def named(self) -> dict[str, P]:
        """By name, those of other packages only once they were asked for."""
        return dict(self.shipped)

    @cached_property
    def shipped(self) -> dict[str, P]:
        """Those of the package, by name."""
        return {plugin.name: plugin for plugin in self._shipped()}

    def ships(self, plugin: P) -> bool:
        """Whether one is the package's, which every process knows by its name."""
        return plugin.name in self.shipped and plugin.same(self.shipped[plugin.name])

    def add(self, plugin: object, where: str) -> None:
        """Add one.

        Raises:
            BadInput: another kind of object, or a name that is taken.
        """
        if not isinstance(plugin, self.kind):
            raise BadInput(f"a {type(plugin).__name__}", f"a {self.kind.__name__}", f"see {self.page}", where)
        if self.named.setdefault(plugin.name, plugin) is not plugin:
            got = f"a second {self.kind.__name__} {shown(plugin.name)}"
            raise BadInput(got, "a name of its own", "rename it", where)

    def all(self) -> dict[str, P]:
        """All by name: those of the package first, then in the order in which they were registered.

        Raises:
            BadInput: an entry point does not name one.
        """
        if not self.complete:
            self.complete = True
            for entry in entry_points(group=self.group):
                where = f"entry point {entry.name} of {self.group}"
                try:
                    plugin = entry.load()
                except Exception as error:  # of somebody else's module: anything
                    got = f"{type(error).__name__}: {error}"
                    raise BadInput(got, "a module that can be imported", where=where) from error
                self.add(plugin, where)
        return dict(self.named)


def register(plugin: P) -> P:
    """Make a `Method` or a `TargetKind` known, so that it is found by its name everywhere.

    Returns:
        The same, so that `METHOD = register(Method(...))` is one statement.

    Raises:
        BadInput: another kind of object, or a name that is taken.
    """
    thing: object = plugin
    if not isinstance(thing, Plugin):
        advice = "see docs/add-a-drafter.md and docs/add-a-target.md"
        raise BadInput(f"a {type(thing).__name__}", "a Method or a TargetKind", advice, "register")
    thing.registry().add(thing, "register")
    return plugin


def load_file(path: Path) -> None:
    """Run a Python file that registers methods or targets, once.

    Raises:
        BadInput: it cannot be read or run.
    """
    name = f"spatialspec_plugin_{hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:12]}"
    spec = importlib.util.spec_from_file_location(name, path)
    if name in sys.modules:
        return
    if not path.is_file() or spec is None or spec.loader is None:
        raise BadInput(f"no Python file {path}", "one that calls spatialspec.register", "check --plugin")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # before it runs: dataclasses look their module up
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # of somebody else's file: anything
        del sys.modules[name]
        if isinstance(error, BadInput):
            raise
        raise BadInput(f"{type(error).__name__}: {error}", "a file that runs", "mend it", path) from error
