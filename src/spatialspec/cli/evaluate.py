"""`spatialspec evaluate`: how good the pictures of methods are, beside AR's and beside real ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spatialspec.cli import options
from spatialspec.cli.display import Column, kept, progress, saved, say, table, waiting, wrapped
from spatialspec.core.errors import BadInput
from spatialspec.extras import need
from spatialspec.outputs import check_folder, check_output
from spatialspec.prompts import BUILT_IN, check_prompt, read_prompts

if TYPE_CHECKING:
    from spatialspec.quality.prompt_sets import PromptSet
    from spatialspec.quality.quality_results import Quality

FEATURES = "efficientnet-lite0"  # the default of evaluation.features, which imports torch


def evaluate(
    methods: Annotated[str, typer.Option(help="name[:key=value...], separated by commas.")] = "ar,hawk,ssd,spatial",
    prompts: Annotated[
        Path | None,
        typer.Option(
            help="Prompts: txt, csv, tsv, jsonl; GenEval, DPG-Bench, PartiPrompts or COCO as published, or geneval, "
            "dpg-bench, partiprompts, coco in the folder SPATIALSPEC_PROMPTS. "
            "[default: the captions of --real, else a built-in list]"
        ),
    ] = None,
    limit: Annotated[int, typer.Option(help="Take this many prompts at most.")] = 32,
    real: Annotated[
        Path | None, typer.Option(help="Real pictures: a folder with metadata.csv (file_name, text).")
    ] = None,
    features: Annotated[str, typer.Option(help=f"{FEATURES}, or the folder of a vision model.")] = FEATURES,
    clip: Annotated[
        str | None, typer.Option(help="Folder of a CLIP model, or OWNER/NAME on the Hub, for the CLIP score.")
    ] = None,
    scenes: Annotated[
        str | None, typer.Option(help="Draw scenes and judge them by category: icons, or the folder of a scene judge.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder to keep images in; a second call goes on there.")] = None,
    export: Annotated[
        Path | None, typer.Option(help="Folder for pictures as the list's official scorer reads them.")
    ] = None,
    model: options.Model = "icons",
    draft: options.Draft = None,
    verifier: options.Verifier = "coupled",
    seed: options.Seed = 0,
    guidance: options.Guidance = None,
    temperature: options.Temperature = None,
    top_k: options.TopK = None,
    top_p: options.TopP = None,
    negative_prompt: options.NegativePrompt = "",
    size: options.Size = None,
    num_images: options.NumImages = 2,
    budget: options.Budget = None,
    tolerance: options.Tolerance = None,
    quality: options.Quality = None,
    device: options.Device = "cpu",
    dtype: options.Dtype = None,
    json: options.Json = None,
    plugin: options.Plugin = None,
) -> None:
    """Measure the pictures of methods, with intervals.

    Kernel distance, and from 5,000 images on Frechet distance, from real pictures (--real) or else from AR's;
    alignment with the prompt by the judge (R-precision among 100 captions) and by CLIP; likelihood gap; equal tokens
    and PSNR to AR's picture under the same seed; diversity within a prompt; GenEval's categories on scenes (--scenes).
    AR runs too, and is listed if it is named.
    """
    need("evaluate")
    common = options.Common(
        model, draft, methods, verifier, seed, guidance, temperature, top_k, top_p, negative_prompt, size, num_images,
        budget, tolerance, quality, device, dtype,
    )  # fmt: skip
    listed = common.parse_methods()
    if limit < 1:
        raise BadInput(f"--limit {limit}", "at least 1", "choose another")
    if scenes is not None and prompts is not None:
        raise BadInput(f"--scenes {scenes} and --prompts {prompts}", "one of them", "scenes are prompts")
    sources = [prompts, real, *options.folders(model, draft), *map(_folder, (features, clip, scenes))]
    if json is not None:
        check_output(json, "", "--json", [*sources, None if out is None else out / "settings.json"])
    for option, folder, besides in (("--out", out, export), ("--export", export, out)):
        if folder is not None:
            check_folder(folder, option, [*sources, besides])
    asked = None if prompts is None else _read(prompts)

    with options.loading(model):  # imports torch
        from spatialspec.drafts.image_folder import rows_of
        from spatialspec.quality.export import check_count
        from spatialspec.quality.prompt_sets import PromptSet
        from spatialspec.quality.scenes.scores import SceneTest

        if real is not None:
            rows_of(real)
        test = None if scenes is None else SceneTest(scenes, limit)
    if test is not None:
        asked = PromptSet.plain(list(test.prompts))
    if export is not None and asked is not None:
        check_count(asked.kind, num_images)
    own = asked is not None or real is not None
    first = asked.prompts if asked is not None else () if own else BUILT_IN  # captions hang on the size of pictures
    pipeline, workload = common.load(listed, first[:1], own)

    from dataclasses import replace

    from spatialspec.generation import traced
    from spatialspec.measure.bench import AR
    from spatialspec.quality.alignment import Alignment
    from spatialspec.quality.clip_score import ClipScore
    from spatialspec.quality.features import feature_extractor
    from spatialspec.quality.measuring import Instruments
    from spatialspec.quality.quality import evaluate
    from spatialspec.quality.real import load_real
    from spatialspec.quality.store import Store

    with waiting("reading real images" if real is not None else "checking the prompts") as now:
        with traced(pipeline.target):
            side = pipeline.target.pixels([0] * workload.grid.cells, workload.grid).width
        truth = None if real is None else load_real(real, side, max(1000, limit * num_images))
        if asked is None:
            words = BUILT_IN if truth is None else dict.fromkeys(truth.captions)
            asked = PromptSet.plain([check_prompt(text, real or "") for text in words])
        asked = asked.first(limit)
        workload = replace(workload, prompts=asked.prompts)
        options.checked(pipeline, listed, workload, own)
        listed = common.tuned(listed, pipeline, workload)
        now.stage("loading the networks that measure images")
        captions = [*asked.prompts, *(truth.captions if truth is not None else ())]
        instruments = Instruments(
            features=feature_extractor(features),
            judge=Alignment(captions),
            clip=None if clip is None else ClipScore(clip),
            scenes=test,
            store=None if out is None else Store(out, _identity(pipeline, workload)),
            export=export,
        )
    drawn = "no images are kept without --out" if out is None else f"{out} keeps what was drawn: the same call goes on"
    with kept(drawn), progress(len({AR, *listed}) * len(workload.jobs()) * workload.grid.cells, timed=False) as report:
        names = {"features": features, "clip": clip, "scenes": scenes}
        document = evaluate(pipeline, listed, workload, asked, instruments, truth, names, (), report, report.stage)
    rows = [*document.methods, *([document.real] if document.real is not None else [])]
    other = "AR's" if truth is None else f"{len(truth.pixels)} real"
    images = f"{len(workload.jobs())} images of {len(asked.prompts)} prompts"
    with saved(json, document.json_text):
        say(table(COLUMNS, rows))
        say(wrapped(f"{images}; [95 % intervals]; kernel distance from {other} pictures"))
        if document.real_scenes is not None and document.wrong_scenes is not None:
            say("\nshare of pictures that show all that their scene asks for")
            say(table(_scene_columns(), [*document.methods, document.real_scenes, document.wrong_scenes]))


def _read(path: Path) -> PromptSet:
    from spatialspec.quality.prompt_sets import PromptSet, find, published

    path = find(path)
    return published(path) or PromptSet.plain(read_prompts(path))


def _folder(name: str | None) -> Path | None:
    """A folder, where a judge or a network is given by one."""
    return Path(name) if name is not None and Path(name).is_dir() else None


def _identity(pipeline: Any, workload: Any) -> dict[str, Any]:
    """What images depend on, besides prompts and methods."""
    from dataclasses import asdict

    from spatialspec.identity import identity
    from spatialspec.measure.bench import describe

    s = describe("evaluate", pipeline, workload)
    return {
        "model": s.model,
        "weights": identity(pipeline.target),
        "drafts": s.drafts,
        "version": s.version,
        "seed": s.seed,
        "verifier": s.verifier,
        "negative_prompt": s.negative_prompt,
        "size": s.size,
        "dtype": s.dtype,
        "device": pipeline.target.device.type,
        **asdict(workload.sampling),
    }


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
