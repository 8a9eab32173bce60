"""`spatialspec generate --prompts FILE --out FOLDER`: many prompts, one image a file, here or through Ray."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from spatialspec import arguments
from spatialspec.cli.common import Common, read_folders
from spatialspec.cli.display import progress, say
from spatialspec.cli.workplace import working_in
from spatialspec.core.errors import BadInput
from spatialspec.extras import need
from spatialspec.io.outputs import check_folder, check_output
from spatialspec.io.prompts import read_prompts
from spatialspec.methods.presets import AUTO

if TYPE_CHECKING:
    from spatialspec.core.progress import Progress
    from spatialspec.measure.prompt_run import IndexLine, PromptRun
    from spatialspec.pipeline import SpatialPipeline

ALONE = {"prompt": None, "again": None, "compare": False, "sheet": False, "scale": 1, "json": None, "csv": None}


def draw_prompts(given: Mapping[str, Any]) -> None:
    """Draw the images of a file of prompts that are not in the folder yet.

    Args:
        given: options of `generate`, by name.

    Raises:
        BadInput: an option that goes with one prompt, a bad line of the file, or a folder of another run: before
            anything is drawn.
    """
    if given["prompts"] is None:
        raise BadInput("--ray without --prompts", "a file of prompts", "one prompt needs no cluster")
    for name, default in ALONE.items():
        if given[name] != default:
            option = "a prompt" if name == "prompt" else f"--{name}"
            raise BadInput(f"--prompts and {option}", "one of them", "leave the other out")
    common = Common.of(given, methods=given["method"], seed=given["seed"] or 0)
    methods = common.parse_methods()
    if len(methods) > 1 or common.budget == AUTO:
        got = "--budget auto" if len(methods) == 1 else f"{len(methods)} methods"
        raise BadInput(f"{got} with --prompts", "one method and a fixed budget", "the next run has to draw the same")
    if given["ray"]:
        need("ray")

    from spatialspec.io.images import WRITTEN
    from spatialspec.measure.prompt_run import INDEX, ImageIndex, PromptRun

    source, out = given["prompts"], arguments.path("--out", given["out"])
    if out.suffix.lower() in WRITTEN:
        raise BadInput(f"--out {out}", "a folder", "with --prompts every image is a file in it")
    texts = read_prompts(source)
    check_folder(out, "--out", read_folders(common.model, common.draft, common.draft_model))
    if out.is_dir():
        check_output(out / INDEX, "", "--out", [source])
    pipeline, request = common.load(methods, texts)
    run = PromptRun(request, str(methods[0]), common.model, common.draft, common.draft_model)
    with working_in(out):
        index, cells = ImageIndex(out, run, pipeline), pipeline.target.layout(request.grid).cells
        there = len(index.files)
        missing = [i for i in range(len(texts)) if not {run.name(image) for image in run.images(i)} <= index.files]
        with progress(len(missing) * request.images * cells) as report:
            for line, file in _drawn(given, run, pipeline, missing, report):
                index.add(line, file)
    images = f"{len(index.files) - there} of {len(request.prompts)} images"
    say(f"wrote {images} to {out}, listed in {out / INDEX}; the others were there")


def _drawn(
    given: Mapping[str, Any], run: PromptRun, pipeline: SpatialPipeline, prompts: Sequence[int], report: Progress
) -> Iterator[tuple[IndexLine, bytes]]:
    """Images of some prompts, drawn by this process or by those of a cluster."""
    if not given["ray"]:
        for prompt in prompts:
            yield from run.draw(pipeline, prompt, report)
    elif prompts:
        from spatialspec.measure.documents import dtype_name
        from spatialspec.serve.ray_cluster import ModelSource, cluster

        names = "model", "draft", "draft_model", "device", "engine"
        source = ModelSource(
            **{name: given[name] for name in names},
            dtype=dtype_name(pipeline.target.dtype),
            plugins=tuple(given["plugin"] or ()),
        )
        with cluster():
            from spatialspec.serve.ray_data import drawn

            for line, file in drawn(source, run, prompts):
                report(run.method, pipeline.target.layout(run.request.grid).cells)
                yield line, file
