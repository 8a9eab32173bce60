"""The table of decoding methods: those of the package, those of other packages (entry points), those registered.

A new method is one file, and one line here if it is to ship with the package. Imports the methods, and with them torch,
when one is asked for.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import sys
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path

from spatialspec.core.errors import BadInput, shown
from spatialspec.methods.method import Method

GROUP = "spatialspec.methods"  # of entry points; each names a Method


@cache
def shipped() -> tuple[Method, ...]:
    """The methods of the package."""
    from spatialspec.methods.ar import METHOD as ar
    from spatialspec.methods.csd import METHOD as csd
    from spatialspec.methods.gsd import METHOD as gsd
    from spatialspec.methods.hawk import HAWK, HAWK_VERTICAL
    from spatialspec.methods.jacobi import METHOD as jacobi
    from spatialspec.methods.lantern import LANTERN, LANTERN_PLUS
    from spatialspec.methods.medusa import METHOD as medusa
    from spatialspec.methods.pjd import METHOD as pjd
    from spatialspec.methods.scd import METHOD as scd
    from spatialspec.methods.sjd import METHOD as sjd
    from spatialspec.methods.sjd_pac import METHOD as sjd_pac
    from spatialspec.methods.spatial.drafter import METHOD as spatial
    from spatialspec.methods.spatial_model.drafter import METHOD as spatial_model
    from spatialspec.methods.ssd import METHOD as ssd
    from spatialspec.methods.ssd_baselines import MTP_METHOD, STRICT_METHOD
    from spatialspec.methods.zipar import METHOD as zipar

    return (
        ar, medusa, HAWK_VERTICAL, HAWK, ssd, jacobi, sjd, scd, sjd_pac, gsd, csd, LANTERN, LANTERN_PLUS, spatial,
        spatial_model, MTP_METHOD, STRICT_METHOD, zipar, pjd,
    )  # fmt: skip


@cache
def _table() -> dict[str, Method]:
    return {method.name: method for method in shipped()}


@cache
def _load_plugins() -> None:
    for entry in entry_points(group=GROUP):
        where = f"entry point {entry.name} of {GROUP}"
        try:
            method = entry.load()
        except Exception as error:  # of somebody else's module: anything
            raise BadInput(f"{type(error).__name__}: {error}", "a module that can be imported", where=where) from error
        _add(method, where)


def _add(method: object, where: str) -> None:
    if not isinstance(method, Method):
        raise BadInput(f"a {type(method).__name__}", "a Method", "see docs/add-a-drafter.md", where)
    if _table().setdefault(method.name, method) is not method:
        raise BadInput(f"a second method {shown(method.name)}", "a name of its own", "rename it", where)


def register(method: Method) -> Method:
    """Add a method to the table, so that it is found by its name everywhere.

    Returns:
        The method, so that `METHOD = register(Method(...))` is one statement.

    Raises:
        BadInput: no Method, or one whose name is taken.
    """
    _add(method, "register")
    return method


def load_file(path: Path) -> None:
    """Run a Python file that registers methods, once.

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


def methods() -> dict[str, Method]:
    """All methods by name, with their defaults."""
    _load_plugins()
    return dict(_table())


def find(name: str) -> Method:
    """A method by name.

    Raises:
        BadInput: there is none; the message lists the names.
    """
    table = methods()
    if name not in table:
        raise BadInput(f"method {shown(name)}", f"one of {', '.join(table)}")
    return table[name]


def audited() -> list[str]:
    """Every method, each followed by its variants."""
    return [
        ":".join(filter(None, (name, options)))
        for name, method in methods().items()
        for options in ("", *method.variants)
    ]
