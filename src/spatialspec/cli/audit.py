"""`spatialspec audit`: methods are what they say, or the exit code is 1."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

from spatialspec import arguments
from spatialspec.cli import options
from spatialspec.cli.display import Column, progress, saved, say, table, wrapped
from spatialspec.core.errors import BadInput
from spatialspec.io.outputs import check_output
from spatialspec.methods.method import Method
from spatialspec.methods.registry import audited

if TYPE_CHECKING:
    from spatialspec.audit.findings import MethodAudit
    from spatialspec.pipeline import SpatialPipeline

WORKERS = 4  # processes at most; each holds 0.3 GB


def audit(
    methods: Annotated[
        str | None,
        typer.Option(help="name[:key=value...], separated by commas. [default: all that there are, and variants]"),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Fewer toys, fewer and smaller images.")] = False,
    model: options.Model = "icons",
    seed: options.Seed = 0,
    json: options.Json = None,
    plugin: options.Plugin = None,
) -> None:
    """Prove that methods are exact, or find that they are not.

    Every method draws images of toys, models so small that their distribution is known, under every verifier;
    chi-square and total variation compare the images with it. Methods that say seed-exact must also draw AR's tokens,
    on the toys and on the model. Exit code 1 if a method that says exact or seed-exact is not.
    """
    with options.loading(model):  # imports torch
        listed = list(dict.fromkeys(Method.parse_list(",".join(audited()) if methods is None else methods)))
    if not listed:
        raise BadInput(f"no method in {methods!r}", "names separated by commas", "see `models`")
    if not 0 <= seed < 2**62:
        raise BadInput(f"--seed {seed}", "0 to 2^62 - 1", "choose another")
    if json is not None:
        check_output(json, "", "--json", options.folders(model))

    with options.loading(model):
        import torch

        from spatialspec.audit.audit import audit, effort
        from spatialspec.audit.cases import FULL, QUICK
        from spatialspec.pipeline import SpatialPipeline

        torch.set_num_threads(1)  # the processes share the cores
        plan = QUICK if quick else FULL
        pipeline = SpatialPipeline.from_pretrained(model)
        missing = [method for method in listed if not _drawn_by(pipeline, method)] if methods is None else []
    if missing:
        say(wrapped(f"tried on toys alone, {model} has no drafts for them: {', '.join(map(str, missing))}"))
    cells, workers = arguments.grid(pipeline.target, plan.size or None).cells, min(os.cpu_count() or 1, WORKERS)
    with progress(effort(listed, plan, cells, missing), timed=False) as report:
        document = audit(listed, plan, seed, pipeline, report, workers, missing)
    s = document.settings
    lines = (
        "p, TV and expected: of the toy with the smallest p; expected is the TV that sampling noise alone gives",
        f"{s.tests} chi-square tests: a p of {s.level:.1e} or less is a deviation; honest methods fail with odds below "
        f"{s.false_alarm:.0e}",
    )
    with saved(json, document.json_text):
        say("\n".join([table(COLUMNS, document.methods), *map(wrapped, lines)]))
    if not document.ok:
        raise typer.Exit(1)


def _drawn_by(pipeline: SpatialPipeline, method: Method) -> bool:
    """Whether the model has the drafts that a method needs."""
    from spatialspec.generation import assemble
    from spatialspec.request import Request

    request = Request([""], [0], pipeline.target.default, pipeline.target.grid)
    try:
        assemble(pipeline.target, pipeline.drafts, method, request)
    except ValueError:
        return False
    return True


def _seed_identity(result: MethodAudit) -> str:
    same = result.seed_identity
    if same is None:
        return "-"
    ties = f", {same.ties} at ties" if same.ties else ""
    return f"{same.images - same.unexplained}/{same.images}{ties}"


COLUMNS: tuple[Column, ...] = (
    ("method", lambda r: r.method),
    ("verifier", lambda r: r.verifier),
    ("declared", lambda r: r.declared),
    ("found", lambda r: r.found),
    ("chi-square p", lambda r: f"{r.p:.1e}"),
    ("TV", lambda r: f"{r.total_variation:.3f}"),
    ("expected", lambda r: f"{r.expected_variation:.3f}"),
    ("images", lambda r: str(r.images)),
    ("as AR", _seed_identity),
    ("verdict", lambda r: "ok" if r.ok else "FAILED"),
)
