"""The table of README from `spatialspec bench --json REPORT`: `python benchmarks/markdown_table.py REPORT`."""

import json
import sys
from pathlib import Path

COLUMNS = {
    "exact": lambda r: "yes" if r["exact"] else "no",
    "target passes": lambda r: f"{r['target_passes']:.1f}",
    "accepted length": lambda r: f"{r['accepted_length']:.2f}",
    "x passes": lambda r: f"{r['speedup_passes']:.2f}",
    "x time": lambda r: f"{r['speedup_seconds']:.2f}",
    "same tokens as AR": lambda r: f"{r['same_tokens_as_ar']:.1%}",
    "gap": lambda r: f"{r['likelihood_gap']:+.3f}",
    "entropy": lambda r: f"{r['entropy']:.3f}",
    "pit ks": lambda r: f"{r['pit_ks']:.3f}",
}


def table(report: Path) -> str:
    """A line for each method, under a head."""
    methods = json.loads(report.read_text())["methods"]
    lines = ["| method | " + " | ".join(COLUMNS) + " |", "|---" * (len(COLUMNS) + 1) + "|"]
    lines += [f"| `{r['method']}` | " + " | ".join(show(r) for show in COLUMNS.values()) + " |" for r in methods]
    return "\n".join(lines)


if __name__ == "__main__":
    print(table(Path(sys.argv[1])))
