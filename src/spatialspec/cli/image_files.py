"""Files of the images of `generate`: their names, their checks, and the options of one drawn before."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer

from spatialspec import arguments
from spatialspec.core.errors import BadInput, shown
from spatialspec.io.hub import CACHE
from spatialspec.io.outputs import check_folder, check_output
from spatialspec.models import draft_folder, local_folder, model_folder

REPEATED = {  # options that a note holds
    "prompt", "negative_prompt", "seed", "method", "model", "draft", "draft_model", "verifier", "guidance",
    "temperature", "top_k", "top_p", "min_p", "size", "dtype",
}  # fmt: skip


def image_files(name: str, seeds: Sequence[int], sheet: bool, inputs: Sequence[Path | None]) -> list[Path]:
    """Names of the files to write, checked.

    Args:
        name: file, or folder: one that exists, or ends in / and is made.
        seeds: of the images.
        sheet: whether all images are on one.
        inputs: files and folders that the command reads.

    Returns:
        One file for each image, or one for a sheet: `name`, NAME-0.png and so on, or SEED.png in a folder.

    Raises:
        BadInput: another ending, or a path that cannot be written.
    """
    from spatialspec.io.images import WRITTEN

    out = arguments.path("--out", name)
    suffix = out.suffix.lower()
    if name.endswith("/") or (suffix not in WRITTEN and out.is_dir()):
        check_folder(out, "--out", inputs)
        files = [out / "sheet.png"] if sheet else [out / f"{seed}.png" for seed in seeds]
        if out.is_dir():
            for file in files:
                check_output(file, "", "--out", inputs)
        return files
    if suffix not in WRITTEN:
        raise BadInput(f"--out {out}", f"FOLDER/, or a name that ends in {', '.join(WRITTEN)}", "rename it")
    single = sheet or len(seeds) == 1
    files = [out] if single else [out.with_name(f"{out.stem}-{i}{out.suffix}") for i in range(len(seeds))]
    for file in files:
        check_output(file, suffix, "--out", inputs)
    return files


def again(path: Path, context: typer.Context, given: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """Options of an image that was drawn before; those that were typed now take precedence.

    Args:
        path: of the image.
        context: of the command.
        given: its options.

    Returns:
        The options, and the fingerprint of the target that drew the image; "" if a model was typed.

    Raises:
        BadInput: no image with a note, or its model is not on this machine: none is fetched that nobody typed.
    """
    from spatialspec.measure.drawing import DrawingNote

    note = DrawingNote.read(path)
    sources = {name: context.get_parameter_source(name) for name in given}
    typed = {name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"}
    kept = REPEATED - typed - ({"size"} if typed & {"height", "width"} else set())
    values: dict[str, Any] = {name: getattr(note, name) for name in kept}
    if "model" in kept:
        values["model"] = _here(note.model, f"the model {shown(note.model)} in {path.name}", f"--model {note.model}")
    if "draft" in kept and note.draft and "/" in note.draft and not Path(note.draft).is_dir():
        try:
            values["draft"] = str(draft_folder((given | values)["model"], note.draft, drafts=CACHE))
        except BadInput as error:
            got = f"the drafts {shown(note.draft)} in {path.name}"
            raise BadInput(got, "some on this machine", "type --draft") from error
    if "draft_model" in kept and note.draft_model:
        got = f"the draft model {shown(note.draft_model)} in {path.name}"
        values["draft_model"] = _here(note.draft_model, got, "--draft-model")
    return given | values, note.fingerprint if "model" in kept else ""


def _here(model: str, got: str, option: str) -> str:
    """A model as its note names it, if it is on this machine; of one in the cache of the Hub its folder."""
    if local_folder(model) is not None:
        return model
    try:
        return str(model_folder(model, CACHE))
    except BadInput as error:
        raise BadInput(got, "one on this machine", f"type {option}, or its folder") from error
