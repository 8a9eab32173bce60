"""A decoder of transformers as decoding needs it: pre-norm states, explicit masks, compiled if asked for."""

from __future__ import annotations

import copy
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from spatialspec.core.errors import BadInput
from spatialspec.targets.language_cache import LanguageCache

ATTENTION = ("sdpa", "eager")  # the others take no mask of one's own: silently wrong, or an abort of the process


class Decoder:
    """The blocks of a language model, and its final norm beside them.

    The model itself stays as it is: the blocks are shared with it, not changed.

    Args:
        model: decoder with the attributes `embed_tokens`, `layers`, `norm` and `config` that those of transformers
            have (LlamaModel, Emu3TextModel, ChameleonModel), in evaluation mode.

    Attributes:
        norm: final norm.
        embedding: of text tokens.
        positions: longest sequence that it was made for.
        depth: number of blocks.
        pass_width: slots of every pass behind the first, where shapes are fixed; None where they are not.

    Raises:
        BadInput: its attention cannot take a mask of one's own, or weights are missing on its devices.
    """

    def __init__(self, model: nn.Module) -> None:
        config: Any = model.config
        self.attention: str = config._attn_implementation
        if self.attention not in ATTENTION:
            raise BadInput(
                f"attention {self.attention!r}",
                f"one of {', '.join(ATTENTION)}, which take the masks of trees",
                'call model.set_attn_implementation("sdpa")',
            )
        if any(weight.is_meta for weight in model.parameters()):
            raise BadInput("weights offloaded to disk or to the CPU", "all on devices", "give a device_map")
        self.norm: nn.Module = model.norm  # type: ignore[assignment]
        self.positions: int = config.max_position_embeddings
        self.embedding: nn.Embedding = model.embed_tokens  # type: ignore[assignment]
        self.depth: int = config.num_hidden_layers
        # A second object with the same blocks and nothing in place of the norm, as transformers only returns normed
        # states. Hooks of a device map sit on the blocks; one that wraps `forward` would call the model itself.
        self._trunk = copy.copy(model)
        self._trunk._modules = {**model._modules, "norm": nn.Identity()}
        self._trunk.__dict__.pop("forward", None)
        self._later = self._forward
        self.pass_width: int | None = None

    @property
    def device(self) -> torch.device:
        """Where the text embedding is."""
        return self.embedding.weight.device

    @property
    def dtype(self) -> torch.dtype:
        """Of the text embedding."""
        return self.embedding.weight.dtype

    def fix(self, pass_width: int, compiled: bool) -> None:
        """Give every pass behind the first the same shapes, and compile the decoder for them.

        Args:
            pass_width: slots of a pass, padded to this; a wider pass is padded to a multiple of it.
            compiled: compile into one graph; without it only shapes are fixed.
        """
        if pass_width < 1:
            raise BadInput(f"a pass of {pass_width} slots", "at least 1")
        self.pass_width = pass_width
        self._later = torch.compile(self._forward, fullgraph=True, dynamic=False) if compiled else self._forward

    def __call__(
        self,
        x: Float[Tensor, "B N d"],
        mask: Bool[Tensor, "B 1 N S"],
        positions: Int[Tensor, "B N"],
        cache: LanguageCache,
        first: bool,
        states: list[Tensor] | None = None,
    ) -> Float[Tensor, "B N d"]:
        """Embedded slots -> pre-norm states, on the device of `x`; the `first` pass is never a compiled one.

        `mask` says which slots of the cache each slot sees; a slot sees at least one. `states` takes those after every
        block, each on its block's device.
        """
        bias = mask if self.attention == "sdpa" else _additive(mask, x.dtype)
        forward = self._forward if first else self._later
        found: tuple[Tensor, ...] = forward(x, bias, positions, cache, states is not None)
        if states is not None:
            states.extend(found)
        return found[-1].to(x.device)

    def _forward(
        self, x: Tensor, mask: Tensor, positions: Tensor, cache: LanguageCache, every: bool
    ) -> tuple[Tensor, ...]:
        """States after every block, or after the last alone."""
        out = self._trunk(
            inputs_embeds=x, attention_mask=mask, position_ids=positions, past_key_values=cache, use_cache=True,
            output_hidden_states=every,
        )  # fmt: skip
        return out.hidden_states[1:] if every else (out.last_hidden_state,)


def _additive(mask: Bool[Tensor, "B 1 N S"], dtype: torch.dtype) -> Float[Tensor, "B 1 N S"]:
    """Eager attention adds its mask to the scores: a boolean one would be silently wrong."""
    return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill_(~mask, torch.finfo(dtype).min)
