"""`spatialspec reproduce`: experiments of the papers, on any target."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spatialspec.cli import options
from spatialspec.cli.common import Common, read_folders
from spatialspec.cli.display import progress, say, table, waiting, wrapped
from spatialspec.core.errors import BadInput
from spatialspec.extras import need
from spatialspec.io.outputs import check_folder
from spatialspec.io.prompts import BUILT_IN, read_prompts
from spatialspec.lab.reproduce.registry import EXPERIMENTS

if TYPE_CHECKING:
    from spatialspec.lab.reproduce.report import ExperimentReport

ALL = "all"
VERIFIER = "rejection"  # as in the papers


def reproduce(
    name: Annotated[
        str | None,
        typer.Argument(help=f"Experiment, or {ALL}; without a name, list the experiments.", show_default=False),
    ] = None,
    model: options.Model = "icons",
    draft: options.Draft = None,
    drafts: Annotated[
        str | None, typer.Option(metavar="A,B,...", help="Folders of drafts, for experiments that compare drafts.")
    ] = None,
    prompts: Annotated[
        Path | None, typer.Option(help="Prompts: txt, csv, tsv or jsonl. [default: a built-in list]")
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Largest number of prompts. [default: the experiment's]")] = None,
    quick: Annotated[
        bool,
        typer.Option("--quick", help="One prompt, few cells and settings: a smoke test whose figures mean nothing."),
    ] = False,
    out: Annotated[Path, typer.Option(help="Folder for <name>.md, <name>.png and <name>.json.")] = Path("reproduce"),
    seed: options.Seed = 0,
    device: options.Device = None,
    dtype: options.Dtype = None,
    plugin: options.Plugin = None,
) -> None:
    """Run an experiment of a paper and test its claims.

    Writes a page with the paper's figures beside ours, a plot, and all figures as JSON. The verdict on a claim follows
    from a figure and its 95 % interval; the page states the rule. The verifier is rejection, as in the papers.
    """
    if name is None:
        width = max(map(len, EXPERIMENTS))
        for known, entry in EXPERIMENTS.items():
            needs = "; needs --drafts" if entry.folders else ""
            line = f"{known:<{width}}  {entry.summary} ({entry.source}; {entry.prompts} prompts{needs})"
            say(wrapped(line, width + 2))
        return
    need("lab")
    if name not in EXPERIMENTS and name != ALL:
        raise BadInput(f"experiment {name!r}", f"one of {', '.join(EXPERIMENTS)}, or {ALL}")
    if limit is not None and (quick or limit < 1):
        raise BadInput(f"--limit {limit}", "at least 1, and none with --quick, which takes one prompt")
    if drafts is not None and name != ALL and not EXPERIMENTS[name].folders:
        several = ", ".join(known for known, entry in EXPERIMENTS.items() if entry.folders)
        raise BadInput(f"--drafts for {name}", f"one of {several}", "for the others give --draft")
    common = Common.of(locals(), methods="ar", verifier=VERIFIER)
    methods = common.parse_methods()
    words = list(BUILT_IN) if prompts is None else read_prompts(prompts)
    chosen = list(EXPERIMENTS) if name == ALL else [name]
    folders = tuple(Path(part).expanduser() for part in (drafts or "").split(",") if part.strip())
    check_folder(out, "--out", [*read_folders(model, draft), *folders])

    with waiting("getting ready to plot"):  # imports torch and matplotlib
        from spatialspec.lab.reproduce.carry_out import check_files
        from spatialspec.lab.reproduce.plots import empty_plot

        empty_plot()
    out.mkdir(exist_ok=True)
    for one in chosen:
        check_files(one, out, quick)
    pipeline, request = common.load(methods, words[:1], own_prompts=prompts is not None)

    from dataclasses import replace

    from spatialspec.lab.reproduce.carry_out import carry_out
    from spatialspec.lab.reproduce.context import ExperimentContext, quick_grid
    from spatialspec.measure.runs import check

    if quick:
        request = replace(request, grid=quick_grid(pipeline.target))
    context = ExperimentContext(pipeline, request, quick, folders, progress)
    for one in chosen:
        most = 1 if quick else limit or EXPERIMENTS[one].prompts
        chosen_prompts = request.with_prompts(words[:most])
        check(pipeline, methods, chosen_prompts)
        typed = {
            "--model": model if model != "icons" else None, "--draft": draft, "--drafts": drafts, "--prompts": prompts,
            "--seed": seed or None, "--device": device, "--dtype": dtype,
            "--plugin": plugin,
        }  # fmt: skip
        call = _call(one, typed | ({} if quick else {"--limit": len(chosen_prompts.prompts)}), quick)
        try:
            with waiting(one):
                carry_out(one, replace(context, request=chosen_prompts), out, call, lambda report: say(_text(report)))
        except ValueError as error:
            if name != ALL:
                raise
            say(f"{one}: not run: {error}", err=True)
        else:
            say(f"wrote {out / one}.md, .png and .json")


def _call(name: str, typed: dict[str, Any], quick: bool) -> str:
    """The command line, without default options; an option with a list is repeated."""
    pairs = [(option, one) for option, value in typed.items() for one in (value if type(value) is list else [value])]
    words = [word for option, value in pairs if value is not None for word in (option, str(value))]
    return shlex.join(["spatialspec", "reproduce", name, *words, *(["--quick"] if quick else [])])


def _text(report: ExperimentReport) -> str:
    """Verdict, claims and tables as plain text."""
    from spatialspec.lab.reproduce.page import figure

    parts = [f"{report.name}: {report.verdict}"]
    for claim in report.claims:
        value, interval, wanted = figure(claim)
        parts.append(wrapped(f"  {claim.text}: {value}, 95 % {interval}, wanted {wanted}: {claim.found}"))
    for one in report.tables:
        columns = [(c.label, lambda row, c=c: c.show(row.get(c.key))) for c in one.columns]
        parts += [wrapped(one.caption), table(columns, one.rows)]
    return "\n".join(parts)
