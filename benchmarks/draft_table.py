"""Probability that drafts are accepted, by distance to the right of and below known cells: a table and a plot.

`python benchmarks/draft_table.py DRAFTS... --out docs/results/drafts` takes folders of draft weights (hawk, ssd,
spatial-model) for one target and writes `drafts.json`, `drafts.md` and `drafts.png`. A row has the name of its folder.
Heads also have a row for each direction alone, and `copy` repeats the nearest known token above. Images: held-out ones
of `--data FOLDER`, else some that the target draws. A second call measures only new or retrained drafts.
"""

import argparse
import hashlib
import json
import re
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import torch
from torch import Tensor

from spatialspec.core.context import DecodeContext
from spatialspec.core.noise import Noise
from spatialspec.core.proposal import Proposal
from spatialspec.core.state import State
from spatialspec.core.step import Scores, Step, Verdict
from spatialspec.drafts.acceptance import RULES
from spatialspec.drafts.corpus import Corpus, from_images, image_size
from spatialspec.drafts.distil import self_distil
from spatialspec.drafts.image_folder import load as load_images
from spatialspec.drafts.spatial_model import distributions as model_distributions
from spatialspec.drafts.weights import load
from spatialspec.drafts.windows import Windows, accepted
from spatialspec.io.files import write_text
from spatialspec.io.identity import identity
from spatialspec.io.outputs import check_output
from spatialspec.io.prompts import BUILT_IN
from spatialspec.lab.replay.replay import measure_cost
from spatialspec.lab.reproduce.plots import save
from spatialspec.methods.coupled import Coupled
from spatialspec.methods.hawk import HawkHeads
from spatialspec.methods.network import DraftNetwork
from spatialspec.methods.spatial_model.config import depth
from spatialspec.methods.spatial_model.drafter import SpatialModel, SpatialModelOptions
from spatialspec.methods.spatial_model.network import SpatialNetwork
from spatialspec.pipeline import SpatialPipeline

SHOWN = ("right 1", "right 2", "right 4", "right 8", "right 16", "down 1", "down 2", "window")
STYLES = plt.cycler(linestyle=("-", "--", ":"), marker=("o", "s", "^")) * plt.cycler(color=plt.cm.Dark2.colors)
SEED = 1_000_000  # of images that the target draws; differs from the seeds of training images
READ, REPEATS = 4, 15  # of the timing: cells that a pass commits, and timed passes


def head_distributions(
    drafts: Any, target: Any, right: bool, down: bool, hidden: Tensor, codes: Tensor, windows: Windows
) -> Tensor:
    """q of the horizontal head where it reaches, else of the vertical head of the nearest known row, else 0."""
    c, columns, sampling = drafts.config, target.grid.columns, target.default
    ahead = windows.cells - windows.frontier + 1
    above = (ahead - 1) // columns + 1
    beside = windows.inside & (ahead <= c.horizontal * right)
    below = windows.inside & ~beside & (above <= c.vertical * down) & (windows.cells >= above * columns)
    q = hidden.new_zeros(*windows.cells.shape, target.vocabulary, dtype=torch.float32)
    for chosen, distance, step, count, heads in (
        (beside, ahead, 1, c.horizontal, drafts.horizontal),
        (below, above, columns, c.vertical, drafts.vertical),
    ):
        for k in range(1, count + 1):
            image, column = (chosen & (distance == k)).nonzero(as_tuple=True)
            source = windows.cells[image, column] - k * step
            h, e = hidden[:, image, source], target.embed(codes[image, source])
            if len(image):
                q[image, column] = sampling.distribution(head_logits(drafts, target, heads, k - 1, h, e))
    return q


def head_logits(drafts: Any, target: Any, heads: Any, k: int, h: Tensor, e: Tensor) -> Tensor:
    """Logits of one head, from states and token embeddings at its sources."""
    if isinstance(drafts, HawkHeads):
        return target.output(HawkHeads.apply_heads(heads[k : k + 1], target.norm(h))[0])
    return drafts.logits(target, heads[k](drafts.to_space(target, h, e), e))


def copies(target: Any, hidden: Tensor, codes: Tensor, windows: Windows) -> Tensor:
    """All mass on the nearest known token above, in row 0 on the last known one."""
    columns = target.grid.columns
    above = windows.cells - ((windows.cells - windows.frontier) // columns + 1) * columns
    source = torch.where(above >= 0, above, windows.frontier - 1)
    return torch.nn.functional.one_hot(codes.gather(1, source), target.vocabulary).float()


def variants(name: str, drafts: DraftNetwork, target: Any) -> dict[str, Callable[..., Tensor]]:
    """Rows of a folder of drafts, and their distributions."""
    if isinstance(drafts, SpatialNetwork):
        return {name: partial(model_distributions, target, drafts, target.default)}
    directions = {"": (True, True), " right only": (True, False), " down only": (False, True)}
    return {name + words: partial(head_distributions, drafts, target, *used) for words, used in directions.items()}


def draft_work(drafts: Any, target: Any, length: int) -> Callable[[], object]:
    """A function that does the drafting of a pass: it reads READ cells and drafts a window of `length`."""
    streams, grid, d = target.default.streams, target.grid, target.width
    h, tokens = torch.randn(streams, READ, d, dtype=target.dtype, device=target.device), [0] * READ
    e, far = target.embed(torch.zeros_like(h[0, :, 0], dtype=torch.long)), h[:, :1].repeat(1, length, 1)
    if isinstance(drafts, SpatialNetwork):
        noise, half = Noise(0, grid.cells, target.vocabulary, target.device), grid.cells // 2
        count = min(length, grid.cells - half - READ)
        context = DecodeContext(target, [drafts], target.default, grid, noise)
        model = SpatialModel(context, SpatialModelOptions(), Coupled(noise))
        state, verdict = State(grid, tuple([0] * half)), Verdict(tuple(range(READ - 1)), 0)
        scores = Scores(h, h, dict.fromkeys(model.layers, h))
        step = Step.of(0, state, Proposal.chain(half, tokens[1:]), scores, verdict)
        return lambda: (model.observe(step), model.distributions(half + READ, count))
    heads = [(heads, k) for heads in (drafts.horizontal, drafts.vertical) for k in range(len(heads))]

    def work() -> object:
        for weights, k in heads:
            if isinstance(drafts, HawkHeads):
                HawkHeads.apply_heads(weights[k : k + 1], target.norm(h))
            else:
                weights[k](drafts.to_space(target, h, e), e)
        return target.default.distribution(target.output(far))

    return work


@torch.inference_mode()
def milliseconds(work: Callable[[], object]) -> float:
    """Median of some repeats."""
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        work()
        if torch.accelerator.is_available():
            torch.accelerator.synchronize()
        times.append(1000 * (time.perf_counter() - start))
    return median(times)


def minutes(folder: Path) -> float | None:
    """Minutes of training, from the card."""
    card = folder / "README.md"
    match = re.search(r"\| minutes of training \| ([\d.]+) \|", card.read_text() if card.is_file() else "")
    return float(match[1]) if match else None


def held_out_images(target: Any, options: argparse.Namespace) -> Corpus:
    """Held-out images of a folder, or some that the target draws."""
    if options.data is not None:
        images = load_images(options.data, image_size(target), print)
        return from_images(target, images, 0, 1, options.images)[1]
    words = [BUILT_IN[i % len(BUILT_IN)] for i in range(options.images)]
    return Corpus(words, self_distil(target, words, options.work, seed=SEED, report=print))


def main(arguments: Sequence[str] | None = None) -> None:
    """Do the missing measurements, then write the table and the plot."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("drafts", type=Path, nargs="+", help="folders of draft weights")
    parser.add_argument("--model", default="icons", help="name or folder of the target")
    parser.add_argument("--data", type=Path, help="folder with images and metadata.csv")
    parser.add_argument("--images", "--pictures", type=int, default=32)
    parser.add_argument("--windows", type=int, default=24, help="windows of an image")
    parser.add_argument("--length", type=int, default=32, help="cells of a window")
    parser.add_argument("--work", type=Path, default=Path("train/draft-table"), help="folder of the target's images")
    parser.add_argument("--out", type=Path, default=Path("drafts"), help="path without its ending")
    options = parser.parse_args(arguments)
    for ending in (".json", ".md", ".png"):
        check_output(options.out.with_suffix(ending), "", "--out")
    torch.set_num_threads(1)
    pipeline = SpatialPipeline.from_pretrained(options.model)
    target, record = pipeline.target, options.out.with_suffix(".json")
    held_out, s = held_out_images(target, options), target.default
    settings = {
        "model": target.name, "target": identity(target), "pictures": held_out.digest, "count": len(held_out),
        "drawn": "left out of a folder" if options.data else "by the target", "guidance": s.guidance,
        "temperature": s.temperature, "windows": options.windows, "length": options.length,
    }  # fmt: skip
    done: dict[str, Any] = json.loads(record.read_text()) if record.exists() else {}
    known = {row["name"]: row for row in done.get("rows", []) if done["settings"] == settings}
    wanted: dict[str, Any] = {}

    def measure(
        name: str,
        weights: str,
        distributions: Callable[..., Tensor],
        facts: Callable[[], dict[str, Any]],
        layers: Sequence[int] = (),
    ) -> None:
        if known.get(name, {}).get("weights") != weights:
            start = time.monotonic()
            means = accepted(target, held_out, s, distributions, RULES, options.windows, options.length, layers)
            known[name] = {"name": name, "weights": weights, **facts(), **means}
            print(f"{name}: window {means['coupled']['window']:.3f}, {time.monotonic() - start:.0f} s", flush=True)
        wanted[name] = known[name]
        write_text(record, json.dumps({"settings": settings, "rows": list(known.values())}, indent=1) + "\n")

    rows = min(options.length, target.grid.cells // 2)
    measure("copy", "", partial(copies, target), lambda: {"parameters": 0, "minutes": None, "share": 0.0})
    for folder in options.drafts:
        drafts = load(folder, target)
        digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()[:16]

        def cost(drafts: Any = drafts, folder: Path = folder) -> dict[str, Any]:
            draft = milliseconds(draft_work(drafts, target, rows))
            share = draft / 1000 / measure_cost(pipeline, slots=(rows,), repeats=REPEATS)(rows)
            count = sum(p.numel() for p in drafts.parameters())
            return {"parameters": count, "minutes": minutes(folder), "milliseconds": draft, "share": share}

        layers = drafts.config.layers_read(depth(target)) if isinstance(drafts, SpatialNetwork) else ()
        for name, distributions in variants(folder.name, drafts, target).items():
            measure(name, digest, distributions, cost, layers)
    page = table(settings, list(wanted.values()))
    print(page)
    write_text(options.out.with_suffix(".md"), page)
    plot(list(wanted.values()), options.out.with_suffix(".png"))


def table(settings: dict[str, Any], rows: list[dict[str, Any]]) -> str:
    """Markdown: one table for each rule, best first under coupled noise."""
    lines = [
        f"Probability that a draft is accepted, `{settings['model']}`, {settings['count']} images "
        f"({settings['drawn']}), {settings['windows']} windows of {settings['length']} cells in each, "
        f"guidance {settings['guidance']}, "
        f"temperature {settings['temperature']}. `right k`: k cells to the right of the last known one; `down k`: no "
        "known cell in the row, the nearest above k rows up; cost: drafting for a window, of a target pass as wide."
    ]
    for rule in RULES:
        lines += ["", f"| {rule} | parameters | minutes of training | cost | " + " | ".join(SHOWN) + " |"]
        lines.append("|---" * (4 + len(SHOWN)) + "|")
        for row in sorted(rows, key=lambda r: -r["coupled"]["window"]):
            took = "?" if row["minutes"] is None else f"{row['minutes']:.1f}"
            figures = " | ".join(f"{row[rule][name]:.3f}" if name in row[rule] else "" for name in SHOWN)
            lines.append(
                f"| {row['name']} | {row['parameters'] / 1e6:.2f} M | {took} | {row['share']:.0%} | {figures} |"
            )
    return "\n".join(lines) + "\n"


def plot(rows: list[dict[str, Any]], path: Path) -> None:
    """A panel for each rule and direction, distance to the right."""
    figure, panels = plt.subplots(2, 2, figsize=(13, 8), sharey="row", width_ratios=(3, 1), layout="constrained")
    for line, rule in zip(panels, RULES, strict=True):
        for panel, direction in zip(line, ("right", "down"), strict=True):
            panel.set_prop_cycle(STYLES)
            for row in rows:
                points = {int(key.split()[1]): v for key, v in row[rule].items() if key.startswith(direction)}
                panel.plot(*zip(*sorted(points.items()), strict=True), markersize=4, label=row["name"])
            panel.xaxis.get_major_locator().set_params(integer=True)
            panel.set(xlabel=f"cells {direction} of known ones", ylabel=f"accepted, {rule}", ylim=(0, None))
            panel.grid(alpha=0.3)
    figure.legend(*panels[0][0].get_legend_handles_labels(), loc="outside right upper", fontsize=9)
    save(figure, path)


if __name__ == "__main__":
    main()
