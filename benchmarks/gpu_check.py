"""What only a GPU can show, in less than eight minutes of an H100 or H200: `python benchmarks/gpu_check.py --out DIR`.

Five parts: (1) captured and eager passes draw the same tokens; (2) the cost of a pass by its width for random models of
published sizes, against the limit of the memory's bandwidth; (3) the same by stage of the loop; (4) seconds per image
of `icons`; (5) no further captures and no growth of memory once all shapes are captured.

`DIR/gpu-check.json` and `DIR/gpu-check.md` are written after every row, so an ended run leaves what it measured. A part
that runs out of time ends after a row and says so. Without a GPU the script exits with 2; `--device cpu --tiny` tests
its parts.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import tomllib
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
MINUTES = 7.5
Record = dict[str, Any]


def missing() -> list[str]:
    """Declared packages that are not installed here, or in another version."""
    from packaging.requirements import Requirement

    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    lacks = []
    for need in map(Requirement, declared):
        try:
            if (got := version(need.name)) not in need.specifier:
                lacks.append(f"{need} (here {got})")
        except PackageNotFoundError:
            lacks.append(f"{need} (not here)")
    return lacks


def main(arguments: Sequence[str] | None = None) -> int:
    """Run all parts; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for gpu-check.json and gpu-check.md")
    parser.add_argument("--device", default="cuda", help="cuda, cuda:N, or cpu with --tiny")
    parser.add_argument("--tiny", action="store_true", help="small sizes and few passes")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="for all parts")
    options = parser.parse_args(arguments)
    start = time.monotonic()
    try:
        lacks = missing()
        import torch

        from spatialspec.io.outputs import check_folder
    except ImportError as error:
        print(f"{error}: install the dependencies in pyproject.toml", file=sys.stderr)
        return 2
    print("missing: " + (", ".join(lacks) or "nothing"))
    if not (options.tiny if options.device == "cpu" else torch.cuda.is_available()):
        print("no GPU here: nothing was measured (--device cpu --tiny tests the parts)", file=sys.stderr)
        return 2
    check_folder(options.out, "--out")
    options.out.mkdir(exist_ok=True)
    machine = _machine(torch.device(options.device), options.tiny)
    record = _head(machine, lacks, [*(sys.argv[1:] if arguments is None else arguments)])
    run(machine, record, options.out, start + 60 * options.minutes)
    print(page(record))
    return 0


def _machine(device: Any, tiny: bool) -> Any:
    """Sizes of the measurements."""
    import torch
    from gpu_machine import Machine, captured_passes

    from spatialspec.core.grid import Grid
    from spatialspec.doctor.bandwidth import copy_bandwidth

    small: Record = {}
    if tiny:
        from gpu_models import MODELS

        small = dict(slots=(1, 8, 32), repeats=1, passes=3, icons=Grid(3, 3), images=2, spare=0.0)
        small["models"] = [model.tiny() for model in MODELS]
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    return Machine(device, dtype, copy_bandwidth(device), captured_passes(device), **small)


def _head(machine: Any, lacks: list[str], words: list[str]) -> Record:
    """What the record begins with."""
    import torch
    from gpu_models import TRANSFORMERS

    from spatialspec.io.measured import processor

    cuda = machine.device.type == "cuda"
    return {
        "command": " ".join(["python benchmarks/gpu_check.py", *words]),
        "machine": torch.cuda.get_device_name(machine.device) if cuda else processor(),
        "torch": torch.__version__,
        "transformers": version("transformers") if TRANSFORMERS else None,
        "missing": lacks,
        "dtype": str(machine.dtype).removeprefix("torch."),
        "bandwidth": machine.bandwidth,
        "parts": {},
        "verdicts": {},
    }


def run(machine: Any, record: Record, folder: Path, end: float) -> None:
    """Run the parts until a time of the monotonic clock; write the record after every row."""
    from gpu_parts import PARTS

    from spatialspec.io.files import write_text

    for name, (rows, seconds) in PARTS.items():
        start = time.monotonic()
        part: Record = {"about": rows.__doc__, "seconds": 0.0, "stopped": None, "rows": []}
        record["parts"][name] = part
        last = min(start + seconds, end)
        try:
            if start >= end:
                part["stopped"] = "no time was left"
            for row in () if part["stopped"] else rows(machine):
                part["rows"].append(row)
                part["seconds"] = time.monotonic() - start
                record["verdicts"] = verdicts(record["parts"])
                write_text(folder / "gpu-check.json", json.dumps(record, indent=1) + "\n")
                write_text(folder / "gpu-check.md", page(record))
                if time.monotonic() > last:
                    part["stopped"] = f"its time was over after {part['seconds']:.0f} s"
                    break
        except Exception as error:  # one part that fails says nothing about the others
            part["stopped"] = f"{type(error).__name__}: {error}"
        print(f"{name}: {len(part['rows'])} rows in {time.monotonic() - start:.0f} s; {part['stopped'] or 'complete'}")
    write_text(folder / "gpu-check.json", json.dumps(record, indent=1) + "\n")
    write_text(folder / "gpu-check.md", page(record))


def verdicts(parts: dict[str, Record]) -> Record:
    """What parts 1 and 5 are asked; null as long as they have no answer."""
    compared = [row for row in parts.get("tokens", {}).get("rows", []) if "tokens" in row]
    grown = parts.get("growth", {}).get("rows", [])
    rounds = [[row for row in grown if row["round"] == number] for number in (1, 2)]
    full = bool(grown) and len(rounds[0]) == len(rounds[1])
    return {
        "tokens compared": sum(row["tokens"] for row in compared),
        "captured is not eager": sum(row["captured is not eager"] for row in compared) if compared else None,
        "not AR's": sum(row["not AR's"] for row in compared) if compared else None,
        "captures in the second round": rounds[1][-1]["captures"] - rounds[0][-1]["captures"] if full else None,
        "MB more after it": rounds[1][-1]["MB"] - rounds[0][-1]["MB"] if full else None,
    }


def page(record: Record) -> str:
    """The record as Markdown."""
    about = (
        f"{record['machine']}, PyTorch {record['torch']}, transformers {record['transformers']}; random models in "
        f"{record['dtype']}; a copy moves {record['bandwidth'] / 1e9:,.0f} GB/s."
    )
    if record["transformers"] is None:
        about += " Random models have LlamaGen's blocks."
    lacks = ", ".join(record["missing"]) or "none"
    lines = ["# GPU check", f"`{record['command']}`", about, f"Missing packages: {lacks}."]
    lines.append("\n".join(f"- {name}: {_cell(value)}" for name, value in record["verdicts"].items()))
    for name, part in record["parts"].items():
        lines += [f"## {name}", part["about"]]
        lines += [f"Stopped: {part['stopped']}."] if part["stopped"] else []
        columns = list(dict.fromkeys(key for row in part["rows"] for key in row))
        table = [columns, ["---"] * len(columns), *([_cell(row.get(c, "")) for c in columns] for row in part["rows"])]
        lines += ["\n".join(f"| {' | '.join(cells)} |" for cells in table)] if part["rows"] else []
    return "\n\n".join(lines) + "\n"


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
    return "not known" if value is None else str(value)


if __name__ == "__main__":
    sys.exit(main())
