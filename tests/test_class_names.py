"""A public class name stands once in the package, so that a name in an error, a page or an import means one thing."""

import ast
from collections import defaultdict
from pathlib import Path

import spatialspec

PACKAGE = Path(spatialspec.__file__).parent


def test_no_public_class_name_stands_twice() -> None:
    places: dict[str, list[str]] = defaultdict(list)
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(f"{path.relative_to(PACKAGE)}:{node.lineno}")
    assert len(places) > 100, f"only {len(places)} classes in {PACKAGE}"
    twice = {name: where for name, where in places.items() if len(where) > 1}
    assert not twice, "\n".join(f"{name}: {', '.join(where)}" for name, where in twice.items())
