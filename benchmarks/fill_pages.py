"""Write recorded figures into the pages: `python benchmarks/fill_pages.py` after a run.

A line `<!-- docs/results/bench.json: hawk, --quality fast -->` in a page names methods, methods with options or
presets; `hawk` alone stands for every recorded setting of it. Names of columns may follow: ` | exact, gap`. This script
writes the text between that line and `<!-- end -->`: the settings of the run and a row for each method. A test checks
that README and docs agree with the records.
"""

import argparse
import json
import os
import re
from collections.abc import Callable
from functools import partial
from math import floor
from pathlib import Path

import numpy as np

from spatialspec.io.files import write_text
from spatialspec.measure.intervals import mean_over_prompts
from spatialspec.methods.method import Method
from spatialspec.methods.presets import PRESETS

ROOT = Path(__file__).resolve().parents[1]
ASKED = re.compile(
    r"(<!-- (?P<record>docs/results/\S+\.json)(?:: (?P<methods>[^>|]+?))?(?: \| (?P<columns>[^>]+))? -->\n)"
    r".*?(<!-- end -->)",
    re.DOTALL,
)
PRESET = "--quality "
Column = Callable[[dict], str]
COLUMNS: dict[str, Column] = {
    "exact": lambda r: "yes" if r["exact"] else "no",
    "target passes": lambda r: f"{r['target_passes']:.1f}",
    "accepted length": lambda r: f"{r['accepted_length']:.2f}",
    "x passes": lambda r: f"{r['speedup_passes']:.2f}",
    "x time": lambda r: f"{r['speedup_seconds']:.2f}",
    "same tokens": lambda r: share(r["same_tokens_as_ar"]),
    "gap": lambda r: f"{r['likelihood_gap']:+.3f}",
    "entropy": lambda r: f"{r['entropy']:.2f}",
    "pit ks": lambda r: f"{r['pit_ks']:.3f}",
}
STAGES = ("draft", "pass", "read", "verify", "keep")


def spread(key: str) -> Column:
    """How many times less of a figure an image takes than with AR: geometric mean over images, and its interval."""

    def column(row: dict) -> str:
        figure = mean_over_prompts(row["beside_ar"][key], range(row["images"]), np.exp)
        assert figure is not None and figure.interval is not None
        return "{:.2f} [{:.2f}, {:.2f}]".format(figure.value, *figure.interval)

    return column


# Columns that are there where a page names them; `ms` are milliseconds of a pass in each stage.
NAMED: dict[str, Column] = {
    "slots": lambda r: f"{r['tokens_per_pass']:.0f}",
    "draft passes": lambda r: f"{r['draft_passes']:.0f}",
    "drafting": lambda r: f"{r['draft_seconds'] / r['seconds']:.0%}",
    "x passes [95 %]": spread("passes"),
    "x time [95 %]": spread("seconds"),
    **{
        f"ms {stage}": partial(lambda stage, r: f"{1000 * r['stages'][stage] / r['target_passes']:.2f}", stage)
        for stage in STAGES
    },
    "outside the pass": lambda r: f"{1 - r['stages']['pass'] / sum(r['stages'].values()):.1%}",
}


def interval(row: dict, key: str, form: str, minus: bool = False) -> str:
    """A figure of `evaluate` with its 95 % interval; with `minus` its difference from AR's."""
    figure = row["minus_ar"].get(key, {}) if minus else {"value": row[key], "interval": row["intervals"].get(key)}
    if figure.get("value") is None:
        return "-"
    ends = figure["interval"]
    return form.format(figure["value"]) + (f" [{', '.join(form.format(end) for end in ends)}]" if ends else "")


QUALITY: dict[str, Column] = {
    "target passes": lambda r: f"{r['target_passes']:.1f}",
    "kernel distance": lambda r: interval(r, "kernel_distance", "{:.3f}"),
    "less AR's": lambda r: interval(r, "kernel_distance", "{:+.3f}", minus=True),
    "alignment": lambda r: interval(r, "alignment", "{:.1%}"),
    "less AR's, alignment": lambda r: interval(r, "alignment", "{:+.1%}", minus=True),
    "gap": lambda r: interval(r, "likelihood_gap", "{:+.2f}"),
    "PSNR to AR": lambda r: interval(r, "psnr_to_ar", "{:.1f}"),
}


def fill(page: str, folder: Path = ROOT) -> str:
    """The page, a file in `folder`, with all tables replaced by those of the records.

    Raises:
        ValueError: a method or a column was not recorded.
    """

    def table(match: re.Match[str]) -> str:
        return figures(match["record"], match["methods"] or "", match["columns"] or "", folder)

    return ASKED.sub(lambda match: match[1] + table(match) + match[5], page)


def figures(path: str, names: str, columns: str, folder: Path) -> str:
    """Settings of a run and a table of these methods and columns; no names select all."""
    record = json.loads((ROOT / path).read_text())
    rows = {row["method"]: row | beside_ar(record, row["method"]) for row in record["methods"]}
    chosen: dict[str, dict] = {}
    for name in filter(None, map(str.strip, names.split(","))):
        if name.startswith(PRESET) or ":" in name:
            wanted = Method.parse(preset(name.removeprefix(PRESET)) if name.startswith(PRESET) else name)
            same = [method for method in rows if Method.parse(method) == wanted]
        else:
            same = [method for method in rows if method.split(":")[0] == name]
        if not same:
            raise ValueError(f"got {name!r}, expected one of those in {path}: {', '.join(rows)}")
        chosen |= {name: rows[same[0]]} if name.startswith(PRESET) else {m: rows[m] for m in same}
    shown = chosen or rows
    lines = [about(record["settings"], os.path.relpath(ROOT / path, folder), shown), ""]
    formats = QUALITY if record["settings"]["command"] == "evaluate" else COLUMNS
    headings = [name.strip() for name in columns.split(",")] if columns else list(formats)
    known = {**formats, **NAMED}
    for name in set(headings) - set(known):
        raise ValueError(f"got column {name!r}, expected one of {', '.join(known)}")
    lines += ["| method | " + " | ".join(headings) + " |", "|---" * (len(headings) + 1) + "|"]
    for name, row in shown.items():
        lines.append(f"| `{name}` | " + " | ".join(known[heading](row) for heading in headings) + " |")
    return "\n".join(lines) + "\n"


def beside_ar(record: dict, method: str) -> dict[str, dict[str, np.ndarray]]:
    """Logarithms of how much less every image took than with AR, where the record has its images."""
    each = {name: [image for image in record.get("images", []) if image["method"] == name] for name in ("ar", method)}
    logs = {
        key: np.log([image[key] for image in each["ar"]]) - np.log([image[key] for image in each[method]])
        for key in ("passes", "seconds")
    }
    return {"beside_ar": logs}


def share(value: float) -> str:
    """In percent, rounded down: only a share of 1 is 100 %."""
    return "100%" if value == 1 else f"{floor(1e4 * value) / 100:.2f}%"


def preset(name: str) -> str:
    """The method that a preset stands for."""
    return ":".join(["spatial", *(f"{key}={value}" for key, value in PRESETS[name].values.items())])


def about(settings: dict, path: str, rows: dict[str, dict]) -> str:
    """The settings of a run in one sentence, with the methods that use another verifier."""
    s = settings
    fixed = sorted({row["method"].split(":")[0] for row in rows.values() if row["verifier"] != s["verifier"]})
    other = f" ({', '.join(f'`{name}`' for name in fixed)}: rejection, always)" if fixed else ""
    return (
        f"`{s['model']}`, {s['prompts']} prompts, {s['size']} tokens, guidance {s['guidance']:g}, temperature "
        f"{s['temperature']:g},\nverifier `{s['verifier']}`{other}, {s['dtype']} on {s['device']} with {s['threads']} "
        f"thread{'s' * (s['threads'] != 1)}, "
        f"PyTorch {s['torch']}: [{Path(path).name}]({path})."
    )


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        text = page.read_text()
        if fill(text, page.parent) != text:
            write_text(page, fill(text, page.parent))
            print(f"filled {page.relative_to(ROOT)}")
