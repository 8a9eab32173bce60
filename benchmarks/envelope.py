"""Passes against distance from AR for every relaxed method over its settings: a table and a plot.

`python benchmarks/envelope.py --limit 4 --out docs/results/envelope` writes `envelope.json`, `envelope.md` and
`envelope.png`. A second call takes up what `envelope.json` holds and draws only what is missing.
"""

import argparse
import json
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import torch

from spatialspec.core.files import write_text
from spatialspec.evaluation.bench import bench, describe
from spatialspec.evaluation.runs import Workload
from spatialspec.methods import Method
from spatialspec.pipeline import SpatialPipeline
from spatialspec.prompts import BUILT_IN

ROUNDS = range(7)
SSD = [f"ssd:rounds={r}:rows=1" for r in ROUNDS] + [f"ssd:rounds={r}:rows=2:inner=0" for r in ROUNDS]  # joint
SSD += [f"ssd:rounds={r}:rows=2:inner=staged" for r in ROUNDS[1:]]
FAMILIES = {
    "SSD": SSD,
    "GSD": [f"gsd:length={n}:group={g}:delta={d}" for n in (32, 64) for g, d in ((14, 0.15), (28, 0.5), (102, 1))],
    "LANTERN++": [f"lantern++:k={k}:factor={f}" for k, f in ((10, 5), (64, 5), (64, 50))],
    "CSD": [f"csd:length={n}:strength={s}" for n in (32, 64) for s in (0.5, 2, 8)],
    "ZipAR": [f"zipar:window={w}" for w in (2, 4, 8, 12, 16)],
    "PJD": [f"pjd:context={c}:width={w}" for c, w in ((4, 7), (8, 7))],
    "ours": [f"spatial:tolerance={t}" for t in (0, 0.25, 0.5, 1, 1.5, 2, 3)]
    + [f"spatial:front=0:tolerance={t}" for t in (2, 3, 4, 6, 8, 12, 20, 40, 100, "inf")],
}
TICKS = (20, 30, 50, 80, 120, 200, 400)
DISTANCES = {"likelihood_gap": "|likelihood gap|, nats", "pit_ks": "pit ks", "entropy": "|entropy - AR's|, nats"}


def main() -> None:
    """Draw what is missing, then write the table and the plot."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--limit", type=int, default=4, help="prompts")
    parser.add_argument("--out", type=Path, default=Path("envelope"), help="path without its ending")
    parser.add_argument("--families", default=",".join(FAMILIES), help="which of them to draw")
    options = parser.parse_args()
    torch.set_num_threads(1)
    record = options.out.with_suffix(".json")
    done = json.loads(record.read_text()) if record.exists() else {"settings": None, "methods": []}
    pipeline = SpatialPipeline.from_pretrained()
    workload = Workload(tuple(BUILT_IN[: options.limit]), pipeline.target.default, pipeline.target.grid)
    for family in options.families.split(","):
        known = {row["method"] for row in done["methods"]}
        missing = [m for m in map(Method.parse, FAMILIES[family]) if str(m) not in known]
        if not missing:
            continue
        document = bench(pipeline, [Method("ar"), *missing], workload, lambda method, cells: None)
        rows = [row.model_dump() | {"family": family} for row in document.methods]
        done["methods"] += rows if "ar" not in known else rows[1:]
        done["settings"] = describe("envelope", pipeline, workload).model_dump()
        write_text(record, json.dumps(done, indent=1) + "\n")
        print(family, "drawn", flush=True)
    rows = done["methods"]
    write_text(options.out.with_suffix(".md"), table(rows))
    plot(rows, options.out.with_suffix(".png"))


def table(rows: list[dict]) -> str:
    """Markdown, fewest passes last in every family."""
    lines = ["| method | passes | gap | entropy | pit ks |", "|---|---|---|---|---|"]
    for row in sorted(rows, key=lambda r: (r["family"], -r["target_passes"])):
        figures = f"{row['target_passes']:.1f} | {row['likelihood_gap']:+.3f} | {row['entropy']:.3f}"
        lines.append(f"| `{row['method']}` | {figures} | {row['pit_ks']:.3f} |")
    return "\n".join(lines) + "\n"


def plot(rows: list[dict], path: Path) -> None:
    """One panel for each distance, passes to the right; lower and further left is better."""
    ar = next(row for row in rows if row["method"] == "ar")
    figure, panels = plt.subplots(1, len(DISTANCES), figsize=(15, 4.6), sharex=True)
    for panel, (key, label) in zip(panels, DISTANCES.items(), strict=True):
        for family in FAMILIES:
            own = sorted((r for r in rows if r["family"] == family and r["method"] != "ar"), key=passes)
            far = [abs(r[key] - ar[key] if key == "entropy" else r[key]) for r in own]
            style = {"linewidth": 2.5, "zorder": 3} if family == "ours" else {"linewidth": 1, "linestyle": "--"}
            panel.plot([passes(r) for r in own], far, marker="o", markersize=4, label=family, **style)
        panel.set(xscale="log", xlabel="target passes for 576 tokens", ylabel=label, yscale="symlog")
        panel.set_yscale("symlog", linthresh=0.02)
        panel.set_ylim(bottom=0)
        panel.set_xticks(TICKS, labels=TICKS)
        panel.minorticks_off()
        panel.grid(alpha=0.3)
    panels[0].legend()
    figure.suptitle("Distance from AR against target passes (AR: 576)")
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def passes(row: dict) -> float:
    """Target passes of an image, mean."""
    return row["target_passes"]


if __name__ == "__main__":
    main()
