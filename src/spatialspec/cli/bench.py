"""`spatialspec bench`: methods side by side on the same prompts and seeds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from spatialspec.cli import options
from spatialspec.cli.common import Common, read_folders
from spatialspec.cli.display import progress, saved, say, table, wrapped
from spatialspec.core.errors import BadInput
from spatialspec.extras import need
from spatialspec.io.outputs import check_output
from spatialspec.io.prompts import BUILT_IN, read_prompts


def bench(
    methods: Annotated[
        str, typer.Option(help="name[:key=value...], separated by commas; a value may be a sweep, 4..64:*2.")
    ] = "ar,hawk,ssd,spatial",
    prompts: Annotated[
        Path | None, typer.Option(help="Prompts: txt, csv, tsv or jsonl. [default: a built-in list]")
    ] = None,
    limit: Annotated[int, typer.Option(help="Largest number of prompts.")] = 32,
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
    num_images: options.NumImages = 1,
    budget: options.Budget = None,
    tolerance: options.Tolerance = None,
    quality: options.Quality = None,
    device: options.Device = None,
    engine: options.Engine = "auto",
    dtype: options.Dtype = None,
    json: options.Json = None,
    csv: options.Csv = None,
    plot: Annotated[
        Path | None, typer.Option(help="PNG file: passes against the distances from AR, with the lower envelope.")
    ] = None,
    plugin: options.Plugin = None,
) -> None:
    """Measure passes, time and distance from AR of methods.

    After a warm-up, the methods draw every image in turn. AR always runs, as the reference of speed-ups and equal
    tokens, but is listed only if named. Seconds and speed-ups are medians, other figures are means.
    """
    common = Common.of(locals())
    listed = common.parse_methods()

    from spatialspec.methods.ar import METHOD as AR

    if limit < 1:
        raise BadInput(f"--limit {limit}", "at least 1", "choose another")
    outputs = {"--json": json, "--csv": csv, "--plot": plot}
    for option, path in outputs.items():
        if path is not None:
            others = [other for name, other in outputs.items() if name != option]
            suffix = ".png" if option == "--plot" else ""
            check_output(path, suffix, option, [prompts, *read_folders(model, draft, draft_model), *others])
    if plot is not None:
        need("lab", "matplotlib")
        listed = list(dict.fromkeys([AR, *listed]))
    words = (list(BUILT_IN) if prompts is None else read_prompts(prompts))[:limit]
    pipeline, request = common.load(listed, words, own_prompts=prompts is not None)
    listed = common.tuned(listed, pipeline, request)

    from spatialspec.measure.bench import bench
    from spatialspec.measure.metrics import AGAINST_AR, COST, DISTANCE, columns, notes

    images = len(request.prompts) + 1  # one warms up
    with progress(len({AR, *listed}) * images * pipeline.target.layout(request.grid).cells) as report:
        document = bench(pipeline, listed, request, report, stage=report.stage)
    with saved(json, document.json_text), saved(csv, document.csv_text):
        tables = COST, AGAINST_AR, DISTANCE
        say("\n".join([table(columns(*tables), document.methods), *map(wrapped, notes(*tables))]))
        say(f"{len(document.methods)} methods, {images - 1} images each, verifier {verifier}")
    if plot is not None:
        from spatialspec.lab.envelope import draw_envelope

        best = draw_envelope(document, plot)
        say(wrapped(f"on the lower envelope of passes and all three distances: {', '.join(best)}"))
        say(f"wrote {plot}")
