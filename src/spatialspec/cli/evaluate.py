"""`spatialspec evaluate`: image quality of methods, compared with AR and real images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spatialspec.cli import options
from spatialspec.cli.common import Common, checked, loading, read_folders
from spatialspec.cli.display import Column, progress, resumable, saved, say, table, waiting, wrapped
from spatialspec.core.errors import BadInput
from spatialspec.extras import need
from spatialspec.io.outputs import check_folder, check_output
from spatialspec.io.prompts import BUILT_IN, check_prompt, read_prompts

if TYPE_CHECKING:
    from spatialspec.quality.prompt_sets import PromptSet
    from spatialspec.quality.quality_results import Quality

FEATURES = "efficientnet-lite0"  # as in quality.extractors, which imports torch


def evaluate(
    methods: Annotated[str, typer.Option(help="name[:key=value...], separated by commas.")] = "ar,hawk,ssd,spatial",
    prompts: Annotated[
        Path | None,
        typer.Option(
            help="Prompts: txt, csv, tsv, jsonl; GenEval, DPG-Bench, PartiPrompts or COCO as published, or geneval, "
            "dpg-bench, partiprompts, coco: files in the folder SPATIALSPEC_PROMPTS. "
            "[default: the captions of --real, else a built-in list]"
        ),
    ] = None,
    limit: Annotated[int, typer.Option(help="Largest number of prompts.")] = 32,
    real: Annotated[
        Path | None, typer.Option(help="Real images: a folder with metadata.csv (file_name, text).")
    ] = None,
    features: Annotated[str, typer.Option(help=f"{FEATURES}, or the folder of a vision model.")] = FEATURES,
    clip: Annotated[
        str | None, typer.Option(help="Folder of a CLIP model, or OWNER/NAME on the Hub, for the CLIP score.")
    ] = None,
    scenes: Annotated[
        str | None, typer.Option(help="Draw scenes and score them by category: icons, or the folder of a scene judge.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the images; a second call resumes there.")] = None,
    export: Annotated[
        Path | None, typer.Option(help="Folder for images in the layout of the list's official scorer.")
    ] = None,
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
    num_images: options.NumImages = 2,
    budget: options.Budget = None,
    tolerance: options.Tolerance = None,
    quality: options.Quality = None,
    device: options.Device = None,
    engine: options.Engine = "auto",
    dtype: options.Dtype = None,
    json: options.Json = None,
    plugin: options.Plugin = None,
) -> None:
    """Measure the images of methods, with intervals.

    Metrics: kernel distance and, with 5,000 images or more, Frechet distance to real images (--real) or else to AR's;
    alignment with the prompt by a judge (R-precision among 100 captions) and by CLIP; log-likelihood gap; equal tokens
    and PSNR to AR's image for the same seed; diversity within a prompt; GenEval's categories on scenes (--scenes). AR
    always runs, but is listed only if named.
    """
    need("evaluate")
    common = Common.of(locals())
    listed = common.parse_methods()
    if limit < 1:
        raise BadInput(f"--limit {limit}", "at least 1", "choose another")
    if scenes is not None and prompts is not None:
        raise BadInput(f"--scenes {scenes} and --prompts {prompts}", "one of them", "scenes are prompts")
    networks = [Path(name) for name in (features, clip, scenes) if name is not None and Path(name).is_dir()]
    sources = [prompts, real, *read_folders(model, draft, draft_model), *networks]
    if json is not None:
        check_output(json, "", "--json", [*sources, None if out is None else out / "settings.json"])
    for option, folder, besides in (("--out", out, export), ("--export", export, out)):
        if folder is not None:
            check_folder(folder, option, [*sources, besides])
    prompt_set = None if prompts is None else _read(prompts)

    with loading(model):  # imports torch
        from spatialspec.drafts.image_folder import rows_of
        from spatialspec.quality.prompt_sets import PromptSet, check_count
        from spatialspec.quality.scenes.scores import SceneTest

        if real is not None:
            rows_of(real)
        test = None if scenes is None else SceneTest(scenes, limit)
    if test is not None:
        prompt_set = PromptSet.plain(list(test.prompts))
    if export is not None and prompt_set is not None:
        check_count(prompt_set.kind, num_images)
    own_prompts = prompt_set is not None or real is not None
    first = prompt_set.prompts if prompt_set is not None else () if own_prompts else BUILT_IN
    pipeline, request = common.load(listed, first[:1], own_prompts)

    from spatialspec.generation import traced
    from spatialspec.methods.ar import METHOD as AR
    from spatialspec.quality.extractors import ClipScore, feature_extractor
    from spatialspec.quality.judge import Alignment
    from spatialspec.quality.measuring import Metrics
    from spatialspec.quality.quality import check_images, evaluate
    from spatialspec.quality.real import load_real
    from spatialspec.quality.store import Store

    with waiting("reading real images" if real is not None else "checking the prompts") as now:
        check_images(pipeline.target)
        with traced(pipeline.target):
            side = pipeline.target.pixels([0] * request.grid.cells, request.grid).width
        truth = None if real is None else load_real(real, side, max(1000, limit * num_images))
        if prompt_set is None:
            words = BUILT_IN if truth is None else dict.fromkeys(truth.captions)
            prompt_set = PromptSet.plain([check_prompt(text, real or "") for text in words])
        prompt_set = prompt_set.first(limit)
        request = common.request(pipeline, prompt_set.prompts)
        checked(pipeline, listed, request, own_prompts)
        listed = common.tuned(listed, pipeline, request)
        now.stage("loading the networks that measure images")
        captions = [*prompt_set.prompts, *(truth.captions if truth is not None else ())]
        metrics = Metrics(
            features=feature_extractor(features),
            judge=Alignment(captions),
            clip=None if clip is None else ClipScore(clip),
            scenes=test,
            store=None if out is None else Store(out, _identity(pipeline, request)),
            export=export,
        )
    saved_in = "no images are saved without --out" if out is None else f"{out} holds the finished images"
    jobs, resumes = len(request.prompts), "" if out is None else ": run the same command to resume"
    total = len({AR, *listed}) * jobs * pipeline.target.layout(request.grid).cells
    with resumable(saved_in + resumes), progress(total, timed=False) as report:
        names = {"features": features, "clip": clip, "scenes": scenes}
        document = evaluate(pipeline, listed, request, prompt_set, metrics, truth, names, report, report.stage)
    rows = [*document.methods, *([document.real] if document.real is not None else [])]
    other = "AR's" if truth is None else f"{len(truth.pixels)} real"
    with saved(json, document.json_text):
        say(table(COLUMNS, rows))
        count = f"{jobs} images of {len(prompt_set.prompts)} prompts"
        say(wrapped(f"{count}; [95 % intervals]; kernel distance from {other} images"))
        if document.real_scenes is not None and document.wrong_scenes is not None:
            say("\nshare of images that show everything in their caption")
            say(table(_scene_columns(), [*document.methods, document.real_scenes, document.wrong_scenes]))


def _read(path: Path) -> PromptSet:
    from spatialspec.quality.prompt_sets import PromptSet, find, published

    path = find(path)
    return published(path) or PromptSet.plain(read_prompts(path))


def _identity(pipeline: Any, request: Any) -> dict[str, Any]:
    """Settings that images depend on, except prompts and methods."""
    from spatialspec.io.identity import identity
    from spatialspec.measure.bench import describe

    names = {"model", "drafts", "version", "seed", "verifier", "negative_prompt", "size", "dtype"}
    settings = describe("evaluate", pipeline, request).model_dump(include=names)
    target = {"weights": identity(pipeline.target), "device": pipeline.target.device.type}
    return {**settings, **target, **request.sampling.facts()}


def _shown(name: str, form: str) -> Callable[[Quality], str]:
    def show(quality: Quality) -> str:
        value, interval = getattr(quality, name), quality.intervals.get(name)
        if value is None:
            return "-"
        low_high = "" if interval is None else f" [{', '.join(form.format(end) for end in interval)}]"
        return form.format(value) + low_high

    return show


def _scene_columns() -> tuple[Column, ...]:
    from spatialspec.quality.scenes.scene import CATEGORIES

    by_category = [(name, _shown(f"scenes_{name}", "{:.1%}")) for name in CATEGORIES]
    return (COLUMNS[0], *by_category, ("all", _shown("scenes", "{:.1%}")))


COLUMNS: tuple[Column, ...] = (
    ("method", lambda q: q.method),
    ("exact", lambda q: "-" if q.exact is None else "yes" if q.exact else "no"),
    ("passes", _shown("target_passes", "{:.1f}")),
    ("kernel distance", _shown("kernel_distance", "{:.5f}")),
    ("Frechet", _shown("frechet_distance", "{:.2f}")),
    ("alignment", _shown("alignment", "{:.1%}")),
    ("CLIP", _shown("clip_score", "{:.2f}")),
    ("gap", _shown("likelihood_gap", "{:+.4f}")),
    ("entropy", _shown("entropy", "{:.3f}")),
    ("same as AR", _shown("same_tokens_as_ar", "{:.1%}")),
    ("PSNR to AR", _shown("psnr_to_ar", "{:.1f}")),
    ("diversity", _shown("diversity", "{:.3f}")),
)
