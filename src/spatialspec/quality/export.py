"""Images in the folders that official scorers read.

| list | layout |
|---|---|
| GenEval | `00000/metadata.jsonl`, `00000/samples/0000.png`, ... : `evaluate_images.py FOLDER` |
| DPG-Bench | `<id>.png`, one image or four as a 2 x 2 grid: `compute_dpg_bench.py --image-root-path FOLDER` |
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


def export(folder: Path, prompts: PromptSet, index: int, images: Sequence[Image.Image]) -> None:
    """Write one prompt's images.

    Args:
        folder: of one method; is made if need be, and files of the same names are replaced atomically.
        prompts: of the run.
        index: of the prompt among them.
        images: of that prompt.
    """
    folder.mkdir(parents=True, exist_ok=True)
    name = prompts.names[index]
    if prompts.kind == "dpg":
        write_picture(folder / f"{name}.png", grid(images))
        return
    stem = f"{name}-"
    if prompts.kind == "geneval":
        stem = f"{name}/samples/"
        (folder / stem).mkdir(parents=True, exist_ok=True)
        write_text(folder / name / "metadata.jsonl", prompts.lines[index] + "\n")
    for i, image in enumerate(images):
        write_picture(folder / f"{stem}{i:04d}.png", image)


def export_table(folder: Path, prompts: PromptSet, images: int) -> None:
    """Write `metadata.csv` for lists whose scorer has no layout of its own; `images` is the number for each prompt."""
    if prompts.kind == "list":
        drawn = zip(prompts.names, prompts.prompts, strict=True)
        rows = ((f"{name}-{i:04d}.png", prompt) for name, prompt in drawn for i in range(images))
        write_table(folder / "metadata.csv", ("file_name", "text"), rows)


def check_count(kind: str, images: int) -> None:
    """Refuse a number of images that a scorer cannot read.

    Raises:
        BadInput: DPG-Bench with other than 1 or 4.
    """
    if kind == "dpg" and images not in (1, 4):
        raise BadInput(f"--num-images {images} for DPG-Bench", "1 or 4", "its scorer reads a 2 x 2 grid")


def grid(images: Sequence[Image.Image]) -> Image.Image:
    """One image, or four as a 2 x 2 grid, row by row."""
    if len(images) == 1:
        return images[0]
    width, height = images[0].size
    sheet = Image.new("RGB", (2 * width, 2 * height))
    for i, image in enumerate(images):
        sheet.paste(image, (i % 2 * width, i // 2 * height))
    return sheet
