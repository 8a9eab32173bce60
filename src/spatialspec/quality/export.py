"""Pictures in the folders that official scorers read.

| list | layout |
|---|---|
| GenEval | `00000/metadata.jsonl`, `00000/samples/0000.png`, ... : `evaluate_images.py FOLDER` |
| DPG-Bench | `<id>.png`, one picture or four as a 2 x 2 grid: `compute_dpg_bench.py --image-root-path FOLDER` |
| others | `<name>-<image>.png` and `metadata.csv` with file_name and text, an ImageFolder |
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from spatialspec.core.errors import BadInput
from spatialspec.files import write_text
from spatialspec.pictures import write_picture
from spatialspec.quality.prompt_sets import PromptSet
from spatialspec.tables import write_table


def export(folder: Path, prompts: PromptSet, place: int, pictures: Sequence[Image.Image]) -> None:
    """Write one prompt's pictures.

    Args:
        folder: of one method; it is made if need be, and files of the same names are replaced, each whole or not.
        prompts: what was drawn.
        place: of the prompt among them.
        pictures: of that prompt.
    """
    folder.mkdir(parents=True, exist_ok=True)
    name = prompts.names[place]
    if prompts.kind == "geneval":
        (folder / name / "samples").mkdir(parents=True, exist_ok=True)
        write_text(folder / name / "metadata.jsonl", prompts.lines[place] + "\n")
        for i, picture in enumerate(pictures):
            write_picture(folder / name / "samples" / f"{i:04d}.png", picture)
    elif prompts.kind == "dpg":
        write_picture(folder / f"{name}.png", grid(pictures))
    else:
        for i, picture in enumerate(pictures):
            write_picture(folder / f"{name}-{i:04d}.png", picture)


def export_table(folder: Path, prompts: PromptSet, images: int) -> None:
    """Write `metadata.csv` where the list has no scorer with a layout of its own.

    Args:
        folder: of one method.
        prompts: what was drawn.
        images: of each prompt.
    """
    if prompts.kind != "list":
        return
    drawn = zip(prompts.names, prompts.prompts, strict=True)
    rows = ((f"{name}-{i:04d}.png", prompt) for name, prompt in drawn for i in range(images))
    write_table(folder / "metadata.csv", ("file_name", "text"), rows)


def check_count(kind: str, images: int) -> None:
    """Refuse a number of pictures that a scorer cannot read.

    Raises:
        BadInput: DPG-Bench with other than 1 or 4.
    """
    if kind == "dpg" and images not in (1, 4):
        raise BadInput(f"--num-images {images} for DPG-Bench", "1 or 4", "its scorer reads a 2 x 2 grid")


def grid(pictures: Sequence[Image.Image]) -> Image.Image:
    """One picture, or four as a 2 x 2 grid, row by row."""
    if len(pictures) == 1:
        return pictures[0]
    width, height = pictures[0].size
    sheet = Image.new("RGB", (2 * width, 2 * height))
    for i, picture in enumerate(pictures):
        sheet.paste(picture, (i % 2 * width, i // 2 * height))
    return sheet
