"""Every kind of model with every method, on tiny random weights: what is exact, also in a batch, and what is trained.

`python benchmarks/models_by_methods.py --out docs/results/models-by-methods` writes a record and a page. Models are
those of the tests (`tests/helpers/real_targets.py`), written in their published layout; methods and drafts are those of
the registries. Passes are not shown: with random weights they say nothing.

| figure | what is compared |
|---|---|
| audit | images of toys with their enumerated distribution, in `docs/results/audit.json` |
| seed | images under coupled noise with plain AR's of the same seeds, of methods that declare it |
| batch | images of a batch of two with each alone, of every method under every rule |
| training | draft weights before and after two steps on images that the model draws |
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
import transformers
from accelerate import Accelerator
from torch import nn

from spatialspec import BadInput, Grid, Method, __version__
from spatialspec.audit.audit import SEED_EXACT, declared, pairs
from spatialspec.audit.toys import random_drafts
from spatialspec.core.interfaces import Target
from spatialspec.drafts.progress import TrainingProgress
from spatialspec.drafts.recipes import make_recipe
from spatialspec.drafts.registry import kinds
from spatialspec.drafts.trainer import train
from spatialspec.drafts.training_data import TrainingData
from spatialspec.generation import generate
from spatialspec.io.files import write_text
from spatialspec.io.outputs import check_output
from spatialspec.methods.draft_model import DraftTarget
from spatialspec.methods.registry import methods
from spatialspec.request import Request
from spatialspec.targets.loading import load_target

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))
import pytest

from helpers.paths import ROOT
from helpers.real_targets import MAKES
from helpers.tiny_glm import shrink_previews

AUDIT = ROOT / "docs" / "results" / "audit.json"
SEEDS = (3, 4)
LARGEST = 64  # cells: a grid of published size would take minutes
RECIPE = {"steps": 2, "batch": 2, "warmup": 0}
HEADS = "horizontal", "vertical"  # at most one of each is trained: more need a larger grid
COUNT = 16  # of random heads in each direction, as many as any method reads
ERROR = 0.05  # of the draft model's weights, of their standard deviation
Row = dict[str, Any]


def sibling(folder: Path, target: Target) -> DraftTarget:
    """The model itself with errors in its layers, as a draft model that is often wrong."""
    small, draw = load_target(folder), torch.Generator().manual_seed(0)
    assert small.transformer is not None
    with torch.no_grad():
        for weight in small.transformer.parameters():
            weight += ERROR * weight.std(correction=0) * torch.randn(weight.shape, generator=draw)
    return DraftTarget(small, target)


def drawn(target: Target, drafts: Sequence[nn.Module], chosen: Sequence[tuple[Method, str]], ar: Request) -> list[Row]:
    """A row for each method and rule: images like AR's, images like those drawn alone, of how many."""
    expected, rows = generate(target, (), Method.parse("ar"), ar)[0], list[Row]()
    for method, rule in chosen:
        request = Request(ar.prompts, ar.seeds, ar.sampling, ar.grid, rule)
        row: Row = {"method": str(method), "rule": rule, "images": len(ar.prompts), "seed": None}
        try:
            images = generate(target, drafts, method, request)[0]
            alone = [generate(target, drafts, method, one)[0][0] for one in request.each()]
        except BadInput as error:
            rows.append(row | {"refused": str(error)})
            continue
        if method.seed_exact(rule):
            row["seed"] = same(images, expected)
        rows.append(row | {"batch": same(images, alone)})
    return rows


def same(images: Iterable[object], others: Iterable[object]) -> int:
    """Number of equal pairs."""
    return sum(image == other for image, other in zip(images, others, strict=True))


def trained(target: Target, request: Request, kind: str, folder: Path) -> Row:
    """Train drafts for two steps on two images; the row says whether their weights changed, or what refused them."""
    prompts, task = [*request.prompts, request.prompts[0]], kinds()[kind].task()  # the last one is held out
    data = TrainingData(target, None, prompts, None, folder.parent, None, False, lambda line: None)
    heads = {name: min(number, 1) for name, number in vars(task.recipe_type()).items() if name in HEADS}
    try:
        recipe = make_recipe(task.recipe_type, RECIPE | heads)
        lesson = task.make(data, recipe)
        torch.manual_seed(recipe.seed)
        start = lesson.build().state_dict()
        drafts, best = train(lesson, folder, Accelerator(cpu=True), TrainingProgress(lambda line: None))
    except BadInput as error:
        return {"drafts": kind, "refused": str(error)}
    changed = [name for name, weight in drafts.state_dict().items() if not weight.equal(start[name])]
    return {"drafts": kind, "steps": best.step, "changed": len(changed), "tensors": len(start)}


def measure(name: str, chosen: Sequence[tuple[Method, str]], folder: Path) -> Row:
    """The record of one model."""
    made = MAKES[name]
    target = load_target(made.make(folder))
    files = next(path for path in (folder, folder / "model") if (path / "config.json").exists())
    grid = target.grid if made.size is None else Grid.parse(made.size)
    if target.grid.cells > LARGEST:
        target.grid = grid  # type: ignore[misc]  # drafts learn on the model's own grid
    drafts = [random_drafts(kind, target.width, 5, COUNT) for kind in kinds()]
    request = Request(made.prompts, SEEDS, target.default, grid)
    rows = drawn(target, [*drafts, sibling(files, target)], chosen, request)
    own = Request(made.prompts, SEEDS, target.default, target.grid)
    lessons = [trained(target, own, kind, folder / "state" / kind) for kind in kinds()]
    about = {"model": name, "class": type(target).__name__, "layout": str(target.layout(grid))}
    about |= {"codes": target.vocabulary, "sampling": str(target.default)}
    return about | {"drawn": rows, "trained": lessons}


def page(record: Row) -> str:
    """The record as tables."""
    models = record["models"]
    names = [model["model"] for model in models]
    about = (
        f"Two images of tiny random weights in the published layout, seeds {SEEDS[0]} and {SEEDS[1]}, each model's own "
        f"sampling. fp32 on a CPU, {', '.join(f'{name} {version}' for name, version in record['versions'].items())}."
    )
    sizes = table(
        ["model", "target", "cells", "codes", "sampling"],
        [[m["model"], f"`{m['class']}`", m["layout"], f"{m['codes']}", m["sampling"]] for m in models],
    )
    audited = table(
        ["method", "rule", "declared", "found", "drafts"],
        [[f"`{a['method']}`", a["rule"], a["declared"], a["found"], a["drafts"]] for a in record["methods"]],
    )
    found = {(m["model"], row["method"], row["rule"]): row for m in models for row in m["drawn"]}
    of_rules = [(a["method"], a["rule"], a["declared"]) for a in record["methods"]]
    seeds = [
        [f"`{method}`", *(share(found[name, method, rule], "seed") for name in names)]
        for method, rule, promise in of_rules if promise == SEED_EXACT
    ]  # fmt: skip
    batches = [
        [f"`{method}`", rule, *(share(found[name, method, rule], "batch") for name in names)]
        for method, rule, _ in of_rules
    ]
    lessons = [
        [
            f"`{kind}`",
            *(share(row, "changed", "tensors") for m in models for row in m["trained"] if row["drafts"] == kind),
        ]
        for kind in dict.fromkeys(row["drafts"] for m in models for row in m["trained"])
    ]
    refusals = sorted({row["refused"] for m in models for row in (*m["drawn"], *m["trained"]) if "refused" in row})
    parts = [
        "# Models by methods", f"    {record['call']}", about, sizes,
        "## Methods", "What a method declares, and what [the audit](audit.json) found on toys.", audited,
        "## Seed", "Whether images have plain AR's tokens for the same seed, under coupled noise.",
        table(["method", *names], seeds),
        "## Batch", "Whether images of a batch of two have the tokens that they have alone.",
        table(["method", "rule", *names], batches),
        "## Training", "Whether two steps changed every tensor of the draft weights.",
        table(["drafts", *names], lessons),
        *(["## Refused", "\n".join(f"- {text}" for text in refusals)] if refusals else []),
    ]  # fmt: skip
    return "\n\n".join(parts) + "\n"


def share(row: Row, part: str, whole: str = "images") -> str:
    """Whether all are the same, or changed; otherwise how many of how many."""
    if "refused" in row:
        return "refused"
    return "yes" if row[part] == row[whole] else f"{row[part]} of {row[whole]}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Markdown."""
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows))


def broken(record: Row) -> list[str]:
    """Promises that did not hold."""
    rows = [(m["model"], row) for m in record["models"] for row in m["drawn"] if "refused" not in row]
    return [
        f"{name}: {row['method']} under {row['rule']}"
        for name, row in rows if row["seed"] not in (None, row["images"]) or row["batch"] != row["images"]
    ]  # fmt: skip


def main(words: list[str] | None = None) -> int:
    """Draw, train and write; 1 if a promise did not hold."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("models-by-methods"), help="path without its ending")
    parser.add_argument("--models", default=",".join(MAKES))
    parser.add_argument("--methods", default=",".join(methods()))
    options = parser.parse_args(words)
    files = [options.out.with_suffix(ending) for ending in (".json", ".md")]
    for file in files:
        check_output(file, "", "--out")
    torch.set_num_threads(1)
    chosen = pairs(Method.parse_list(options.methods))
    found = {(row["method"], row["verifier"]): row["found"] for row in json.loads(AUDIT.read_text())["methods"]}
    promises = [
        {"method": str(method), "rule": rule, "declared": declared(method, rule),
         "found": found.get((str(method), rule), "not in the record"), "drafts": method.drafts or "none"}
        for method, rule in chosen
    ]  # fmt: skip
    record: Row = {"call": shlex.join(["python", "benchmarks/models_by_methods.py", *(words or sys.argv[1:])])}
    versions = {"PyTorch": torch.__version__, "transformers": transformers.__version__, "spatialspec": __version__}
    record |= {"versions": versions, "methods": promises, "models": []}
    for name in options.models.split(","):
        quick = pytest.MonkeyPatch.context() if name == "glm" else nullcontext()
        with tempfile.TemporaryDirectory() as folder, quick as patch:
            if patch is not None:
                shrink_previews(patch)
            record["models"].append(measure(name, chosen, Path(folder) / name))
        write_text(files[0], json.dumps(record, indent=1) + "\n")  # after every model: an interrupted run is not lost
        write_text(files[1], page(record))
        print(name, flush=True)
    for promise in broken(record):
        print(f"broken, {promise}")
    return bool(broken(record))


if __name__ == "__main__":
    sys.exit(main())
