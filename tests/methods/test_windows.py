"""Decoders that keep a window of drafts: against slow, literal versions of their rules; ragged batches; tolerance."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from helpers.toys import ToySession, ToyTarget, Trial
from spatialspec.core.context import DecodeContext
from spatialspec.core.noise import Noise, Purpose, inverse_cdf
from spatialspec.core.sampling import Sampling
from spatialspec.core.state import State
from spatialspec.decode import Image, decode
from spatialspec.methods.method import Method
from spatialspec.methods.rejection import residual

SAMPLING = Sampling(guidance=1.5)
TARGET = ToyTarget.random("3x2", 4, 1, deviation=0.4)
CELLS = 6


def noises(count: int = 30) -> list[Noise]:
    return [Noise(seed, CELLS, 4) for seed in range(count)]


def law(tokens: Sequence[int]) -> Tensor:
    """The target's distribution of the cell behind `tokens`."""
    prefix = 0
    for token in tokens:
        prefix = TARGET.child(prefix, token)
    return SAMPLING.distribution(TARGET.logits[:, prefix])


def test_jacobi_literally() -> None:
    """Same tokens and the same number of passes as the rule written down cell by cell."""
    for noise in noises():
        written: list[int] = []
        drafts: dict[int, int] = {}
        passes = 0
        while len(written) < CELLS:
            first = len(written)
            window = range(first, min(first + 2, CELLS)) if first else range(0)  # length 3: two drafts
            for cell in window:
                up = cell - 2 if cell >= 2 else cell - 1
                drafts.setdefault(cell, written[up] if up < first else drafts[up])
            guesses = [drafts[cell] for cell in window]
            refined = [
                int((law([*written, *guesses[:i]]).log() + noise.gumbel([first + i])[0]).argmax())
                for i in range(min(len(guesses) + 1, CELLS - first))
            ]
            right = 0
            while right < len(guesses) and guesses[right] == refined[right]:
                right += 1
            written += refined[: right + 1]
            drafts = {first + i: token for i, token in enumerate(refined) if first + i >= len(written)}
            passes += 1
        (image,) = finished("jacobi:length=3", "coupled", [noise])
        assert list(image.state.tokens) == written and image.state.passes == passes


def finished(method: str, verifier: str, of: Sequence[Noise]) -> list[Image]:
    images = [Trial(method, verifier, SAMPLING, TARGET).image(noise) for noise in of]
    for _ in decode(ToySession(TARGET, 2), images):
        pass
    return images


Refresh = Callable[[Noise, int, int, int, Tensor, Tensor], int]


def fresh(noise: Noise, cell: int, pass_index: int, token: int, q: Tensor, p: Tensor) -> int:
    return int(inverse_cdf(p, noise.uniform(Purpose.DRAFT, pass_index + 1, [cell], [0])[0]))


def coupled(noise: Noise, cell: int, pass_index: int, token: int, q: Tensor, p: Tensor) -> int:
    if noise.uniform(Purpose.ACCEPT, pass_index, [cell], [0])[0] * q[token] < p[token]:
        return token
    return int(inverse_cdf(residual(p, q), noise.uniform(Purpose.RESIDUAL, pass_index, [cell], [0])[0]))


@pytest.mark.parametrize(("method", "refresh"), [("sjd", fresh), ("scd", coupled)])
@pytest.mark.parametrize("length", [2, 4, 9])
def test_sjd_and_scd_literally(method: str, refresh: Refresh, length: int) -> None:
    """One cell after the other, with the random numbers of the shipped loop."""
    for noise in noises(15):
        written: list[int] = []
        drafts: dict[int, tuple[int, Tensor]] = {}
        pass_index = 0
        while len(written) < CELLS:
            first, stop = len(written), min(len(written) + length - 1, CELLS)
            for cell in range(first, stop):
                if cell not in drafts:
                    q = torch.full((4,), 0.25)
                    drafts[cell] = int(inverse_cdf(q, noise.uniform(Purpose.DRAFT, pass_index, [cell], [0])[0])), q
            context = [*written, *(drafts[cell][0] for cell in range(first, stop))]
            laws = {cell: law(context[:cell]) for cell in range(first, min(stop + 1, CELLS))}
            done: int | None = None
            for cell in range(first, stop):
                token, q = drafts[cell]
                kept = bool(noise.uniform(Purpose.ACCEPT, pass_index, [cell], [0])[0] * q[token] < laws[cell][token])
                written.append(coupled(noise, cell, pass_index, token, q, laws[cell]))
                if not kept:
                    done = cell
                    break
            if done is None:
                done = min(stop, CELLS - 1)
                if stop < CELLS:
                    u = noise.uniform(Purpose.RESIDUAL, pass_index, [stop], [0])[0]
                    written.append(int(inverse_cdf(laws[stop], u)))
            renewed = {}
            for cell, p in laws.items():
                if cell > done:
                    with_draft = cell in drafts
                    token, q = drafts.get(cell, (0, p))
                    make = refresh if with_draft else fresh
                    renewed[cell] = make(noise, cell, pass_index, token, q, p), p
            drafts = renewed
            pass_index += 1
        (image,) = finished(f"{method}:length={length}", "rejection", [noise])
        assert list(image.state.tokens) == written and image.state.passes == pass_index


METHODS = ["jacobi:length=4", "sjd:length=4", "scd:length=5", "scd:form=gumbel", "sjd-pac:width=2:length=8"]
METHODS += ["spatial:budget=2"]


@pytest.mark.parametrize("method", METHODS)
def test_ragged_batches_are_the_images_alone(method: str) -> None:
    together = finished(method, "coupled", noises(8))
    alone = [finished(method, "coupled", [noise])[0] for noise in noises(8)]
    assert [image.state for image in together] == [image.state for image in alone]
    assert len({image.state.passes for image in together}) > 1, "progress is ragged"


def test_infinite_tolerance_keeps_all_guesses_but_no_copies() -> None:
    """A copy, there so that something can be scored behind it, stays only where it is the token that AR would take."""
    guesses = copies = 0
    for noise in noises():
        before = State(TARGET.grid)
        context = DecodeContext(TARGET, [], SAMPLING, TARGET.grid, noise)
        image = Image(before, *Method.parse("jacobi:length=4:tolerance=inf").make(context, "coupled"), SAMPLING)
        for step in decode(ToySession(TARGET, 2), [image]):
            proposal, path = step.proposal, list(before.tokens)
            for node in range(len(proposal)):  # a chain
                winner = int((law(path).log() + noise.gumbel([len(path)])[0]).argmax())
                stays = node in step.verdict.path
                if node not in proposal.placeholders:
                    assert stays
                    guesses += proposal.tokens[node] != winner
                elif proposal.tokens[node] != winner:
                    assert not stays
                    copies += 1
                    break
                path.append(proposal.tokens[node])
            before = step.after
    assert guesses > 10 and copies > 10


def test_tolerance_from_exact_to_everything() -> None:
    """More tolerance, fewer passes on the whole, and it is no longer called exact."""
    passes, same = [], []
    ar = np.array(Trial("ar", "coupled", SAMPLING, TARGET).tokens(noises()))
    for tolerance in ("0", "0.5", "2", "inf"):
        images = finished(f"jacobi:length=3:tolerance={tolerance}", "coupled", noises())
        passes.append(sum(image.state.passes for image in images))
        same.append(float((np.array([image.state.tokens for image in images]) == ar).mean()))
    assert passes == sorted(passes, reverse=True) and passes[0] > passes[-1]
    assert same[0] == 1 and same == sorted(same, reverse=True) and same[0] > same[-1]
    assert Method.parse("spatial:tolerance=0").seed_exact("coupled")
    assert not Method.parse("spatial:tolerance=0.5").exact
    with pytest.raises(ValueError, match="got tolerance=nan"):
        Method.parse("spatial:tolerance=nan")
