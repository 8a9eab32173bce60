"""Passes and time of every method against the side of the grid, for the same small recipe at several sides.

`python benchmarks/growth.py --data train/data --tokenizer train/tokenizer --report docs/results/growth`
trains a target, Hawk's heads and SSD's predictors at 12, 16, 24 and 32 tokens a side, all on equally many images,
decodes the same prompts with each, and writes `growth.json`, `growth.md` and `growth.png`. It calls the commands of the
package. An interrupted command resumes, and a second call does only the missing work. `--render` writes the table and
the plot again from the JSON.
"""

import argparse
import json
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from spatialspec.io.files import write_text
from spatialspec.io.outputs import check_output
from spatialspec.lab.reproduce.plots import save
from spatialspec.methods.presets import PRESETS

FAST = "spatial:" + ":".join(f"{name}={value:g}" for name, value in PRESETS["fast"].values.items())
STEPS = ("steps", "sketch_steps", "draft_steps", "batch", "width", "layers", "limit")
METHODS = {"AR": "ar", "Hawk": "hawk", "SSD, 1 round": "ssd:rounds=1", "spatial": "spatial", "--quality fast": FAST}


def main(arguments: Sequence[str] | None = None) -> None:
    """Do the missing training and decoding, then write the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("train/data"), help="folder with images and metadata.csv")
    parser.add_argument("--tokenizer", type=Path, default=Path("train/tokenizer"), help="of `train tokenizer`")
    parser.add_argument("--out", type=Path, default=Path("train/growth"), help="folder for models and runs")
    parser.add_argument("--report", type=Path, default=Path("growth"), help="path without its ending")
    parser.add_argument("--sides", default="12,16,24,32", help="tokens a side")
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--batch", type=int, default=12, help="images a step, at every side")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--sketch-steps", type=int, default=1500)
    parser.add_argument("--draft-steps", type=int, default=150)
    parser.add_argument("--limit", type=int, default=8, help="prompts to decode")
    parser.add_argument("--note", action="append", default=[], help="sentence for the page")
    parser.add_argument("--render", action="store_true", help="measure nothing, read the report's JSON")
    options = parser.parse_args(arguments)
    path = options.report.with_suffix(".json")
    for ending in (".json", ".md", ".png"):
        check_output(options.report.with_suffix(ending), "", "--report")
    if not options.render:
        words = list(sys.argv[1:] if arguments is None else arguments)
        runs = {side: measure(side, options) for side in map(int, options.sides.split(","))}
        steps = {name: getattr(options, name) for name in STEPS}
        record = {"call": shlex.join(["python", "benchmarks/growth.py", *words]), "steps": steps}
        write_text(path, json.dumps(record | {"notes": options.note, "runs": runs}, indent=1) + "\n")
    record = json.loads(path.read_text())
    write_text(options.report.with_suffix(".md"), page(record))
    plot(record["runs"], options.report.with_suffix(".png"))


def measure(side: int, options: argparse.Namespace) -> dict:
    """The document of `spatialspec bench` at one side."""
    folder: Path = options.out / str(side)
    record, model = folder / "bench.json", folder / "model"
    if record.exists():
        return json.loads(record.read_text())
    sizes = ["--width", options.width, "--layers", options.layers, "--sketch-steps", options.sketch_steps]
    stages = f"{side}:{options.batch}:{options.steps}"
    folders = ["--data", options.data, "--tokenizer", options.tokenizer, "--out", folder]
    spatialspec("train", "target", *folders, "--stages", stages, *sizes, "--name", f"growth-{side}", "--no-compile")
    for drafter in ("hawk", "ssd"):
        training = ["--target", model, "--data", options.data, "--steps", options.draft_steps]
        spatialspec("train", "draft", *training, "--drafter", drafter)
    bench_options = ["--methods", ",".join(METHODS.values()), "--limit", options.limit, "--model", model]
    spatialspec("bench", *bench_options, "--json", record)
    return json.loads(record.read_text())


def spatialspec(*words: object) -> None:
    """Run a command of the package; its failure ends the script."""
    subprocess.run([sys.executable, "-m", "spatialspec", *map(str, words)], check=True)


def rows_of(document: dict) -> dict[str, dict]:
    """Rows of a document by the names of METHODS."""
    return dict(zip(METHODS, document["methods"], strict=True))


def page(record: dict) -> str:
    """The command and settings of the record, the table, then the notes."""
    runs, steps = record["runs"], record["steps"]
    s = next(iter(runs.values()))["settings"]
    about = (
        f"At every side a target of {steps['layers']} layers of width {steps['width']} learns for {steps['steps']} "
        f"steps of {steps['batch']} images (its sketch for {steps['sketch_steps']}), drafts for "
        f"{steps['draft_steps']}; then {steps['limit']} prompts, seed {s['seed']}, {s['verifier']}, guidance "
        f"{s['guidance']:g}, temperature "
        f"{s['temperature']:g}, top-k {s['top_k']}, top-p {s['top_p']:g}. On {s['device']}, {s['dtype']}, threads "
        f"{s['threads']}, PyTorch {s['torch']}, Python {s['python']}, spatialspec {s['version']}."
    )
    notes = ["\n".join(f"- {note}" for note in record["notes"])] if record["notes"] else []
    return "\n\n".join([f"`{record['call']}`", about, table(runs), *notes]) + "\n"


def table(runs: dict[str, dict]) -> str:
    """Passes and time, and their ratios to AR, by side."""
    lines = [
        "| side | method | passes | fewer passes | seconds | quartiles | ms per pass | faster | gap | pit ks |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for side, document in runs.items():
        for name, row in rows_of(document).items():
            low, high = row["seconds_quartiles"]
            passes = f"{row['target_passes']:.1f} | {row['speedup_passes']:.2f}"
            each = 1000 * row["seconds"] / row["target_passes"]
            time = f"{row['seconds']:.2f} | {low:.2f} to {high:.2f} | {each:.1f} | {row['speedup_seconds']:.2f}"
            lines.append(
                f"| {side} | {name} | {passes} | {time} | {row['likelihood_gap']:+.3f} | {row['pit_ks']:.3f} |"
            )
    return "\n".join(lines)


def plot(runs: dict[str, dict], path: Path) -> None:
    """Passes and seconds against the side, on logarithmic axes."""
    figure, panels = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    sides = [int(side) for side in runs]
    for panel, key, label in zip(panels, ("target_passes", "seconds"), ("target passes", "seconds"), strict=True):
        for name in METHODS:
            panel.plot(sides, [rows_of(d)[name][key] for d in runs.values()], marker="o", label=name)
        panel.set(xscale="log", yscale="log", xlabel="tokens a side", ylabel=f"{label} per image")
        panel.set_xticks(sides, list(runs))
        panel.minorticks_off()
        panel.grid(alpha=0.3)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right upper")
    save(figure, path)


if __name__ == "__main__":
    main()
