"""`spatialspec show`: the passes of one image, as an HTML page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from spatialspec import arguments
from spatialspec.cli import options
from spatialspec.cli.common import Common, read_folders
from spatialspec.cli.display import notes, progress, saved, say, waiting
from spatialspec.core.errors import BadInput
from spatialspec.io.outputs import check_output


def show(
    prompt: Annotated[str, typer.Argument(help="What to draw.", show_default=False)],
    out: Annotated[Path, typer.Option(help="HTML file to write.")] = Path("spatialspec.html"),
    method: Annotated[str, typer.Option(help="name[:key=value...].")] = "spatial",
    model: options.Model = "icons",
    draft: options.Draft = None,
    draft_model: options.DraftModel = None,
    verifier: options.Verifier = "coupled",
    seed: options.Seed = 0,
    guidance: options.Guidance = None,
    temperature: options.Temperature = None,
    top_k: options.TopK = None,
    top_p: options.TopP = None,
    min_p: options.MinP = None,
    negative_prompt: options.NegativePrompt = "",
    size: options.Size = None,
    height: options.Height = None,
    width: options.Width = None,
    budget: options.Budget = None,
    tolerance: options.Tolerance = None,
    quality: options.Quality = None,
    device: options.Device = None,
    engine: options.Engine = "auto",
    dtype: options.Dtype = None,
    plugin: options.Plugin = None,
) -> None:
    """Show an image pass by pass, beside plain AR.

    Writes one self-contained HTML page. A slider selects the pass. Marks show the source of every token: the target, a
    draft from the row above or from the left, or a refined draft. Maps show which drafts were accepted, the entropy of
    the target, and the distance of the drafts from it.
    """
    common = Common.of(locals(), methods=method)
    methods = common.parse_methods()
    if len(methods) != 1:
        raise BadInput(f"{len(methods)} methods in {method!r}", "one", "plain AR is always drawn beside it")
    arguments.prompts(prompt)
    check_output(out, ".html", "--out", read_folders(model, draft, draft_model))
    pipeline, request = common.load(methods, [prompt])
    notes(remarks := pipeline.remarks([prompt]))
    methods = common.tuned(methods, pipeline, request)

    from spatialspec import __version__
    from spatialspec.core.step import Step
    from spatialspec.methods.ar import METHOD as AR
    from spatialspec.show.page import page, panel
    from spatialspec.show.trace import trace

    shown = list(dict.fromkeys([*methods, AR]))
    traces = []
    with progress(len(shown) * pipeline.target.layout(request.grid).cells, timed=False) as report:
        for one in shown:

            def tell(step: Step, name: str = str(one)) -> None:
                report(name, len(step.written))

            traces.append(trace(pipeline, one, request, tell))
    with waiting("decoding the drafts of every pass"):
        panels = [panel(pipeline.target, one) for one in traces]
    s = request.sampling
    settings = (
        f"spatialspec {__version__}, model {pipeline.target.name}, {request.grid} tokens, seed {seed}, verifier "
        f"{methods[0].rule_under(verifier)}, guidance {s.guidance:g}, temperature {s.temperature:g}, top-k {s.top_k}, "
        f"top-p {s.top_p:g}."
    )
    settings = " ".join([settings, *(f"{remark[0].upper()}{remark[1:]}." for remark in remarks)])
    passes = ", ".join(f"{one.trace.method} {len(one.trace.passes)}" for one in panels)
    with saved(out, lambda: page(prompt, panels, settings)):
        say(f"passes: {passes}")
    say(f"wrote {out}: open it in a browser")
