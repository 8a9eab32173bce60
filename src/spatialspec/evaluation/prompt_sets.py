"""Published lists of prompts in the files that their authors publish, with what the official scorers ask for.

| list | file |
|---|---|
| GenEval (arXiv 2310.11513) | `evaluation_metadata.jsonl`: prompt, tag, include, exclude |
| DPG-Bench (arXiv 2403.05135) | the folder of `<id>.txt`, or `dpg_bench.csv`: item_id, text, one row a question |
| PartiPrompts (arXiv 2206.10789) | `PartiPrompts.tsv`: Prompt, Category, Challenge, Note |
| COCO captions | `captions_val2017.json`, one caption for each picture, or a table with the column Prompt |

A list may be asked for by name: then it is looked for in the folder that SPATIALSPEC_PROMPTS names. None is fetched.
"""

from __future__ import annotations

import csv
import json
import os
from dataclasses import dataclass
from pathlib import Path

from spatialspec.core.errors import BadInput

FOLDER = "SPATIALSPEC_PROMPTS"  # variable of the environment
NAMED = {  # name -> files that it may be, the authors' first
    "geneval": ("evaluation_metadata.jsonl", "geneval.jsonl"),
    "dpg-bench": ("dpg_bench.csv", "dpg-bench"),
    "partiprompts": ("PartiPrompts.tsv", "partiprompts.tsv"),
    "coco": ("captions_val2017.json", "coco.csv", "coco_captions_5k.csv"),
}


@dataclass(frozen=True)
class PromptSet:
    """Prompts and what their scorer calls them.

    Attributes:
        kind: "geneval", "dpg", or "list" for all that have no scorer of their own.
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
        """Prompts without anything."""
        return cls("list", tuple(prompts), tuple(f"{i:05d}" for i in range(len(prompts))))

    def first(self, limit: int) -> PromptSet:
        """At most so many."""
        return PromptSet(self.kind, self.prompts[:limit], self.names[:limit], self.lines[:limit])


def find(asked: Path) -> Path:
    """Where prompts are: a path as it is, a name of NAMED in the folder of such lists.

    Raises:
        BadInput: a list by name, and no folder, or none of its files there.
    """
    files = NAMED.get(str(asked))
    if files is None or asked.exists():
        return asked
    folder = os.environ.get(FOLDER, "")
    for file in files if folder else ():
        if (Path(folder) / file).exists():
            return Path(folder) / file
    raise BadInput(
        f"--prompts {asked} and {FOLDER}={folder}",
        f"{FOLDER} to name a folder with {' or '.join(files)}",
        "put the list there as its authors publish it",
    )


def published(path: Path) -> PromptSet | None:
    """Read a published list; None if the file is none, and `read_prompts` should see it.

    Raises:
        BadInput: it looks like one, and is damaged.
    """
    if path.is_dir():
        return _dpg_folder(path)
    if not path.is_file():
        return None
    try:
        readers = {".jsonl": _geneval, ".csv": _dpg_table, ".json": _coco}
        return readers[path.suffix.lower()](path) if path.suffix.lower() in readers else None
    except (UnicodeDecodeError, json.JSONDecodeError, csv.Error) as error:
        raise BadInput(f"a file that does not parse ({error})", "a list of prompts", "fetch it again", path) from error


def _dpg_folder(path: Path) -> PromptSet:
    files = sorted(path.glob("*.txt"))
    prompts = [file.read_text(encoding="utf-8").strip() for file in files]
    if not files or not all(prompts):
        raise BadInput(f"the folder {path}", "the prompts of DPG-Bench, one <id>.txt each", "check --prompts")
    return PromptSet("dpg", tuple(prompts), tuple(file.stem for file in files))


def _geneval(path: Path) -> PromptSet | None:
    lines = [line for line in path.read_text(encoding="utf-8-sig").split("\n") if line.strip()]
    rows = [json.loads(line) for line in lines]
    if not rows or not all(isinstance(row, dict) and {"prompt", "tag", "include"} <= row.keys() for row in rows):
        return None
    prompts = tuple(str(row["prompt"]).strip() for row in rows)
    return PromptSet("geneval", prompts, tuple(f"{i:05d}" for i in range(len(rows))), tuple(lines))


def _dpg_table(path: Path) -> PromptSet | None:
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        columns = ("item_id", "text") if "item_id" in (reader.fieldnames or ()) else ("id", "prompt")
        if not set(columns) <= set(reader.fieldnames or ()):
            return None
        name, text = columns
        found = {str(row[name]): str(row[text]).strip() for row in reader}  # one row for each question: keep one
    return PromptSet("dpg", tuple(found.values()), tuple(found)) if found and all(found.values()) else None


def _coco(path: Path) -> PromptSet:
    captions = json.loads(path.read_text(encoding="utf-8"))
    rows = captions.get("annotations") if isinstance(captions, dict) else None
    if not isinstance(rows, list) or not all({"image_id", "caption"} <= row.keys() for row in rows) or not rows:
        raise BadInput("others", "COCO captions, annotations with image_id and caption", "check --prompts", path)
    first: dict[str, str] = {}
    for row in rows:
        first.setdefault(f"{int(row['image_id']):012d}", str(row["caption"]).strip())
    return PromptSet("list", tuple(first.values()), tuple(first))
