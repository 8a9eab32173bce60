"""`spatialspec audit`: test what methods declare; exit code 1 if a test fails."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from spatialspec import arguments
from spatialspec.cli import options
from spatialspec.cli.common import loading, read_folders
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
        typer.Option(help="name[:key=value...], separated by commas. [default: all methods, and variants]"),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Fewer audit environments, without --methods in turn; fewer images.")
    ] = False,
    model: options.Model = "icons",
    seed: options.Seed = 0,
    json: options.Json = None,
    plugin: options.Plugin = None,
) -> None:
    """Test whether methods are exact, as they declare.

    Audit environments are models so small that their distribution over images is known. Every method draws images from
    them under every verifier; chi-square and total variation compare these images with the distribution. A seed-exact
    method must also draw AR's tokens, there and on the model. Exit code 1 if a declaration fails.
    """
    with loading(model):  # imports torch
        listed = list(dict.fromkeys(Method.parse_list(",".join(audited()) if methods is None else methods)))
    if not listed:
        raise BadInput(f"no method in {methods!r}", "names separated by commas", "see `models`")
    if not 0 <= seed < 2**62:
        raise BadInput(f"--seed {seed}", "0 to 2^62 - 1", "choose another")
    if json is not None:
        check_output(json, "", "--json", read_folders(model))

    with loading(model):
        import torch

        from spatialspec.audit.audit import audit, effort
        from spatialspec.audit.cases import FULL, QUICK
        from spatialspec.pipeline import SpatialPipeline

        torch.set_num_threads(1)  # the processes share the cores
        plan = replace(QUICK, in_turn=methods is None) if quick else FULL
        pipeline = SpatialPipeline.from_pretrained(model, dtype="fp32")
        missing = [method for method in listed if not _drawn_by(pipeline, method, checked=methods is not None)]
    if missing:
        say(wrapped(f"tested on audit environments only, {model} has no drafts for: {', '.join(map(str, missing))}"))
    cells, workers = arguments.grid(pipeline.target, plan.size or None).cells, min(os.cpu_count() or 1, WORKERS)
    with progress(effort(listed, plan, cells, missing), timed=False) as report:
        document = audit(listed, plan, seed, pipeline, report, workers, missing)
    s = document.settings
    lines = (
        "p, TV and expected: of the audit environment with the smallest p; expected: TV of sampling noise alone",
        f"{s.tests} chi-square tests: a p of {s.level:.1e} or less is a deviation; the probability that an exact "
        f"method fails is below {s.false_alarm:.0e}",
    )
    with saved(json, document.json_text):
        say("\n".join([table(COLUMNS, document.methods), *map(wrapped, lines)]))
    if not document.ok:
        raise typer.Exit(1)


def _drawn_by(pipeline: SpatialPipeline, method: Method, checked: bool = False) -> bool:
    """Whether the model has the drafts that a method needs.

    Raises:
        BadInput: `checked`, and it has some that do not suffice.
    """
    from spatialspec.generation import assemble
    from spatialspec.request import Request

    request = Request([""], [0], pipeline.target.default, pipeline.target.grid)
    try:
        assemble(pipeline.target, pipeline.drafts, method, request)
    except BadInput as error:
        if checked and not error.got.startswith("no "):
            raise
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
