"""`spatialspec methods`: list decoding methods, plug-ins included."""

from __future__ import annotations

from spatialspec.cli import options
from spatialspec.cli.display import say, waiting, wrapped
from spatialspec.methods.method import RULES
from spatialspec.methods.options import explain
from spatialspec.methods.registry import methods as table_of_methods


def methods(plugin: options.Plugin = None) -> None:
    """List methods and their options, including those of plug-ins.

    Verifiers and kinds of targets follow at the end.
    """
    with waiting("reading the options of methods"):  # imports torch
        from spatialspec.targets.registry import REGISTRY

        table = table_of_methods()
    for name, method in table.items():
        needs = f", needs {method.drafts} drafts" if method.drafts else ""
        say(wrapped(f"{name}: {method.summary} ({'exact' if method.exact else 'not exact'}{needs})", 4))
        for key, field in type(method.options).model_fields.items():
            say(wrapped(f"  {explain(key, field)}", 4))
    say(f"verifiers: {', '.join(RULES)}")
    say(wrapped(f"kinds of targets: {', '.join(REGISTRY.all())}", 4))
