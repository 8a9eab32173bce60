"""Published lists of prompts, in the files of their authors, and the layouts of their official scorers.

| list | file |
|---|---|
| GenEval (arXiv 2310.11513) | `evaluation_metadata.jsonl`: prompt, tag, include, exclude |
| DPG-Bench (arXiv 2403.05135) | the folder of `<id>.txt`, or `dpg_bench.csv`: item_id, text, one row a question |
| PartiPrompts (arXiv 2206.10789) | `PartiPrompts.tsv`: Prompt, Category, Challenge, Note |
| COCO captions | `captions_val2017.json`, one caption for each image, or a table with the column Prompt |

A list may be named: then its file is read from the folder in SPATIALSPEC_PROMPTS. Nothing is downloaded.

Images of a list are exported in the layout of its official scorer:

| list | layout |
|---|---|
| GenEval | `00000/metadata.jsonl`, `00000/samples/0000.png`, ... : `evaluate_images.py FOLDER` |
| DPG-Bench | `<id>.png`, one image or four as a 2 x 2 grid: `compute_dpg_bench.py --image-root-path FOLDER` |
| others | `<name>-<image>.png` and `metadata.csv` with file_name and text, an ImageFolder |
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from spatialspec.core.errors import BadInput, shown
from spatialspec.io.files import inside, parse_json, read_text, write_text
from spatialspec.io.images import write_image
from spatialspec.io.prompts import check_prompt
from spatialspec.io.tables import read_lines, read_objects, read_table, write_table

FOLDER = "SPATIALSPEC_PROMPTS"  # environment variable
NAMED = {  # name -> possible files, the authors' own name first
    "geneval": ("evaluation_metadata.jsonl", "geneval.jsonl"),
    "dpg-bench": ("dpg_bench.csv", "dpg-bench"),
    "partiprompts": ("PartiPrompts.tsv", "partiprompts.tsv"),
    "coco": ("captions_val2017.json", "coco.csv", "coco_captions_5k.csv"),
}


@dataclass(frozen=True)
class PromptSet:
    """Prompts with names for their files.

    Attributes:
        kind: "geneval", "dpg", or "list" for lists without an official scorer.
        prompts: in the order of the file.
        names: of the prompts: ids of DPG-Bench and COCO, else numbers from 0.
        lines: of GenEval's file, for its scorer; else empty.
    """

    kind: str
    prompts: tuple[str, ...]
    names: tuple[str, ...]
    lines: tuple[str, ...] = ()

    @classmethod
    def plain(cls, prompts: list[str]) -> PromptSet:
        """Prompts numbered from 0."""
        return cls("list", tuple(prompts), tuple(f"{i:05d}" for i in range(len(prompts))))

    def first(self, limit: int) -> PromptSet:
        """The first `limit` prompts."""
        return PromptSet(self.kind, self.prompts[:limit], self.names[:limit], self.lines[:limit])


def find(path: Path) -> Path:
    """Path of a file or folder of prompts; a key of NAMED is a list in the folder SPATIALSPEC_PROMPTS.

    Raises:
        BadInput: a named list without the folder, or without a file in it.
    """
    files = NAMED.get(str(path))
    if files is None or path.exists():
        return path
    folder = os.environ.get(FOLDER, "")
    for file in files if folder else ():
        if (Path(folder) / file).exists():
            return Path(folder) / file
    expected = f"{FOLDER} to name a folder with {' or '.join(files)}"
    raise BadInput(f"--prompts {path} and {FOLDER}={folder}", expected, "put the list there as its authors publish it")


def published(path: Path) -> PromptSet | None:
    """Read a published list; None if the file has another form, for `read_prompts`.

    Raises:
        BadInput: a damaged list, or an id that cannot be a file name.
    """
    if path.is_dir():
        return _dpg_folder(path)
    reader = {".jsonl": _geneval, ".csv": _dpg_table, ".json": _coco}.get(path.suffix.lower())
    return None if reader is None else reader(path)


def _dpg_folder(path: Path) -> PromptSet:
    names = _Names()
    for file in sorted(path.glob("*.txt")):
        names.add(file.stem, read_text(file).strip(), file)
    if not names.prompts:
        raise BadInput(f"the folder {path}", "the prompts of DPG-Bench, one <id>.txt each", "check --prompts")
    return names.prompt_set("dpg")


def _geneval(path: Path) -> PromptSet | None:
    lines = [line for _, line in read_lines(path)]
    rows = list(read_objects(path))
    if not rows or not all({"prompt", "tag", "include"} <= row.keys() for _, row in rows):
        return None
    prompts = tuple(check_prompt(row["prompt"], f"{path}, line {line}").strip() for line, row in rows)
    return PromptSet("geneval", prompts, tuple(f"{i:05d}" for i in range(len(rows))), tuple(lines))


def _dpg_table(path: Path) -> PromptSet | None:
    columns, rows = read_table(path, what="prompt")
    name, text = ("item_id", "text") if "item_id" in columns else ("id", "prompt")
    if not {name, text} <= set(columns) or not rows:
        return None
    names = _Names()
    for line, row in rows:  # one row per question, with equal prompts
        names.add(row[name], row[text].strip(), f"{path}, line {line}")
    return names.prompt_set("dpg")


def _coco(path: Path) -> PromptSet:
    captions = parse_json(read_text(path, "COCO captions"), path)
    rows = captions.get("annotations") if isinstance(captions, dict) else None
    if not isinstance(rows, list) or not rows:
        raise BadInput("others", "COCO captions, annotations with image_id and caption", "check --prompts", path)
    names = _Names()
    for index, row in enumerate(rows):
        where, number = f"{path}, annotation {index}", row.get("image_id") if isinstance(row, dict) else None
        if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < 10**12:
            raise BadInput(shown(row), "image_id, from 0 to 10^12 - 1, and caption", "check --prompts", where)
        if (name := f"{number:012d}") not in names.prompts:  # the first of several captions of an image
            names.add(name, row.get("caption"), where)
    return names.prompt_set("list")


class _Names:
    """Prompts by their ids, which become file names.

    Attributes:
        prompts: by id, in the order of the list.
    """

    def __init__(self) -> None:
        self.prompts: dict[str, str] = {}
        self._lower: dict[str, str] = {}

    def add(self, name: str, prompt: object, where: object) -> None:
        """Add a prompt; repeats have no effect.

        Raises:
            BadInput: no prompt, an id that cannot be a file name, or the id of another prompt in upper or lower case.
        """
        text = check_prompt(prompt, where).strip()
        if not name.strip() or not name.isprintable() or set(name) & set("/\\") or name.startswith("."):
            raise BadInput(f"the id {shown(name)}", "one that can be the name of a file", "rename it", where)
        inside(Path(), f"{name}-0000.png", where)
        other = self._lower.setdefault(name.lower(), name)
        if other != name or self.prompts.setdefault(name, text) != text:
            raise BadInput(f"the id {shown(name)} for two prompts", "an id for each", "rename one", where)

    def prompt_set(self, kind: str) -> PromptSet:
        """The prompts with their ids as names."""
        return PromptSet(kind, tuple(self.prompts.values()), tuple(self.prompts))


def export(folder: Path, prompts: PromptSet, index: int, images: Sequence[Image.Image]) -> None:
    """Write the images of the prompt `index` to the folder of one method; old files are replaced atomically."""
    folder.mkdir(parents=True, exist_ok=True)
    name = prompts.names[index]
    if prompts.kind == "dpg":
        write_image(folder / f"{name}.png", grid(images))
        return
    stem = f"{name}-"
    if prompts.kind == "geneval":
        stem = f"{name}/samples/"
        (folder / stem).mkdir(parents=True, exist_ok=True)
        write_text(folder / name / "metadata.jsonl", prompts.lines[index] + "\n")
    for i, image in enumerate(images):
        write_image(folder / f"{stem}{i:04d}.png", image)


def export_table(folder: Path, prompts: PromptSet, images: int) -> None:
    """Write `metadata.csv` for lists without an official scorer; `images` is the number for each prompt."""
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
