"""Where a cell looks: shares of attention against slow, literal versions, on targets of both kinds."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from helpers.language import Toy, decoder_of
from helpers.tiny import tiny_target
from spatialspec.core.grid import Grid
from spatialspec.core.proposal import Proposal
from spatialspec.core.rotary import rotate
from spatialspec.core.sampling import Sampling
from spatialspec.core.state import State
from spatialspec.lab.reproduce.attention import AttentionRecorder, attention
from spatialspec.lab.reproduce.hawk_attention import neighbourhood, shares

GRID = Grid(4, 5)


def literal_weights(target, prompt: str, tokens: list[int]) -> np.ndarray:
    """Attention of every slot, mean over heads and layers: the blocks' own parts, one slot and one key at a time."""
    session = target.session([prompt], [""], Sampling(), GRID)
    calls: list[tuple] = []
    hooks = [
        block.attention.register_forward_pre_hook(
            lambda module, args: calls.append((module, args[0], args[1].rotation))
        )
        for block in target.model.blocks
    ]
    session.score([State(GRID)], [Proposal.chain(0, tokens[:-1])])
    for hook in hooks:
        hook.remove()
    size = calls[0][1].shape[1]
    total = np.zeros((size, size))
    for module, x, rotation in calls:
        q, k, _ = module.qkv(x).view(1, size, 3, module.heads, -1).permute(2, 0, 3, 1, 4)
        q, k = rotate(module.q_norm(q), rotation)[0], rotate(module.k_norm(k), rotation)[0]
        prefix = len(session.images[0].prompt.prefixes[0])
        for head in range(module.heads):
            for i in range(size):
                seen = range(max(i + 1, prefix if i >= prefix else 0))
                raw = [math.exp(float(q[head, i] @ k[head, j]) / math.sqrt(q.shape[-1])) for j in seen]
                total[i, : len(raw)] += np.array(raw) / sum(raw)
    return total / len(calls) / module.heads


def test_shares_of_attention_slot_by_slot():
    target, tokens = tiny_target(), [(7 * t) % 64 for t in range(GRID.cells)]
    found = attention(target, "red apple, 3d", tokens, Sampling(), GRID)
    weights = literal_weights(target, "red apple, 3d", tokens)
    prefix, sums, slots, count = found.text.shape[1], {}, {}, 0
    above_left: list[float] = []
    for cell in range(1, GRID.cells):
        row, column = divmod(cell, GRID.columns)
        looks = weights[prefix + cell - 1]
        if row and column:
            above_left.append(looks[prefix + cell - GRID.columns - 1])
            count += 1
            for slot in range(prefix + cell):
                r, _ = divmod(slot - prefix, GRID.columns)
                part = "text" if slot < prefix else {row: "left", row - 1: "above"}.get(r, "elsewhere")
                sums[part] = sums.get(part, 0) + looks[slot]
                slots[part] = slots.get(part, 0) + 1 / (prefix + cell)
    mine = shares(found, GRID)
    for part in ("left", "above", "elsewhere", "text"):
        assert mine[part] == pytest.approx((sums[part] / count, slots[part] / count), abs=1e-5)
    assert sum(mine[part][0] for part in sums) == pytest.approx(1, abs=1e-6) and mine["row ends"] == (0, 0)
    assert neighbourhood(found, GRID)[1, 5] == pytest.approx(np.mean(above_left), abs=1e-5)
    assert np.isnan(neighbourhood(found, GRID)[0, 6])


class Speaker:
    """A language model with two row ends, as a target."""

    name = "toy"

    def session(self, prompts, negatives, sampling, grid):
        return Toy("llama").session(grid, [0], 2)


def test_attention_of_a_model_of_transformers_is_its_own():
    """Against `output_attentions` of eager attention on the whole sequence, row ends and grouped heads included."""
    tokens = tuple(t % 13 for t in range(3, 3 + GRID.cells))
    found = attention(Speaker(), "", tokens, Sampling(guidance=2.0), GRID)
    toy = Toy("llama", "eager")
    whole = toy.sequence(0, tokens[:-1], GRID, 2)
    with torch.no_grad():
        out = decoder_of("llama", "eager")(inputs_embeds=whole[None], output_attentions=True, use_cache=False)
    weights = torch.stack(out.attentions)[:, 0].mean((0, 1)).numpy()
    prompt = len(toy.prompt(0))
    assert found.text.shape[1] == prompt and found.forced == 2
    for cell in range(1, GRID.cells):
        ends = 2 * ((cell - 1) // GRID.columns), 2 * (cell // GRID.columns)
        slot = prompt + cell - 1 + ends[1]  # the last row end where a row begins, else the cell before
        where = [prompt + c + 2 * (c // GRID.columns) for c in range(cell)]
        assert found.cells[cell - 1, :cell] == pytest.approx(weights[slot, where], abs=1e-5), (cell, ends)
        assert found.ends[cell - 1] == pytest.approx(
            1 - weights[slot, where].sum() - weights[slot, :prompt].sum(), abs=1e-5
        )


@pytest.mark.parametrize("mask", ["causal", "boolean", "additive"])
def test_any_call_of_attention_is_understood(mask):
    """Two heads share a key head; the values are such that the output is the weights themselves."""
    draw = torch.Generator().manual_seed(4)
    q, k = torch.randn(2, 4, 5, 8, generator=draw), torch.randn(2, 2, 5, 8, generator=draw)
    seen = torch.ones(5, 5, dtype=torch.bool).tril() | torch.eye(5, dtype=torch.bool).roll(1, 0)
    given = {
        "causal": {"is_causal": True},
        "boolean": {"attn_mask": seen},
        "additive": {"attn_mask": torch.zeros(2, 1, 5, 5).masked_fill(~seen, -1e9), "scale": 0.5},
    }[mask]
    with AttentionRecorder(5) as watch:
        out = F.scaled_dot_product_attention(q, k, torch.eye(5).expand(2, 2, 5, 5), enable_gqa=True, **given)
        F.scaled_dot_product_attention(q[:, :, :3], k, k, enable_gqa=True)  # another size: not of the image
    assert watch.layers == 1 and torch.allclose(watch.total, out[0].mean(0), atol=1e-6)


def test_eager_attention_is_said_to_be_unseen():
    class Eager(Speaker):
        def session(self, prompts, negatives, sampling, grid):
            return Toy("llama", "eager").session(grid, [0], 2)

    with pytest.raises(ValueError, match="sdpa"):
        attention(Eager(), "", [0] * GRID.cells, Sampling(), GRID)
