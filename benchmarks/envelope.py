"""Passes against distance from AR for every relaxed method over its settings: a table, a comparison and a plot.

`python benchmarks/envelope.py --limit 4 --out docs/results/envelope` writes `envelope.json`, `envelope.md` and
`envelope.png`. A second call reads `envelope.json` and draws only what is missing.

Distances of a setting are |log-likelihood gap|, PIT KS and |entropy - AR's entropy|. AR's own gap and PIT KS are the
noise of a run of this size. AR's gap also serves as the noise of an entropy: both are nats per token over the same
cells. A distance below the noise counts as 0.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import torch
from matplotlib.axes import Axes

from spatialspec.io.files import write_text
from spatialspec.io.outputs import check_output
from spatialspec.io.prompts import BUILT_IN
from spatialspec.lab.envelope import hull
from spatialspec.lab.reproduce.plots import save
from spatialspec.measure.bench import bench, describe
from spatialspec.methods.ar import METHOD as AR
from spatialspec.methods.method import RULES, Method
from spatialspec.pipeline import SpatialPipeline
from spatialspec.request import Request

ROUNDS = range(7)
SSD = [f"ssd:rounds={r}:rows=1" for r in ROUNDS] + [f"ssd:rounds={r}:rows=2:inner=0" for r in ROUNDS]  # joint
SSD += [f"ssd:rounds={r}:rows=2:inner=staged" for r in ROUNDS[1:]]
SSD += [f"ssd:rounds={r}:rows=1:{other}" for r in (1, 2) for other in ("draft=argmax", "q=draft")]
GROUPS = [f"group={g}:delta={d}" for g, d in ((14, 0.15), (28, 0.5), (102, 1))]
STRENGTHS = [f"strength={s}" for s in (0.5, 2, 8)]
WINDOWS = ((2, 7), (3, 7), (4, 3), (4, 7), (4, 15), (6, 7), (8, 7), (16, 7))
OURS = "ours"
FAMILIES = {
    "SSD": SSD,
    "GSD": [f"gsd:length={n}:{g}" for n in (32, 64) for g in GROUPS]
    + [f"gsd:length=64:start=above:{g}" for g in GROUPS],
    "LANTERN": [f"lantern:delta={d}" for d in (0.1, 0.4)],
    "LANTERN++": [f"lantern++:k={k}:factor={f}" for k, f in ((10, 2), (10, 5), (64, 5), (64, 50))],
    "CSD": [f"csd:length={n}:{s}" for n in (32, 64) for s in STRENGTHS]
    + [f"csd:length=64:{s}:{other}" for s in STRENGTHS for other in ("start=above", "delta=0.8")],
    "ZipAR": [f"zipar:window={w}" for w in (1, 2, 3, 4, 8, 12, 16)]
    + [f"zipar:window={w}:kind=adaptive" for w in (1, 2, 3, 4, 8)],
    "PJD": [f"pjd:context={c}:width={w}" for c, w in WINDOWS],
    OURS: [f"spatial:tolerance={t}" for t in (0, 0.25, 0.5, 1, 1.5, 2, 3)]
    + [f"spatial:front=0:tolerance={t}" for t in (2, 3, 4, 6, 8, 12, 20, 40, 60, 100, 200, "inf")]
    + [f"spatial:front=0:budget=96:tolerance={t}" for t in (12, 20, 28)],
}
TICKS = (20, 30, 50, 80, 120, 200, 400)
LABELS = ("|likelihood gap|, nats", "pit ks", "|entropy - AR's|, nats")
FREE = ("version", "torch", "python")  # settings that may differ between the runs of a record
Distances = tuple[float, float, float]


def main() -> None:
    """Draw the missing settings, then write the tables and the plot."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--limit", type=int, default=4, help="prompts")
    parser.add_argument("--out", type=Path, default=Path("envelope"), help="path without its ending")
    parser.add_argument("--families", default=",".join(FAMILIES), help="which of them to draw")
    parser.add_argument("--verifier", default="coupled", choices=list(RULES), help="for methods that support both")
    options = parser.parse_args()
    for ending in (".json", ".md", ".png"):
        check_output(options.out.with_suffix(ending), "", "--out")
    torch.set_num_threads(1)
    record = options.out.with_suffix(".json")
    done = json.loads(record.read_text()) if record.exists() else {"settings": {}, "methods": []}
    pipeline = SpatialPipeline.from_pretrained()
    prompts, target = tuple(BUILT_IN[: options.limit]), pipeline.target
    request = Request.of(prompts, target.default, target.grid, verifier=options.verifier)
    settings = describe("envelope", pipeline, request).model_dump()
    check(done["settings"], settings, record)
    for family in options.families.split(","):
        known = {row["method"] for row in done["methods"]}
        missing = [m for m in drawn(family, options.verifier) if str(m) not in known]
        if not missing:
            continue
        document = bench(pipeline, [AR, *missing], request, lambda method, cells: None)
        rows = [row.model_dump() | {"family": family} for row in document.methods]
        done["methods"] += rows if "ar" not in known else rows[1:]
        done["settings"] = settings
        write_text(record, json.dumps(done, indent=1) + "\n")
        print(family, "drawn", flush=True)
    rows = done["methods"]
    held = comparison(rows)
    print(held)
    write_text(options.out.with_suffix(".md"), table(rows) + "\n" + held)
    plot(rows, options.out.with_suffix(".png"))


def drawn(family: str, verifier: str) -> list[Method]:
    """Settings of a family; SSD's option q has an effect under rejection only."""
    return [Method.parse(text) for text in FAMILIES[family] if verifier == "rejection" or not text.endswith("q=draft")]


def check(stored: dict, settings: dict, record: Path) -> None:
    """Refuse to add to a record of another run.

    Raises:
        ValueError: a setting differs.
    """
    for name, value in settings.items():
        if name not in FREE and stored.get(name, value) != value:
            raise ValueError(f"{record}: got {name} {value}, expected {stored[name]} as stored: choose another --out")


def table(rows: Sequence[dict]) -> str:
    """Markdown, fewest passes last in every family."""
    lines = ["| method | passes | gap | entropy | pit ks |", "|---|---|---|---|---|"]
    for row in sorted(rows, key=lambda r: (r["family"], -r["target_passes"])):
        figures = f"{row['target_passes']:.1f} | {row['likelihood_gap']:+.3f} | {row['entropy']:.3f}"
        lines.append(f"| `{row['method']}` | {figures} | {row['pit_ks']:.3f} |")
    return "\n".join(lines) + "\n"


def plain(rows: Sequence[dict]) -> dict:
    """AR's row."""
    return next(row for row in rows if row["method"] == "ar")


def distances(row: dict, ar: dict) -> Distances:
    """How far a setting is from AR."""
    return abs(row["likelihood_gap"]), row["pit_ks"], abs(row["entropy"] - ar["entropy"])


def noise(ar: dict) -> Distances:
    """How far AR itself is, by chance."""
    return abs(ar["likelihood_gap"]), ar["pit_ks"], abs(ar["likelihood_gap"])


def nearest(row: dict, rows: Sequence[dict]) -> dict | None:
    """Our setting with the fewest passes among those at least as close to AR in all three distances."""
    ar = plain(rows)
    allowed = [max(far, least) for far, least in zip(distances(row, ar), noise(ar), strict=True)]
    ours = [
        r
        for r in rows
        if r["family"] == OURS and all(d <= most for d, most in zip(distances(r, ar), allowed, strict=True))
    ]
    return min(ours, key=passes, default=None)


def comparison(rows: Sequence[dict]) -> str:
    """Markdown: every setting of another method, and ours that is no further from AR; SSD's share of passes beside."""
    others = [r for r in rows if r["family"] != OURS and r["method"] != "ar"]
    pairs = [(row, nearest(row, rows)) for row in sorted(others, key=lambda r: (r["family"], -passes(r)))]
    level = [row for row, ours in pairs if ours is not None and passes(ours) <= passes(row)]
    gap, ks, entropy = noise(plain(rows))
    lines = [
        f"Ours is as close to AR in all three distances, or closer, with at most as many passes: {len(level)} of "
        f"{len(pairs)} settings.",
        f"Noise of this run: gap {gap:.3f}, pit ks {ks:.3f}, entropy {entropy:.3f}; distances below count as none.",
        "",
        "| method | passes | ours, no further from AR | passes | share of passes |",
        "|---|---|---|---|---|",
    ]
    for row, ours in pairs:
        figures = "none | - | -"
        if ours is not None:
            figures = f"`{ours['method']}` | {passes(ours):.1f} | {passes(ours) / passes(row):.2f}"
        lines.append(f"| `{row['method']}` | {passes(row):.1f} | {figures} |")
    shares = [passes(ours) / passes(row) for row, ours in pairs if ours is not None and row["family"] == "SSD"]
    if shares:
        reached = f"{len(shares)} of {sum(row['family'] == 'SSD' for row, _ in pairs)}"
        lines += ["", f"SSD: ours reaches the distances of {reached} settings, with {min(shares):.2f} to "]
        lines[-1] += f"{max(shares):.2f} of their passes."
    return "\n".join(lines) + "\n"


def plot(rows: Sequence[dict], path: Path) -> None:
    """One panel for each distance, passes to the right; lower and further left is better."""
    ar = plain(rows)
    figure, panels = plt.subplots(1, len(LABELS), figsize=(15, 4.6), sharex=True)
    for which, (panel, label) in enumerate(zip(panels, LABELS, strict=True)):
        for family in FAMILIES:
            settings = [r for r in rows if r["family"] == family and r["method"] != "ar"]
            points = sorted((passes(r), distances(r, ar)[which]) for r in settings)
            curve(panel, family, points, label.startswith("|entropy"))
        panel.axhline(noise(ar)[which], color="grey", linestyle=":", label="AR's own: noise")
        panel.set_xscale("log")
        panel.set(xlabel="target passes for 576 tokens", ylabel=label)
        panel.set_yscale("symlog", linthresh=0.02)
        panel.set_ylim(bottom=0)
        panel.set_xticks(TICKS, labels=TICKS)
        panel.minorticks_off()
        panel.grid(alpha=0.3)
    figure.suptitle("Distance from AR against target passes (AR: 576)")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="lower center", ncols=len(FAMILIES) + 1)
    figure.tight_layout(rect=(0, 0.06, 1, 1))
    save(figure, path)


def curve(panel: Axes, family: str, points: list[tuple[float, float]], noisy: bool) -> None:
    """The settings of a family, for ours the lower hull; no lines between points where noise dominates."""
    style = {"linewidth": 0 if noisy else 1, "linestyle": "--", "alpha": 0.8}
    if family == OURS:
        points, style = hull(points), {"linewidth": 2.5, "zorder": 3, "color": "black"}
    panel.plot([x for x, _ in points], [y for _, y in points], marker="o", markersize=4, label=family, **style)


def passes(row: dict) -> float:
    """Target passes of an image, mean."""
    return row["target_passes"]


if __name__ == "__main__":
    main()
