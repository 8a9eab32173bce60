"""The wheel works outside the repository: typed, licensed, weights inside, a picture out."""

import ast
import os
import subprocess
import sys
import zipfile
from importlib import import_module
from pathlib import Path

import pytest

import spatialspec
from helpers.paths import ROOT

MOST_WEIGHTS = 60_000_000

PICTURE = """
import pathlib, sys
import spatialspec
where = pathlib.Path(spatialspec.__file__).resolve()
assert where.is_relative_to(pathlib.Path(sys.argv[1]).resolve()), f"imported from {where}"
pipe = spatialspec.SpatialPipeline.from_pretrained("icons")
out = pipe("red apple", method="ar", seed=0, size="12x12")
(image,) = out.images
assert image.mode == "RGB" and min(image.size) >= 12, image
assert len(image.getcolors(1 << 24)) > 1, "a picture of one colour"
print(spatialspec.__version__)
"""


def run(*arguments: str, cwd: Path, **environment: str) -> str:
    result = subprocess.run(
        [sys.executable, *arguments], cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True
    )
    assert result.returncode == 0, f"{' '.join(arguments[:4])}\n{result.stdout[-2000:]}\n{result.stderr[-4000:]}"
    return result.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run("-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT), cwd=folder)
    (built,) = folder.glob("spatialspec-*.whl")
    return built


def test_public_names_are_the_same_for_type_checkers_and_at_run_time():
    """Each stands in three lists: what type checkers import, what is imported when asked for, and `__all__`."""
    (block,) = (node for node in ast.parse(Path(spatialspec.__file__).read_text()).body if isinstance(node, ast.If))
    assert ast.unparse(block.test) == "TYPE_CHECKING"
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    assert len(imports) == len(block.body) and not any(alias.asname for node in imports for alias in node.names)
    typed = {alias.name: node.module for node in imports for alias in node.names}
    assert typed == {name: f"spatialspec.{home}" for name, home in spatialspec._HOMES.items()}
    assert sorted([*typed, "__version__"]) == sorted(spatialspec.__all__)
    for name, home in typed.items():
        assert getattr(spatialspec, name) is getattr(import_module(home), name)


def test_wheel_holds_everything(wheel: Path):
    sizes = {entry.filename: entry.file_size for entry in zipfile.ZipFile(wheel).infolist()}
    assert "spatialspec/py.typed" in sizes
    for name in ("LICENSE", "NOTICE"):
        assert any(entry.endswith(f".dist-info/licenses/{name}") for entry in sizes), f"no {name}"
    weights = {name: size for name, size in sizes.items() if name.startswith("spatialspec/weights/")}
    assert any(name.endswith(".safetensors") for name in weights), f"no weights among {sorted(weights)}"
    assert any(name.endswith(".md") for name in weights), f"no card among {sorted(weights)}"
    assert sum(weights.values()) <= MOST_WEIGHTS, weights
    strangers = [name for name in sizes if not name.startswith(("spatialspec/", "spatialspec-"))]
    assert not strangers, f"the wheel also installs {strangers}"


def test_wheel_draws_outside_the_repository(wheel: Path, tmp_path: Path):
    target, elsewhere = tmp_path / "site", tmp_path / "elsewhere"
    elsewhere.mkdir()
    run("-m", "pip", "install", "-qq", "--no-deps", "--no-index", "--target", str(target), str(wheel), cwd=elsewhere)
    printed = run("-c", PICTURE, str(target), cwd=elsewhere, PYTHONPATH=str(target), HF_HUB_OFFLINE="1")
    assert wheel.name.split("-")[1] == printed.split()[-1]
