"""Upper bounds for the parts of `spatial`: the same decoder, with an oracle that knows some of AR's tokens.

`python benchmarks/oracle.py --limit 16 --out docs/results/oracle` draws every image once without and once with each
oracle, and writes target passes as `oracle.json` and `oracle.md`. Oracles only draft: the target verifies every token.

| oracle | what it knows |
|---|---|
| starts | a new cell starts from AR's token instead of a copy of the token above |
| first n | the guesses for the first n open cells are right where all tokens before them are right |
| changed | a guess is right where the token before the cell is right now, but was another in the pass that scored it |
"""

import argparse
import json
from collections.abc import Sequence
from math import log
from pathlib import Path
from statistics import fmean

import numpy as np
import torch
from torch import Tensor

from spatialspec import arguments
from spatialspec.decode import decode
from spatialspec.generation import assemble
from spatialspec.io.files import write_text
from spatialspec.io.outputs import check_output
from spatialspec.io.prompts import BUILT_IN
from spatialspec.measure.bench import describe
from spatialspec.measure.distance import Drawn, explained
from spatialspec.methods.coupled import Coupled
from spatialspec.methods.method import Method
from spatialspec.methods.spatial.drafter import Spatial
from spatialspec.methods.spatial.memory import Candidates, Key, Memory, Ranking
from spatialspec.methods.spatial.starts import Start
from spatialspec.pipeline import SpatialPipeline
from spatialspec.request import Request

SURE = 0.97  # probability of the oracle's candidate


def sure(tokens: list[int]) -> Candidates:
    """The first token is right with probability SURE, the others share the rest."""
    behind = [log(SURE * max(1, len(tokens) - 1) / (1 - SURE))] * len(tokens)
    ranking = Ranking(np.array([tokens]), np.array([[0.0, *behind[1:]]]), np.empty(0))
    return Candidates(ranking, 0, 1.0, 1 / SURE)


class KnowingMemory(Memory):
    """A memory whose best candidate is AR's token where the oracle knows it."""

    def __init__(self, codebook: Tensor, tokens: Sequence[int], first: int, changed: bool) -> None:
        super().__init__(codebook)
        self.tokens, self.first, self.changed, self.frontier = tokens, first, changed, 0

    def forget(self, first: int) -> None:
        """Drop the cells before `first`, the frontier."""
        self.frontier = first
        super().forget(first)

    def find(self, cell: int, key: Key) -> Candidates | None:
        """Candidates of the memory; AR's token comes first where the oracle knows it."""
        candidates = super().find(cell, key)
        if candidates is None:
            return None
        right = key == self.key(self.tokens[:cell])
        knows = right and cell < self.frontier + self.first
        if self.changed and key[0] == self.tokens[cell - 1]:
            knows |= all(read[0] != key[0] for read in self._cells[cell])
        if not knows:
            return candidates
        others = [token for rank in range(candidates.size) if (token := candidates.token(rank)) != self.tokens[cell]]
        return sure([self.tokens[cell], *others])


class KnowingStart(Start):
    """New cells start as AR's tokens."""

    def __init__(self, plain: Start, tokens: Sequence[int]) -> None:
        super().__init__(plain.context, Coupled(plain.context.noise), plain.count)
        self.tokens = tokens

    def guesses(self, window: range, new: Sequence[int]) -> dict[int, Candidates]:
        """See :class:`Start`."""
        return {cell: sure([self.tokens[cell]]) for cell in new}


ORACLES = {
    "none": {},
    "first 1": {"first": 1},
    "first 2": {"first": 2},
    "first 4": {"first": 4},
    "changed": {"changed": True},
    "starts": {"starts": True},
}


def passes(
    pipeline: SpatialPipeline,
    request: Request,
    tokens: Sequence[int],
    first: int = 0,
    changed: bool = False,
    starts: bool = False,
) -> int:
    """Target passes of one image, which must equal AR's except after ties.

    Raises:
        RuntimeError: it differs.
    """
    (image,) = assemble(pipeline.target, pipeline.drafts, Method.parse("spatial"), request)
    drafter = image.drafter
    assert isinstance(drafter, Spatial)
    if first or changed:
        drafter.memory = KnowingMemory(pipeline.target.codebook, tokens, first, changed)
    if starts:
        drafter.start = KnowingStart(drafter.start, tokens)
    for _ in decode(request.session(pipeline.target), [image]):
        pass
    ar = Drawn(request.prompts[0], "", request.sampling, request.grid, request.seeds[0], tuple(tokens))
    if not explained(pipeline.target, ar, image.state.tokens):
        raise RuntimeError(f"got another image than AR's of {ar.prompt!r}, seed {ar.seed}: a fault of the decoder")
    return image.state.passes


def main(words: list[str] | None = None) -> None:
    """Draw, then write the record and the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--limit", type=int, default=16, help="prompts")
    parser.add_argument("--out", type=Path, default=Path("oracle"), help="path without its ending")
    parser.add_argument("--size", help="ROWSxCOLUMNS in tokens; by default the model's own")
    options = parser.parse_args(words)
    record, page = (options.out.with_suffix(ending) for ending in (".json", ".md"))
    for file in (record, page):
        check_output(file, "", "--out")
    torch.set_num_threads(1)
    pipeline = SpatialPipeline.from_pretrained()
    grid = arguments.grid(pipeline.target, options.size)
    every = Request.of(tuple(BUILT_IN[: options.limit]), pipeline.target.default, grid)
    counts: dict[str, list[int]] = {name: [] for name in ORACLES}
    for request in every.each():
        (tokens,) = pipeline(request.prompts[0], method="ar", seed=request.seeds[0], size=grid).tokens
        for name, oracle in ORACLES.items():
            counts[name].append(passes(pipeline, request, tokens, **oracle))
    settings = describe("python benchmarks/oracle.py", pipeline, every).model_dump()
    rows = [f"| {name} | {fmean(values):.1f} |" for name, values in counts.items()]
    table = "\n".join(["| oracle | target passes |", "|---|---|", *rows, ""])
    print(table)
    write_text(record, json.dumps({"settings": settings, "passes": counts}, indent=1) + "\n")
    write_text(page, table)


if __name__ == "__main__":
    main()
