"""`spatialspec generate`: draw an image from a prompt."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spatialspec import arguments
from spatialspec.cli import options
from spatialspec.cli.common import Common, read_folders
from spatialspec.cli.display import notes, progress, saved, say, table, waiting, wrapped
from spatialspec.cli.image_files import again as repeated
from spatialspec.cli.image_files import image_files
from spatialspec.cli.prompt_run import draw_prompts
from spatialspec.core.arguments import whole
from spatialspec.core.errors import BadInput
from spatialspec.io.outputs import check_output
from spatialspec.methods.method import Method

if TYPE_CHECKING:
    from spatialspec.measure.metrics import MethodResult
    from spatialspec.measure.runs import Sample

SEED_RULE = "image i: seed + i"


def generate(
    context: typer.Context,
    prompt: Annotated[str | None, typer.Argument(help="What to draw.", show_default=False)] = None,
    out: Annotated[
        str,
        typer.Option(help="File to write (.png, .jpg, .webp), or FOLDER/. Several images: NAME-0.png and so on."),
    ] = "spatialspec.png",
    method: Annotated[str, typer.Option(help="name[:key=value...]; several, separated by commas.")] = "spatial",
    compare: Annotated[bool, typer.Option("--compare", help="Also draw with plain AR, side by side.")] = False,
    sheet: Annotated[bool, typer.Option("--sheet", help="Write several images as one sheet.")] = False,
    again: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw an image of `generate` again, with options from its file.")
    ] = None,
    prompts: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Draw every prompt of a txt, csv, tsv or jsonl file into the folder --out, or what is missing there.",
        ),
    ] = None,
    ray: Annotated[
        bool,
        typer.Option("--ray", help="Draw --prompts through Ray: on this machine, or in the cluster at RAY_ADDRESS."),
    ] = False,
    model: options.Model = "icons",
    draft: options.Draft = None,
    draft_model: options.DraftModel = None,
    verifier: options.Verifier = "coupled",
    seed: options.FreshSeed = None,
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
    scale: Annotated[int, typer.Option(help="Enlarge every image by this whole factor, 1 to 16 (Lanczos).")] = 1,
    budget: options.Budget = None,
    tolerance: options.Tolerance = None,
    quality: options.Quality = None,
    device: options.Device = None,
    engine: options.Engine = "auto",
    dtype: options.Dtype = None,
    json: options.Json = None,
    csv: options.Csv = None,
    plugin: options.Plugin = None,
) -> None:
    """Draw images from a prompt, or from many.

    Each file holds prompt, seed, method and model in its metadata, which --again reads. With several methods, or
    --compare, one sheet has a column for each method, AR first: images, passes and seconds. With --prompts, --out has
    an image a file and index.jsonl; the same command resumes it, and its seed is 0 if none is typed.
    """
    given, fingerprint = dict(locals()), ""
    if prompts is not None or ray:
        return draw_prompts(given)
    if again is not None:
        given, fingerprint = repeated(again, context, given)
    if given["prompt"] is None:
        raise BadInput("no prompt", "what to draw, --again FILE or --prompts FILE")
    if given["seed"] is None:
        given["seed"] = secrets.randbits(32)
    prompt, model, draft, draft_model = (given[name] for name in ("prompt", "model", "draft", "draft_model"))
    common = Common.of(given, methods=given["method"])
    methods = common.parse_methods()

    from spatialspec.methods.ar import METHOD as AR

    if compare or AR in methods:
        methods = list(dict.fromkeys([AR, *methods]))
    arguments.prompts(prompt)
    whole("--scale", scale, 1, 16)
    read = [again, *read_folders(model, draft, draft_model)]
    one = sheet or len(methods) > 1
    files = image_files(out, [common.seed + i for i in range(num_images)], one, read)
    for option, path in (("--json", json), ("--csv", csv)):
        if path is not None:
            check_output(path, "", option, [*files, *read, csv if option == "--json" else None])

    pipeline, request = common.load(methods, [prompt])
    if fingerprint not in ("", pipeline.target.fingerprint):
        got = f"the model {model} with the fingerprint {pipeline.target.fingerprint}"
        raise BadInput(got, f"{fingerprint}, which drew {again}", "type --model to draw with another")
    if scale > 1:
        _check_size(request.grid.cells * pipeline.target.patch**2 * len(request.prompts) * len(methods), scale)
    notes(pipeline.remarks([prompt]))
    methods = common.tuned(methods, pipeline, request)

    from spatialspec.cli.sheet import SIDE, comparison, contact_sheet, enlarged
    from spatialspec.io.images import write_image
    from spatialspec.measure.bench import describe
    from spatialspec.measure.drawing import DrawingNote
    from spatialspec.measure.metrics import AGAINST_AR, COST, MethodRun, columns, summarise
    from spatialspec.measure.results import Document, image_records
    from spatialspec.measure.runs import draw

    if len(methods) > 1:  # first calls are slow: warm up, so that no method is charged for them
        for m in methods:
            with waiting(f"warming up {m}"), suppress(_Stop):
                draw(pipeline, m, request.only([0]), _stop_after(12))
    samples: dict[Method, list[Sample]] = {}
    with progress(len(methods) * num_images * pipeline.target.layout(request.grid).cells) as report:
        for m in methods:
            samples[m] = draw(pipeline, m, request, report)
    with waiting("distance from AR"):
        runs = [MethodRun(pipeline, m, request, samples[m], samples.get(AR)) for m in methods]
        results = [summarise(run) for run in runs]
        named = () if one else [str(file) for file in files]
        records = [record for run in runs for record in image_records(run, named)]

    images = [[enlarged(sample.image, scale) for sample in samples[m]] for m in methods]
    texts = [""]
    if len(methods) > 1:
        captions = [f"{r.method}\n{r.target_passes:.0f} passes\n{r.seconds:.2f} s" for r in results]
        written = [comparison(list(zip(captions, images, strict=True)), SIDE if scale == 1 else 0)]
    elif sheet:
        written = [contact_sheet(images[0])]
    else:
        written = images[0]
        names = model, draft, draft_model
        texts = [DrawingNote.of(pipeline, methods[0], request, i, *names).text() for i in range(num_images)]
    shown = [table(columns(COST, AGAINST_AR) if AR in samples else columns(COST), results)]
    shown += [wrapped(_relaxed(result)) for result in results if not result.exact]
    document = Document(settings=describe("generate", pipeline, request, SEED_RULE), methods=results, images=records)
    with saved(json, document.json_text), saved(csv, document.csv_text):
        try:
            say("\n".join(shown))
        finally:  # even if the text cannot be shown: a closed pipe, a full disk
            files[0].parent.mkdir(exist_ok=True)
            for file, image, text in zip(files, written, texts, strict=True):
                write_image(file, image, text)
        last, size_of = f" to {files[-1]}" if len(files) > 1 else "", f"{written[0].width} x {written[0].height}"
        seeds = f"seed {request.seeds[0]}" + (f" to {request.seeds[-1]}" if num_images > 1 else "")
        say(f"wrote {files[0]}{last} ({size_of} pixels), {seeds}")


def _check_size(pixels: int, scale: int) -> None:
    """Refuse a sheet that is too large for memory, before its images are drawn.

    Args:
        pixels: of all images, before they are enlarged.
        scale: to enlarge them by.

    Raises:
        BadInput: more pixels than `read_image` reads.
    """
    from spatialspec.io.images import LARGEST

    if pixels * scale**2 > LARGEST:
        got = f"--scale {scale}, which makes {pixels * scale**2:,} pixels in all"
        raise BadInput(got, f"at most {LARGEST:,}", "make it smaller, or draw fewer images")


class _Stop(Exception):
    """Stops an image before its end."""


def _stop_after(passes: int) -> Callable[[str, int], None]:
    """Progress that stops an image."""
    left = iter(range(passes))

    def report(method: str, tokens: int) -> None:
        if next(left, None) is None:
            raise _Stop

    return report


def _relaxed(result: MethodResult) -> str:
    """One line on the distance of a relaxed method from AR."""
    if result.likelihood_gap is None:
        return f"{result.method} is not exact; at temperature 0 its distance from AR is undefined"
    figures = (
        f"gap {result.likelihood_gap:+.4f}, entropy {result.entropy:.4f} nats per token, pit ks {result.pit_ks:.4f}"
    )
    return f"{result.method} is not exact, its distance from AR: {figures}"
