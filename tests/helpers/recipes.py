"""The Python of the pages in docs/targets, run on tiny checkpoints."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from helpers.paths import ROOT

DOCS = ROOT / "docs" / "targets"


def run_recipes(page: str, changes: Mapping[str, Path | str], given: Mapping[str, Any]) -> None:
    """Run all recipes of a page, on the CPU.

    The one that loads `given` itself must parse and find what it imports: a tiny checkpoint may have no processor.

    Args:
        page: name of the file.
        changes: string of a recipe -> what stands there instead; all must occur.
        given: variables that a recipe starts from.
    """
    recipes = re.findall(r"```python\n(.*?)```", (DOCS / f"{page}.md").read_text(), re.DOTALL)
    assert all(any(f'"{old}"' in recipe for recipe in recipes) for old in ("cuda", *changes))
    for recipe in recipes:
        if "device_map" in recipe:
            loading = [line for line in ast.parse(recipe).body if isinstance(line, ast.Import | ast.ImportFrom)]
            exec(compile(ast.Module(loading, []), page, "exec"), {})
            continue
        for old, new in {"cuda": "cpu", **changes}.items():
            recipe = recipe.replace(f'"{old}"', f'"{new}"')
        exec(recipe, dict(given))
