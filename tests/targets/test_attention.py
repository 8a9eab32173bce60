"""Grouped heads under a mask: the same attention as with repeated keys and values, which no pass makes any more."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from helpers.language import SIZES, Toy
from helpers.operators import counted
from helpers.passes import keep
from spatialspec.core.grid import Grid
from spatialspec.core.proposal import Proposal
from spatialspec.core.state import State
from spatialspec.core.step import Verdict
from spatialspec.targets.attention import NAME, grouped, grouped_attention, grouped_mask

B, N, S, D = 2, 5, 11, 8


@pytest.mark.parametrize(("heads", "shared"), [(4, 2), (6, 2), (4, 1), (8, 8)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_it_is_the_attention_of_transformers(heads: int, shared: int, dtype: torch.dtype) -> None:
    draw = torch.Generator().manual_seed(heads)
    q, k, v = (
        torch.randn(B, count, slots, D, generator=draw).to(dtype)
        for count, slots in ((heads, N), (shared, S), (shared, S))
    )
    mask = torch.rand(B, 1, N, S, generator=draw) < 0.4
    mask[..., 0] = True
    module = nn.Module()
    module.num_key_value_groups = heads // shared  # type: ignore[assignment]
    expected, _ = sdpa_attention_forward(module, q, k, v, mask, scaling=0.3)
    got, _ = grouped_attention(module, q, k, v, grouped_mask(mask, heads // shared), scaling=0.3)
    torch.testing.assert_close(got, expected, atol=1e-6 if dtype == torch.float32 else 1e-2, rtol=0)


@pytest.mark.parametrize("kind", ["llama", "emu3", "chameleon"])
def test_no_pass_repeats_keys_and_values(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    toy, state = Toy(kind), State(Grid(3, 4))
    session, tree = toy.session(state.layout, [0], 0), Proposal.chain(1, [1])
    session.score([state], [Proposal()])
    state = keep(session, 0, state, Proposal(), Verdict(token=3))

    def copied() -> int:
        with counted(monkeypatch) as operators:
            session.score([state], [tree])
        return operators.largest["clone"]

    heads, slots = SIZES["num_attention_heads"], session.cache._visible + 2
    queries, keys = (2 * heads * count * toy.decoder.model.layers[0].self_attn.head_dim for count in (2, slots))
    assert toy.decoder._heads == (4, 2) and copied() <= queries < keys
    monkeypatch.setattr(type(toy.decoder), "_heads", (1, 1))
    assert copied() == keys


def test_the_users_model_is_left_as_it_was() -> None:
    config = Toy("llama").decoder.model.config
    with pytest.raises(RuntimeError), grouped(config):
        assert config._attn_implementation == NAME
        raise RuntimeError
    assert config._attn_implementation == "sdpa"
