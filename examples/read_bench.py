"""Plot the figures of `bench`: `python examples/read_bench.py docs/results/bench.json bench.png`.

Needs pandas and matplotlib. The keys are explained in docs/glossary.md.
"""

import argparse
import json
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure


def main(record: Path, out: Path) -> None:
    """Print the table; plot the passes of each method, with its log-likelihood gap to AR."""
    document = json.loads(record.read_text())
    table = pd.DataFrame(document["methods"]).set_index("method").sort_values("target_passes", ascending=False)
    print(table[["exact", "target_passes", "speedup_passes", "speedup_seconds", "likelihood_gap"]].round(3).to_string())
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    for exact, group in table.groupby("exact", sort=False):
        bars = axes.barh(group.index, group["target_passes"], label="exact" if exact else "not exact")
        axes.bar_label(bars, [f"gap {gap:+.2f}" for gap in group["likelihood_gap"]], padding=4, fontsize=8)
    axes.set(xlabel="target passes per image", title=f"{document['settings']['model']}, {document['settings']['size']}")
    axes.margins(x=0.12)
    axes.legend()
    figure.savefig(out, dpi=120)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("record", nargs="?", type=Path, default=Path("docs/results/bench.json"), help="from --json")
    parser.add_argument("out", nargs="?", type=Path, default=Path("bench.png"))
    main(**vars(parser.parse_args()))
