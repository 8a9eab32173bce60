"""Registry of methods, drafts and targets: shipped, of other packages, and those that programs or files register."""

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
    """Base of what can be registered.

    Attributes:
        name: key in the registry.
    """

    name: str

    @staticmethod
    @abstractmethod
    def registry() -> Registry[Any]:
        """The registry of its kind."""

    def same(self, other: Self) -> bool:
        """Whether both do the same, whatever values their options have."""
        return self is other


P = TypeVar("P", bound=Plugin)


class Registry(Generic[P]):
    """All plugins of one kind.

    Args:
        kind: class of the plugins.
        group: group of entry points, each of which is a plugin.
        page: page of the documentation on adding one.
        shipped: returns those of this package.
    """

    def __init__(self, kind: type[P], group: str, page: str, shipped: Callable[[], Iterable[P]]) -> None:
        self.kind, self.group, self.page, self._shipped = kind, group, page, shipped
        self.complete = False

    @cached_property
    def named(self) -> dict[str, P]:
        """Plugins by name; those of other packages are added by `all`."""
        return dict(self.shipped)

    @cached_property
    def shipped(self) -> dict[str, P]:
        """Plugins of this package by name."""
        return {plugin.name: plugin for plugin in self._shipped()}

    def ships(self, plugin: P) -> bool:
        """Whether one is the package's, which every process knows by its name."""
        return plugin.name in self.shipped and plugin.same(self.shipped[plugin.name])

    def add(self, plugin: object, where: str) -> None:
        """Add a plugin; `where` is its origin, for messages.

        Raises:
            BadInput: another kind of object, or a name that is taken.
        """
        if not isinstance(plugin, self.kind):
            raise BadInput(f"a {type(plugin).__name__}", f"a {self.kind.__name__}", f"see {self.page}", where)
        if self.named.setdefault(plugin.name, plugin) is not plugin:
            got = f"a second {self.kind.__name__} {shown(plugin.name)}"
            raise BadInput(got, "a name of its own", "rename it", where)

    def all(self) -> dict[str, P]:
        """All plugins by name: those of this package first, then in the order of registration.

        Raises:
            BadInput: an entry point is no plugin of this kind.
        """
        if not self.complete:
            self.complete = True
            for entry in entry_points(group=self.group):
                where = f"entry point {entry.name} of {self.group}"
                try:
                    plugin = entry.load()
                except Exception as error:  # of a foreign module, which may raise anything
                    got = f"{type(error).__name__}: {error}"
                    raise BadInput(got, "a module that can be imported", where=where) from error
                self.add(plugin, where)
        return dict(self.named)


def register(plugin: P) -> P:
    """Register a `Method`, a `DraftKind` or a `TargetKind` by its name.

    Returns:
        The argument, so that `METHOD = register(Method(...))` is one statement.

    Raises:
        BadInput: another kind of object, or a name that is taken.
    """
    thing: object = plugin
    if not isinstance(thing, Plugin):
        advice = "see docs/add-a-drafter.md and docs/add-a-target.md"
        raise BadInput(f"a {type(thing).__name__}", "a Method, a DraftKind or a TargetKind", advice, "register")
    thing.registry().add(thing, "register")
    return plugin


def load_file(path: Path) -> None:
    """Run a Python file that registers methods, drafts or targets, once.

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
    sys.modules[name] = module  # before it runs, as dataclasses look up their module
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # of a foreign file, which may raise anything
        del sys.modules[name]
        if isinstance(error, BadInput):
            raise
        raise BadInput(f"{type(error).__name__}: {error}", "a file that runs", "mend it", path) from error
